/*
 * json-c in its strict mode, and a little stricter: the whole text is one value, valid UTF-8,
 * without NUL bytes, of bounded depth, and without so many values that they take far more memory
 * than text does.
 */
#ifndef JSON_STRICT_H
#define JSON_STRICT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_CAP 64

/*
 * Parses text (white space around it is fine) into *value, for json_object_put(); JSON null is
 * NULL. Returns 0, or -1 and why: a few words to follow "is not JSON: ".
 */
int json_strict_parse(const char *text, size_t len, struct json_object **value, const char **why);

/* True, and *out, for a whole number from min to max, as 3, 3.0 or 3e0. A string is no number. */
bool json_strict_integer(struct json_object *value, int64_t min, int64_t max, int64_t *out);

/*
 * The same, or its digits as a string in their one canonical form: "12", not "012", " 12" or "+12".
 */
bool json_strict_digits(struct json_object *value, int64_t min, int64_t max, int64_t *out);

#endif
