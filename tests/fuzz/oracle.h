/*
 * A second opinion on what a model answered, which shares no code with ours: nothing is rated that
 * a reader would not find in its last words. It knows fewer rules and takes more.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <json-c/json.h>

#include "fuzz.h"

/* Behind the thoughts that a text begins with; NULL: it never gets there. */
static inline const char *behind_thoughts(const char *text)
{
	const char *end;

	text += strspn(text, " \t\r\n\v\f");
	if (strncmp(text, "<think>", 7) != 0)
		return text;
	end = strstr(text, "</think>");
	return end ? end + 8 : NULL;
}

/* As deep as we read; what follows the first value does not matter. */
static inline struct json_object *parse(const char *text)
{
	struct json_tokener *tokener = json_tokener_new_ex(70);
	struct json_object *value = json_tokener_parse_ex(tokener, text, -1);

	json_tokener_free(tokener);
	return value;
}

/* Appends len bytes to a text; a NUL is a blank, so that nothing is hidden behind it. */
static inline void add_bytes(char *text, const char *bytes, size_t len)
{
	size_t at = strlen(text);

	for (size_t i = 0; i < len; i++)
		text[at + i] = bytes[i] ? bytes[i] : ' ';
	text[at + len] = '\0';
}

static inline bool is_line(struct json_object *value, int index)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", index);
	if (json_object_is_type(value, json_type_string))
		return strcmp(json_object_get_string(value), number) == 0;
	return (json_object_is_type(value, json_type_int) ||
		json_object_is_type(value, json_type_double)) &&
	       json_object_get_double(value) == index;
}

static inline bool is_rating(struct json_object *value, const char *rating)
{
	const char *text = json_object_is_type(value, json_type_string) ?
		json_object_get_string(value) : "";
	size_t n = strlen(rating);

	text += strspn(text, " \t\r\n\v\f");
	return strncmp(text, rating, n) == 0 && !text[n + strspn(text + n, " \t\r\n\v\f")];
}

static inline bool rates(struct json_object *answer, int index, const char *rating)
{
	struct json_object *ratings = NULL, *element, *line = NULL, *value = NULL;

	if (!json_object_is_type(answer, json_type_object) ||
	    !json_object_object_get_ex(answer, "ratings", &ratings) ||
	    !json_object_is_type(ratings, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(ratings); i++) {
		element = json_object_array_get_idx(ratings, i);
		if (json_object_is_type(element, json_type_object) &&
		    json_object_object_get_ex(element, "line", &line) &&
		    json_object_object_get_ex(element, "rating", &value) &&
		    is_line(line, index) && is_rating(value, rating))
			return true;
	}
	return false;
}

/*
 * Whether the answer in text gives line `index` this rating: from its first brace behind thoughts
 * to its last one. With `cut`, to the brace of any element, as if the rest had never been said.
 */
static inline bool oracle_rates(const char *text, int index, const char *rating, bool cut)
{
	const char *behind = behind_thoughts(text), *from = behind ? strchr(behind, '{') : NULL;
	bool found = false;

	if (!from)
		return false;
	for (size_t len = strlen(from); len > 0 && !found; len--) {
		char *copy;

		if (from[len - 1] != '}')
			continue;
		copy = calloc(1, len + 3);
		memcpy(copy, from, len);
		for (int closed = 0; closed <= (cut ? 1 : 0) && !found; closed++) {
			struct json_object *answer;

			strcpy(copy + len, closed ? "]}" : "");
			answer = parse(copy);
			found = rates(answer, index, rating);
			json_object_put(answer);
		}
		free(copy);
		if (!cut)
			break;
	}
	return found;
}

#endif
