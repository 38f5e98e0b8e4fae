/*
 * Reads, writes and describes single configuration values, a function a type and direction. Any
 * process; never exits, since a reload in the supervisor may fail but must not end it.
 */
#include "config_value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/hint.h"

#define STRING_CAP 4095		/* a path, or a connection string of many hosts */
#define DECIMAL_WHOLE 9		/* digits before the point */
#define DECIMAL_PLACES 6	/* digits behind the point */
#define ITEM_CAP 64
#define WORDS_CAP 4000		/* of a whole command line, as it is written */
#define OBJECT_CAP 4000		/* of a group, as JSON */

static int not_allowed(void)
{
	errno = EINVAL;
	return -1;
}

static bool has_control_characters(const char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			return true;
	return false;
}

static size_t string_cap(const struct config_key *key)
{
	return key->max ? (size_t)key->max : STRING_CAP;
}

static void free_string(const struct config_key *key, void *member)
{
	char **string = member;

	if (*string && key->secret)
		explicit_bzero(*string, strlen(*string));
	free(*string);
	*string = NULL;
}

static int parse_string(const struct config_key *key, void *member, const char *text)
{
	char *copy;

	if (strlen(text) > string_cap(key) || has_control_characters(text) ||
	    (key->wrong && key->wrong(text)))
		return not_allowed();
	copy = strdup(text);
	if (!copy)
		return -1;
	free_string(key, member);
	*(char **)member = copy;
	return 0;
}

static int set_number(const struct config_key *key, void *member, int64_t value)
{
	if (!(key->or_zero && value == 0) && (value < key->min || value > key->max))
		return not_allowed();
	*(int64_t *)member = value;
	return 0;
}

static int parse_integer(const struct config_key *key, void *member, const char *text)
{
	char *end;
	int64_t value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return not_allowed();
	return set_number(key, member, value);
}

/* "0.15" as 150000: exact, where a double is not. */
static int parse_decimal(const struct config_key *key, void *member, const char *text)
{
	size_t whole = strspn(text, "0123456789"), decimals = 0;
	const char *point = text + whole;
	int64_t value;

	if (key->or_none && strcmp(text, "none") == 0) {
		*(int64_t *)member = CONFIG_NONE;
		return 0;
	}
	if (*point == '.')
		decimals = strspn(point + 1, "0123456789");
	if (whole == 0 || whole > DECIMAL_WHOLE || decimals > DECIMAL_PLACES ||
	    (*point == '.' && decimals == 0) || point[(*point == '.') + decimals])
		return not_allowed();
	value = strtoll(text, NULL, 10);
	for (size_t i = 0; i < DECIMAL_PLACES; i++)
		value = value * 10 + (i < decimals ? point[1 + i] - '0' : 0);
	return set_number(key, member, value);
}

static int parse_duration(const struct config_key *key, void *member, const char *text)
{
	int64_t ms;

	if (duration_parse(text, &ms) == -1)
		return not_allowed();
	return set_number(key, member, ms);
}

static int parse_choice(const struct config_key *key, void *member, const char *text)
{
	for (int i = 0; key->choices[i]; i++)
		if (strcmp(text, key->choices[i]) == 0) {
			*(int *)member = i;
			return 0;
		}
	return not_allowed();
}

static void free_list(const struct config_key *key, void *member)
{
	struct string_list *list = member;

	(void)key;
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct string_list){ NULL, 0 };
}

static int add_item(struct string_list *list, const char *text, size_t len)
{
	if (len == 0 || len > ITEM_CAP || text[0] == ' ' || text[len - 1] == ' ' ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_- ") < len)
		return not_allowed();
	for (size_t i = 0; i < list->n; i++)
		if (strlen(list->items[i]) == len && memcmp(list->items[i], text, len) == 0)
			return not_allowed();
	list->items[list->n] = strndup(text, len);
	if (!list->items[list->n])
		return -1;
	list->n++;
	return 0;
}

/* Items are separated by ", ", as config_value_format() writes them. */
static int parse_list(const struct config_key *key, void *member, const char *text)
{
	struct string_list list = { calloc((size_t)key->max, sizeof(char *)), 0 };
	int rc = list.items ? 0 : -1;

	for (const char *p = text; rc == 0 && p; ) {
		const char *comma = strstr(p, ", ");

		if (list.n == (size_t)key->max)
			rc = not_allowed();
		else
			rc = add_item(&list, p, comma ? (size_t)(comma - p) : strlen(p));
		p = comma ? comma + 2 : NULL;
	}
	free_list(key, rc == 0 ? member : &list);
	if (rc == 0)
		*(struct string_list *)member = list;
	return rc;
}

void config_value_quote(struct buf *out, const char *word)
{
	buf_char(out, '"');
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			buf_char(out, '\\');
		buf_char(out, *word);
	}
	buf_char(out, '"');
}

