/*
 * An answer as a stream of events (text/event-stream), which some servers send although nobody
 * asked for it. Pure; fuzzed with openai_reply.c.
 */
#ifndef EVENT_STREAM_H
#define EVENT_STREAM_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

bool event_stream_is_one(const char *body, size_t len);

/*
 * What the server would have answered without streaming: {"choices": [{"finish_reason", "message":
 * {"content"}}], "model", "usage"}, or {"error": ...} as it stands in the stream. For
 * json_object_put(). NULL when it is malformed, or *cut_off: it stopped before its end.
 */
struct json_object *event_stream_read(const char *body, size_t len, bool *cut_off);

#endif
