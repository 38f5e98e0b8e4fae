/* A model's words, for the readers that make grades of them. Pure. */
#ifndef REPLY_TEXT_H
#define REPLY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "config/config.h"
#include "lib/json_strict.h"

struct span { const char *text; size_t len; };

struct span reply_span(const char *text);
/* That of a JSON string; without text for any other value. */
struct span reply_span_of_json(struct json_object *value);
struct span reply_trim(struct span s);
bool reply_begins_with(struct span s, const char *text);

/* Takes off what changes nothing: one block of thoughts, one fence. cut: its end may be missing. */
struct span reply_unwrap(struct span s, bool cut);

/*
 * Whether an object in text, which was parsed as value, has a key twice, or one with a NUL: the
 * parser keeps the last, and cuts the key.
 */
bool reply_has_odd_keys(struct span text, struct json_object *value);

/* A copy in arena without blanks around it, cut at a character, without control characters. */
const char *reply_copy_text(struct arena *arena, struct span s, size_t cap_bytes);
/* The same of a rater's words: "" when they quote a secret of ours. */
const char *reply_copy_words(const struct config *config, struct arena *arena, struct span s,
			     size_t cap_bytes);

#endif