/* The quoted string at *p as a copy; moves *p behind it. NULL when there is none, or no memory. */
static char *unquote(const char **p)
{
	char *word, *out;
	const char *in = *p;

	if (*in++ != '"')
		return NULL;
	word = out = malloc(strlen(in) + 1);
	while (word && *in && *in != '"') {
		in += *in == '\\' && in[1];
		*out++ = *in++;
	}
	if (word && *in != '"') {
		free(word);
		return NULL;
	}
	if (word)
		*out = '\0';
	*p = in + 1;
	return word;
}

/* What the key says of each; else it is a command line, and begins with a program's path. */
static bool is_allowed_word(const struct config_key *key, const struct string_list *before,
			    const char *word)
{
	if (before->n == (size_t)key->max || has_control_characters(word))
		return false;
	return key->wrong ? !key->wrong(word) : before->n > 0 || word[0] == '/';
}

/* [ "/bin/a", "b" ]: any strings that the key allows. */
static int parse_words(const struct config_key *key, void *member, const char *text)
{
	struct string_list list = { calloc((size_t)key->max, sizeof(char *)), 0 };
	const char *p = text + strspn(text, "[ ");
	int rc = list.items ? 0 : -1;

	if (rc == 0 && strlen(text) > WORDS_CAP)
		rc = not_allowed();
	while (rc == 0 && *p == '"') {
		char *word = unquote(&p);

		if (word && is_allowed_word(key, &list, word)) {
			list.items[list.n++] = word;
		} else {
			free(word);
			rc = not_allowed();
		}
		p += strspn(p, ", ");
	}
	if (rc == 0 && strcmp(p, "]") != 0)
		rc = not_allowed();
	free_list(key, rc == 0 ? member : &list);
	if (rc == 0)
		*(struct string_list *)member = list;
	return rc;
}

/* As the loader makes it of a group; "{ }" when it is empty. */
static int parse_object(const struct config_key *key, void *member, const char *text)
{
	size_t len = strlen(text);
	char *copy;

	if (len < 2 || len > OBJECT_CAP || text[0] != '{' || text[len - 1] != '}' ||
	    has_control_characters(text))
		return not_allowed();
	copy = strdup(text);
	if (!copy)
		return -1;
	free_string(key, member);
	*(char **)member = copy;
	return 0;
}

static void free_headers(const struct config_key *key, void *member)
{
	const struct string_list *list = member;

	for (size_t i = 0; i < list->n; i++)
		explicit_bzero(list->items[i], strlen(list->items[i]));
	free_list(key, member);
}

/* { "name": "value", ... }: no name twice, whatever its case. */
static bool is_new_header(const struct string_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i += 2)
		if (strcasecmp(list->items[i], name) == 0)
			return false;
	return *name != '\0';
}

static int parse_headers(const struct config_key *key, void *member, const char *text)
{
	size_t room = 2 * (size_t)key->max;
	struct string_list list = { calloc(room, sizeof(char *)), 0 };
	const char *p = text + strspn(text, "{ ");
	int rc = list.items ? 0 : -1;

	if (rc == 0 && strlen(text) > OBJECT_CAP)
		rc = not_allowed();
	while (rc == 0 && *p == '"') {
		char *word = unquote(&p);

		if (word && list.n < room && !has_control_characters(word) &&
		    (list.n % 2 == 1 || is_new_header(&list, word))) {
			list.items[list.n++] = word;
		} else {
			free(word);
			rc = not_allowed();
		}
		p += strspn(p, ":, ");
	}
	if (rc == 0 && (strcmp(p, "}") != 0 || list.n % 2 != 0))
		rc = not_allowed();
	free_headers(key, rc == 0 ? member : &list);
	if (rc == 0)
		*(struct string_list *)member = list;
	return rc;
}

static void format_string(const struct config_key *key, const void *member, struct buf *out)
{
	(void)key;
	buf_str(out, *(char *const *)member);
}

static void format_integer(const struct config_key *key, const void *member, struct buf *out)
{
	(void)key;
	buf_printf(out, "%" PRId64, *(const int64_t *)member);
}

