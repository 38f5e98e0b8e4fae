/* Strict parsing with json-c; used by workers and gradingctl, never by the supervisor. */
#include "lib/json_strict.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"

#define CHEAP_BYTES (64u << 10)		/* no text so short takes much memory */
#define CONTAINER_BYTES 768		/* about what json-c takes for an object or an array */
#define DIGITS_MAX 18			/* of any int64_t */
#define VALUE_BYTES 64			/* about what it takes for one more value in one of them */

/*
 * What the values of a text may take: so much, or so many times its length (a transcript: about
 * 15).
 */
#define MEMORY_CAP_BYTES (32u << 20)
#define MEMORY_CAP_TIMES 20

static const char byte_order_mark[] = "\xEF\xBB\xBF";

/*
 * Three bytes of "{},{}" become 800 of memory: a megabyte of them would take a process to a quarter
 * of a gigabyte.
 */
static bool takes_too_much(const char *text, size_t len)
{
	size_t bytes = 0, cap = MEMORY_CAP_TIMES * len;
	bool in_string = false;

	if (len <= CHEAP_BYTES)
		return false;
	if (cap < MEMORY_CAP_BYTES)
		cap = MEMORY_CAP_BYTES;
	for (size_t i = 0; i < len && bytes <= cap; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '['))
			bytes += CONTAINER_BYTES;
		else if (!in_string && (text[i] == ',' || text[i] == ':'))
			bytes += VALUE_BYTES;
	}
	return bytes > cap;
}

static bool is_json_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int parse(struct json_tokener *tokener, const char *text, size_t len,
		 struct json_object **value, const char **why)
{
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	*value = json_tokener_parse_ex(tokener, text, (int)len);
	/* A number at the top level, or a text cut off, is known to have ended by a NUL only. */
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		*value = json_tokener_parse_ex(tokener, "", 1);
	if (json_tokener_get_error(tokener) == json_tokener_success)
		return 0;
	*why = json_tokener_error_desc(json_tokener_get_error(tokener));
	return -1;
}

int json_strict_parse(const char *text, size_t len, struct json_object **value, const char **why)
{
	/* One for all: a new one costs as much as a short text. */
	static struct json_tokener *tokener;
	int result;

	*value = NULL;
	*why = NULL;
	if (len >= strlen(byte_order_mark) &&
	    memcmp(text, byte_order_mark, strlen(byte_order_mark)) == 0) {
		text += strlen(byte_order_mark);	/* a parser may ignore it: RFC 8259, 8.1 */
		len -= strlen(byte_order_mark);
	}
	while (len && is_json_space(text[len - 1]))
		len--;
	/* json-c stops silently at a NUL, and its own UTF-8 check lets overlong forms pass. */
	if (len == 0)
		*why = "it is empty";
	else if (len >= INT32_MAX)
		*why = "it is too large";
	else if (memchr(text, '\0', len))
		*why = "it holds a NUL byte";
	else if (!utf8_is_valid(text, len))
		*why = "it is not UTF-8";
	else if (takes_too_much(text, len))
		*why = "it holds too many values";
	if (*why)
		return -1;
	if (!tokener)
		tokener = json_tokener_new_ex(JSON_DEPTH_CAP);
	if (!tokener)
		fatal("out of memory: a JSON parser");
	result = parse(tokener, text, len, value, why);
	json_tokener_reset(tokener);
	return result;
}

bool json_strict_integer(struct json_object *value, int64_t min, int64_t max, int64_t *out)
{
	double real;

	if (json_object_is_type(value, json_type_int)) {
		*out = json_object_get_int64(value);	/* beyond int64: its nearest end */
		return *out >= min && *out <= max;
	}
	if (!json_object_is_type(value, json_type_double))
		return false;
	real = json_object_get_double(value);
	if (!(real >= -0x1p53 && real <= 0x1p53) || real != (double)(int64_t)real)
		return false;
	*out = (int64_t)real;
	return *out >= min && *out <= max;
}

bool json_strict_digits(struct json_object *value, int64_t min, int64_t max, int64_t *out)
{
	const char *text;
	size_t len;

	if (!json_object_is_type(value, json_type_string))
		return json_strict_integer(value, min, max, out);
	text = json_object_get_string(value);
	len = (size_t)json_object_get_string_len(value);
	if (len == 0 || len > DIGITS_MAX || strspn(text, "0123456789") != len ||
	    (text[0] == '0' && len > 1))
		return false;
	*out = strtoll(text, NULL, 10);
	return *out >= min && *out <= max;
}
