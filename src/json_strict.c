/* Strict parsing with json-c; used by workers and gradingctl, never by the supervisor. */
#include "json_strict.h"

#include <string.h>

#include "log.h"
#include "utf8.h"

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
	static struct json_tokener *tokener;	/* one for all: a new one costs as much as a short text */
	int result;

	*value = NULL;
	*why = NULL;
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