static void format_duration(const struct config_key *key, const void *member, struct buf *out)
{
	char text[32];

	(void)key;
	buf_str(out, duration_format(*(const int64_t *)member, text, sizeof(text)));
}

static void format_choice(const struct config_key *key, const void *member, struct buf *out)
{
	buf_str(out, key->choices[*(const int *)member]);
}

static void format_list(const struct config_key *key, const void *member, struct buf *out)
{
	const struct string_list *list = member;

	(void)key;
	for (size_t i = 0; i < list->n; i++)
		buf_printf(out, "%s%s", i ? ", " : "", list->items[i]);
}

/* As a configuration file has it. */
static void format_words(const struct config_key *key, const void *member, struct buf *out)
{
	const struct string_list *list = member;

	(void)key;
	buf_char(out, '[');
	for (size_t i = 0; i < list->n; i++) {
		buf_str(out, i ? ", " : " ");
		config_value_quote(out, list->items[i]);
	}
	buf_str(out, " ]");
}

/* Where a value comes from elsewhere ("env:TOKEN"), that is no secret. */
static void write_headers(const struct string_list *list, bool starred, struct buf *out)
{
	buf_str(out, "{");
	for (size_t i = 0; i + 1 < list->n; i += 2) {
		const char *value = list->items[i + 1];

		buf_str(out, i ? ", " : " ");
		config_value_quote(out, list->items[i]);
		buf_str(out, ": ");
		if (starred && strncmp(value, "env:", 4) != 0 && strncmp(value, "file:", 5) != 0)
			value = "****";
		config_value_quote(out, value);
	}
	buf_str(out, " }");
}

static void format_headers(const struct config_key *key, const void *member, struct buf *out)
{
	(void)key;
	write_headers(member, false, out);
}

static void allowed_string(const struct config_key *key, const char *text, struct buf *out)
{
	const char *instead = key->wrong ? key->wrong(text) : NULL;

	if (instead)
		buf_str(out, instead);
	else
		buf_printf(out, "a string of at most %zu bytes without control characters",
			   string_cap(key));
}

static void allowed_integer(const struct config_key *key, const char *text, struct buf *out)
{
	(void)text;
	if (key->max == INT64_MAX)
		buf_printf(out, "an integer, %" PRId64 " or more", key->min);
	else
		buf_printf(out, "an integer from %" PRId64 " to %" PRId64, key->min, key->max);
}

static void format_decimal(const struct config_key *key, const void *member, struct buf *out)
{
	if (key->or_none && *(const int64_t *)member == CONFIG_NONE)
		buf_str(out, "none");
	else
		buf_billionths(out, 1000 * (uint64_t)*(const int64_t *)member);
}

static void allowed_decimal(const struct config_key *key, const char *text, struct buf *out)
{
	(void)text;
	buf_printf(out, "%sa number from %" PRId64 " to %" PRId64 " with at most %d decimals",
		   key->or_none ? "\"none\" or " : "", key->min / 1000000, key->max / 1000000,
		   DECIMAL_PLACES);
}

static void allowed_duration(const struct config_key *key, const char *text, struct buf *out)
{
	char min[32], max[32];

	(void)text;
	buf_printf(out, "%sa duration from \"%s\" to \"%s\" (units: ms, s, m, h, d)",
		   key->or_zero ? "\"0\" or " : "", duration_format(key->min, min, sizeof(min)),
		   duration_format(key->max, max, sizeof(max)));
}

static void allowed_choice(const struct config_key *key, const char *text, struct buf *out)
{
	const char *guess = hint_word(key->choices, text);

	for (size_t i = 0; key->choices[i]; i++)
		buf_printf(out, "%s\"%s\"", i == 0 ? "" : key->choices[i + 1] ? ", " : " or ",
			   key->choices[i]);
	if (guess)
		buf_printf(out, "; did you mean \"%s\"?", guess);
}

static void allowed_list(const struct config_key *key, const char *text, struct buf *out)
{
	const char *name = key->preset;
	size_t len;

	(void)text;
	buf_printf(out,
		   "a list of %" PRId64 " to %" PRId64 " different names made of a-z, 0-9, _, - "
		   "and blanks, such as [ ",
		   key->min, key->max);
	for (; *name; name += len + strspn(name + len, ", ")) {
		len = strcspn(name, ",");
		buf_printf(out, "%s\"%.*s\"", name == key->preset ? "" : ", ", (int)len, name);
	}
	buf_str(out, " ]");
}

