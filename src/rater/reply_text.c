/*
 * What readers of a model's words share: taking off what is around them, and copying them so that
 * they do no harm. Pure; runs in workers. It makes no grade of anything.
 */
#include "reply_text.h"

#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "secrets.h"

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct span reply_trim(struct span s)
{
	while (s.len && is_space(s.text[s.len - 1]))
		s.len--;
	while (s.len && is_space(s.text[0])) {
		s.text++;
		s.len--;
	}
	return s;
}

#define FENCE "```"
#define SENTENCE_CAP_BYTES 1000		/* of what a model says before its fence */

static struct span skip(struct span s, size_t n)
{
	return (struct span){ s.text + n, s.len - n };
}

bool reply_begins_with(struct span s, const char *text)
{
	return s.len >= strlen(text) && memcmp(s.text, text, strlen(text)) == 0;
}

static const char *find(struct span s, const char *text)
{
	return s.len > 0 ? memmem(s.text, s.len, text, strlen(text)) : NULL;
}

/*
 * Models that think aloud do so first, in one block. What it holds is a draft, whatever it looks
 * like; a block that does not end is all there is.
 */
static struct span skip_thoughts(struct span s)
{
	static const char open[] = "<think>", close[] = "</think>";
	const char *end;

	if (!reply_begins_with(s, open))
		return s;
	end = find(s, close);
	if (!end)
		return s;
	return reply_trim(skip(s, (size_t)(end - s.text) + strlen(close)));
}

/*
 * A sentence before a fence is none of the answer: plain words, and the fence begins a line of its
 * own. Whatever looks like another answer in it, or like thoughts, leaves all as it was.
 */
static struct span skip_sentence(struct span s)
{
	const char *fence = find(s, FENCE);
	size_t n = fence ? (size_t)(fence - s.text) : 0;

	if (n == 0 || n > SENTENCE_CAP_BYTES || fence[-1] != '\n')
		return s;
	for (size_t i = 0; i < n; i++)
		if (strchr("{}[]<>`", s.text[i]))
			return s;
	return skip(s, n);
}

/* Models put JSON into a Markdown fence, unasked. Anything behind the fence is not tolerated. */
static struct span unfence(struct span s, bool cut)
{
	static const char language[] = "json";
	const size_t fence_len = strlen(FENCE), language_len = sizeof(language) - 1;
	bool ends;

	if (!reply_begins_with(s, FENCE))
		return s;
	ends = s.len >= 2 * fence_len &&
	       memcmp(s.text + s.len - fence_len, FENCE, fence_len) == 0;
	if (!ends && !cut)
		return s;
	s = skip(s, fence_len);
	s.len -= ends ? fence_len : 0;
	if (s.len >= language_len && strncasecmp(s.text, language, language_len) == 0)
		s = skip(s, language_len);
	return reply_trim(s);
}

/* Takes off what changes nothing: one block of thoughts, one fence. cut: its end may be missing. */
struct span reply_unwrap(struct span s, bool cut)
{
	return unfence(skip_sentence(skip_thoughts(reply_trim(s))), cut);
}

struct span reply_span(const char *text)
{
	return (struct span){ text, text ? strlen(text) : 0 };
}

struct span reply_span_of_json(struct json_object *value)
{
	struct span s = { NULL, 0 };

	if (json_object_is_type(value, json_type_string))
		s = (struct span){ json_object_get_string(value),
				   (size_t)json_object_get_string_len(value) };
	return s;
}

const char *reply_copy_text(struct arena *arena, struct span s, size_t cap_bytes)
{
	char *copy;

	s = reply_trim(s);
	s.len = utf8_cut(s.text, s.len, cap_bytes);
	if (utf8_is_all_blank(s.text, s.len))
		return "";
	copy = arena_dup(arena, s.text, s.len);
	copy[utf8_clean(copy, s.len, UTF8_BLANK_BUT_LINES)] = '\0';
	return copy;
}

/*
 * A rater's words. "" when they quote a secret of ours: a provider, or a gateway, may echo what it
 * was sent.
 */
const char *reply_copy_words(const struct config *config, struct arena *arena, struct span s,
			      size_t cap_bytes)
{
	if (secrets_quoted(config, s.text, s.len))
		return "";
	return reply_copy_text(arena, s, cap_bytes);
}

static size_t count_members(struct json_object *value)
{
	size_t n = 0;

	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			n += count_members(json_object_array_get_idx(value, i));
	} else if (json_object_is_type(value, json_type_object)) {
		n = (size_t)json_object_object_length(value);
		json_object_object_foreach(value, key, member) {
			(void)key;
			n += count_members(member);
		}
	}
	return n;
}

/*
 * Whether an object in text, which was parsed as value, has a key twice, or one with a NUL. The
 * parser keeps the last, so of {"line": 1, "rating": "good", "line": 2} the rating would go to a
 * line it was not meant for; and it cuts "rating\u0000s" to "rating".
 */
bool reply_has_odd_keys(struct span text, struct json_object *value)
{
	static const char nul[] = "\\u0000";
	bool in_string = false, has_nul = false;
	size_t colons = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (in_string && text.text[i] == '\\') {
			has_nul |= text.len - i >= strlen(nul) &&
				memcmp(text.text + i, nul, strlen(nul)) == 0;
			i++;
		} else if (text.text[i] == '"') {
			in_string = !in_string;
			has_nul &= !in_string;
		} else if (!in_string && text.text[i] == ':') {
			if (has_nul)
				return true;
			colons++;
		}
	}
	return colons != count_members(value);
}
