/*
 * Puts a streamed answer together, without I/O; workers only. It takes the pieces of the first
 * choice alone and judges nothing: what comes out is read as any answer.
 */
#include "event_stream.h"

#include <string.h>

#include "base/buf.h"
#include "lib/json_strict.h"

#define CONTENT_CAP_BYTES (4u << 20)

struct stream {
	struct buf event;		/* its data so far */
	struct buf content, refusal;
	struct json_object *model, *usage, *error, *finish_reason;
	bool done, malformed;
};

static struct json_object *member(struct json_object *object, const char *key)
{
	return json_object_is_type(object, json_type_object) ? json_object_object_get(object, key)
							     : NULL;
}

/* Keeps the last that is not null. */
static void keep(struct json_object **place, struct json_object *value)
{
	if (!value)
		return;
	json_object_put(*place);
	*place = json_object_get(value);
}

static void append(struct buf *out, struct json_object *text)
{
	if (json_object_is_type(text, json_type_string))
		buf_add(out, json_object_get_string(text),
			(size_t)json_object_get_string_len(text));
}

/* As in an answer that is not streamed: typed parts, of which those of text are joined. */
static void append_content(struct stream *s, struct json_object *content)
{
	size_t n = json_object_is_type(content, json_type_array) ? json_object_array_length(content)
								 : 0;

	append(&s->content, content);
	for (size_t i = 0; i < n; i++) {
		struct json_object *part = json_object_array_get_idx(content, i);
		struct json_object *type = member(part, "type");
		const char *name = json_object_is_type(type, json_type_string)
					   ? json_object_get_string(type) : "";

		if (strcmp(name, "text") == 0 || strcmp(name, "output_text") == 0)
			append(&s->content, member(part, "text"));
	}
	s->malformed |= content && n == 0 && !json_object_is_type(content, json_type_string) &&
		!json_object_is_type(content, json_type_array);
}

static void take_choice(struct stream *s, struct json_object *choice)
{
	struct json_object *delta = member(choice, "delta");
	int64_t index = 0;

	json_strict_integer(member(choice, "index"), INT64_MIN, INT64_MAX, &index);
	if (index != 0)
		return;
	/* What comes after the end is of another answer. */
	s->malformed |= s->finish_reason && (member(delta, "content") &&
		json_object_get_string_len(member(delta, "content")) > 0);
	append_content(s, member(delta, "content"));
	append(&s->refusal, member(delta, "refusal"));
	keep(&s->error, member(choice, "error"));
	keep(&s->finish_reason, member(choice, "finish_reason"));
}

static void take_chunk(struct stream *s, struct json_object *chunk)
{
	struct json_object *choices = member(chunk, "choices");

	keep(&s->model, member(chunk, "model"));
	keep(&s->usage, member(chunk, "usage"));
	keep(&s->error, member(chunk, "error"));
	if (!json_object_is_type(choices, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(choices); i++)
		take_choice(s, json_object_array_get_idx(choices, i));
}

static void end_event(struct stream *s)
{
	struct json_object *chunk;
	const char *why;

	if (s->event.len == 0)
		return;
	if (strcmp(buf_text(&s->event), "[DONE]") == 0) {
		s->done = true;
	} else if (s->done || json_strict_parse(s->event.data, s->event.len, &chunk, &why) == -1) {
		s->malformed = true;
	} else {
		take_chunk(s, chunk);
		json_object_put(chunk);
	}
	buf_reset(&s->event);
}

static bool has_field(const char *line, size_t len, const char *field)
{
	size_t n = strlen(field);

	return len >= n && memcmp(line, field, n) == 0 && (len == n || line[n] == ':');
}

static void take_line(struct stream *s, const char *line, size_t len)
{
	size_t skip = strlen("data:");

	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len == 0) {
		end_event(s);
	} else if (has_field(line, len, "data") && len >= skip) {
		skip += len > skip && line[skip] == ' ';
		if (s->event.len > 0)
			buf_char(&s->event, '\n');
		buf_add(&s->event, line + skip, len - skip);
	} else {
		s->malformed |= line[0] != ':' && !has_field(line, len, "event") &&
			!has_field(line, len, "id") && !has_field(line, len, "retry");
	}
}

bool event_stream_is_one(const char *body, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", *body))
		body++, len--;
	return len > 0 && (*body == ':' || has_field(body, len, "data") ||
			   has_field(body, len, "event") || has_field(body, len, "id") ||
			   has_field(body, len, "retry"));
}

static struct json_object *text_object(const struct buf *b)
{
	return json_object_new_string_len(buf_text(b), (int)b->len);
}

static struct json_object *make_answer(struct stream *s)
{
	struct json_object *answer = json_object_new_object(), *choice, *message, *choices;

	if (s->usage)
		json_object_object_add(answer, "usage", json_object_get(s->usage));
	if (s->error) {
		json_object_object_add(answer, "error", json_object_get(s->error));
		return answer;
	}
	message = json_object_new_object();
	json_object_object_add(message, "content", text_object(&s->content));
	json_object_object_add(message, "refusal", text_object(&s->refusal));
	choice = json_object_new_object();
	json_object_object_add(choice, "message", message);
	json_object_object_add(choice, "finish_reason", json_object_get(s->finish_reason));
	choices = json_object_new_array();
	json_object_array_add(choices, choice);
	json_object_object_add(answer, "choices", choices);
	json_object_object_add(answer, "model", json_object_get(s->model));
	return answer;
}

struct json_object *event_stream_read(const char *body, size_t len, bool *cut_off)
{
	struct json_object *answer = NULL;
	struct stream s = { .done = false };
	size_t n;

	buf_init(&s.event, CONTENT_CAP_BYTES);
	buf_init(&s.content, CONTENT_CAP_BYTES);
	buf_init(&s.refusal, CONTENT_CAP_BYTES);
	for (const char *line = body, *end = body + len; line < end; line += n + 1) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));

		n = newline ? (size_t)(newline - line) : (size_t)(end - line);
		take_line(&s, line, n);
	}
	end_event(&s);
	s.malformed |= !buf_ok(&s.event) || !buf_ok(&s.content) || !buf_ok(&s.refusal);
	*cut_off = !s.malformed && !s.error && !s.finish_reason && !s.done;
	if (!s.malformed && !*cut_off)
		answer = make_answer(&s);
	buf_free(&s.event);
	buf_free(&s.content);
	buf_free(&s.refusal);
	json_object_put(s.model);
	json_object_put(s.usage);
	json_object_put(s.error);
	json_object_put(s.finish_reason);
	return answer;
}