static void allowed_words(const struct config_key *key, const char *text, struct buf *out)
{
	(void)text;
	if (key->wrong) {
		buf_printf(out, "a list of at most %" PRId64 " strings without control characters, "
			   "each %s", key->max, key->wrong(""));
		return;
	}
	buf_printf(out,
		   "a list of at most %" PRId64 " strings and %d bytes without control characters, "
		   "the first the absolute path of a program: [ \"/usr/bin/rate\", \"-v\" ]",
		   key->max, WORDS_CAP);
}

static void allowed_object(const struct config_key *key, const char *text, struct buf *out)
{
	(void)text;
	buf_printf(out,
		   "a group of at most %" PRId64 " values and %d bytes, strings in UTF-8, numbers, "
		   "booleans, lists and groups: { seed = 7; }", key->max, OBJECT_CAP);
}

static void allowed_headers(const struct config_key *key, const char *text, struct buf *out)
{
	(void)text;
	buf_printf(out,
		   "a group of at most %" PRId64 " strings and %d bytes without control "
		   "characters, no name twice: { x-title = \"grading\"; x-token = \"env:TOKEN\"; }",
		   key->max, OBJECT_CAP);
}

/* The loader fills the list, a hook after the other: as text it is only empty. */
static int parse_hooks(const struct config_key *key, void *member, const char *text)
{
	if (strcmp(text, key->preset) != 0)
		return not_allowed();
	hook_list_free(&config_value_ops, member);
	return 0;
}

static void format_hooks(const struct config_key *key, const void *member, struct buf *out)
{
	(void)key;
	hook_list_show(&config_value_ops, member, out);
}

static void allowed_hooks(const struct config_key *key, const char *text, struct buf *out)
{
	(void)text;
	buf_printf(out, "a list in ( ) of at most %" PRId64 " groups of ", key->max);
	hook_keys_list(out);
	buf_str(out, ": ( { name = \"app\"; url = \"https://...\"; secret_env = \"VARIABLE\"; } )");
}

static void free_hooks(const struct config_key *key, void *member)
{
	(void)key;
	hook_list_free(&config_value_ops, member);
}

static void free_nothing(const struct config_key *key, void *member)
{
	(void)key;
	(void)member;
}

static const struct {
	int (*parse)(const struct config_key *key, void *member, const char *text);
	void (*format)(const struct config_key *key, const void *member, struct buf *out);
	void (*allowed)(const struct config_key *key, const char *text, struct buf *out);
	void (*release)(const struct config_key *key, void *member);
} types[] = {
	[KEY_STRING] = { parse_string, format_string, allowed_string, free_string },
	[KEY_INTEGER] = { parse_integer, format_integer, allowed_integer, free_nothing },
	[KEY_DURATION] = { parse_duration, format_duration, allowed_duration, free_nothing },
	[KEY_CHOICE] = { parse_choice, format_choice, allowed_choice, free_nothing },
	[KEY_LIST] = { parse_list, format_list, allowed_list, free_list },
	[KEY_WORDS] = { parse_words, format_words, allowed_words, free_list },
	[KEY_DECIMAL] = { parse_decimal, format_decimal, allowed_decimal, free_nothing },
	[KEY_OBJECT] = { parse_object, format_string, allowed_object, free_string },
	[KEY_HEADERS] = { parse_headers, format_headers, allowed_headers, free_headers },
	[KEY_HOOKS] = { parse_hooks, format_hooks, allowed_hooks, free_hooks },
};

int config_value_parse(const struct config_key *key, void *base, const char *text)
{
	return types[key->type].parse(key, (char *)base + key->offset, text);
}

void config_value_format(const struct config_key *key, const void *base, struct buf *out)
{
	types[key->type].format(key, (const char *)base + key->offset, out);
}

void config_value_show(const struct config_key *key, const void *base, struct buf *out)
{
	const void *member = (const char *)base + key->offset;

	if (key->type == KEY_HEADERS)
		write_headers(member, true, out);
	else
		types[key->type].format(key, member, out);
}

void config_value_allowed(const struct config_key *key, const char *text, struct buf *out)
{
	types[key->type].allowed(key, text, out);
}

void config_value_free(const struct config_key *key, void *base)
{
	types[key->type].release(key, (char *)base + key->offset);
}

const struct hook_ops config_value_ops = {
	config_value_parse, config_value_format, config_value_free,
};
