/* Reads a provider's error, without I/O; workers only. It judges nothing, and trusts nothing. */
#include "complaint.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "lib/json_strict.h"

#define PREFIX_CAP_BYTES 200	/* of what a gateway says before the error that it quotes */

static struct json_object *member(struct json_object *object, const char *key)
{
	return json_object_is_type(object, json_type_object) ? json_object_object_get(object, key)
							     : NULL;
}

static size_t length(struct json_object *value)
{
	return json_object_is_type(value, json_type_array) ? json_object_array_length(value) : 0;
}

/* "" unless it is a string. */
static const char *text_of(struct json_object *value)
{
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static void add_name(struct complaint *c, const char *name)
{
	if (*name && c->nnames < COMPLAINT_NAMES)
		c->names[c->nnames++] = name;
}

static void add_param(struct complaint *c, const char *name)
{
	add_name(c, name);
	if (*name && c->nparams < COMPLAINT_PARAMS)
		c->params[c->nparams++] = name;
}

/* ---- names ---- */

/* {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "..."}]} (FastAPI) */
static const char *read_detail(struct complaint *c, struct json_object *detail)
{
	const char *message = text_of(detail);

	for (size_t i = 0; i < length(detail); i++) {
		struct json_object *one = json_object_array_get_idx(detail, i);
		struct json_object *place = member(one, "loc");

		add_name(c, text_of(member(one, "type")));
		for (size_t k = 0; k < length(place); k++)
			add_param(c, text_of(json_object_array_get_idx(place, k)));
		if (!*message)
			message = text_of(member(one, "msg"));
	}
	return message;
}

/* {"details": [{"reason": "API_KEY_INVALID"}]} (Google) */
static void read_reasons(struct complaint *c, struct json_object *details)
{
	for (size_t i = 0; i < length(details); i++)
		add_name(c, text_of(member(json_object_array_get_idx(details, i), "reason")));
}

static void read_names(struct complaint *c, struct json_object *error)
{
	static const char *const keys[] = { "code", "type", "status", "error_type" };
	struct json_object *code = member(error, "code"), *metadata = member(error, "metadata");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		add_name(c, text_of(member(error, keys[i])));
	add_param(c, text_of(member(error, "param")));
	add_name(c, text_of(member(member(error, "innererror"), "code")));	/* Azure */
	read_reasons(c, member(error, "details"));
	add_name(c, text_of(member(metadata, "error_type")));	/* OpenRouter */
	add_name(c, text_of(member(metadata, "limit_source")));
	if (member(metadata, COMPLAINT_FLAGGED))
		add_name(c, COMPLAINT_FLAGGED);
	/* A gateway's code may be the status it met itself. */
	if (c->status < 300 && json_object_is_type(code, json_type_int) &&
	    json_object_get_int64(code) >= 300 && json_object_get_int64(code) <= 599)
		c->status = json_object_get_int(code);
}

/* ---- an error within an error ---- */

/* Length of the JSON object or array that text begins with; 0 when it does not end. */
static size_t balanced(const char *text)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; text[i]; i++) {
		if (in_string && text[i] == '\\' && text[i + 1])
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '['))
			depth++;
		else if (!in_string && (text[i] == '}' || text[i] == ']') && --depth <= 0)
			return i + 1;
	}
	return 0;
}

/*
 * Where a message quotes another error: it is nothing else (Google, by a gateway), or stands behind
 * "SomeException - " (LiteLLM). Braces elsewhere may be of the lines that were asked about.
 */
static const char *find_quoted(const char *message)
{
	size_t at = strcspn(message, "{[\"'`");

	if (message[at] == '\'' && at > 0 && message[at - 1] == 'b')	/* b'{"error": ...}' */
		at++;
	if ((message[at] != '{' && message[at] != '[') || at > PREFIX_CAP_BYTES)
		return NULL;
	if (at == 0 || (at > 3 && memcmp(message + at - 3, " - ", 3) == 0) ||
	    (at > 5 && memcmp(message + at - 5, " - b'", 5) == 0))
		return message + at;
	return NULL;
}

static struct json_object *parse_quoted(struct complaint *c, const char *text)
{
	size_t len = text && c->nquoted < COMPLAINT_LEVELS ? balanced(text) : 0;
	struct json_object *value;
	const char *why;

	if (len == 0 || json_strict_parse(text, len, &value, &why) == -1)
		return NULL;
	c->quoted[c->nquoted++] = value;
	return value;
}

/* ---- all of it ---- */

/*
 * "litellm.UnsupportedParamsError: ..." names an exception: a name, and none of the message.
 * Returns the message behind it.
 */
static const char *skip_class(struct complaint *c, const char *message)
{
	static const char *const ends[] = { "Error", "Exception" };
	size_t len = 0, begin = 0;

	for (; isalnum((unsigned char)message[len]) || message[len] == '.' || message[len] == '_';
	     len++)
		if (message[len] == '.')
			begin = len + 1;
	if (strncmp(message + len, ": ", 2) != 0 && strncmp(message + len, " - ", 3) != 0)
		return message;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		size_t n = strlen(ends[i]), size = len - begin;

		if (size < n || memcmp(message + len - n, ends[i], n) != 0)
			continue;
		if (c->nclasses < COMPLAINT_CLASSES && size < COMPLAINT_CLASS_BYTES) {
			memcpy(c->classes[c->nclasses], message + begin, size);
			add_name(c, c->classes[c->nclasses++]);
		}
		return message + len + (message[len] == ':' ? 2 : 3);
	}
	return message;
}

/* {"error_msg"} (Baidu), {"msg"} (Zhipu and many gateways), {"base_resp": {"status_msg"}} (MiniMax) */
static const char *other_message(struct json_object *error)
{
	static const char *const keys[] = { "error_msg", "msg" };
	const char *message = text_of(member(member(error, "base_resp"), "status_msg"));

	for (size_t i = 0; !*message && i < sizeof(keys) / sizeof(keys[0]); i++)
		message = text_of(member(error, keys[i]));
	return message;
}

/*
 * The usual {"error": {"code", "type", "param", "message"}}; {"error": "message"} (Ollama, TGI);
 * the four bare (vLLM, Mistral); {"detail": ...}; any of these in an array (Google). Returns the
 * error that this one quotes, or NULL.
 */
static struct json_object *read_level(struct complaint *c, struct json_object *body)
{
	struct json_object *error, *quoted;
	const char *message;

	if (length(body) > 0)
		body = json_object_array_get_idx(body, 0);
	error = member(body, "error");
	if (error)
		add_name(c, text_of(member(body, "error_type")));
	else
		error = body;
	read_names(c, error);
	message = *text_of(error) ? text_of(error) : text_of(member(error, "message"));
	if (!*message)
		message = read_detail(c, member(error, "detail"));
	if (!*message)		/* {"message": {"detail": [...]}} (Mistral) */
		message = read_detail(c, member(member(error, "message"), "detail"));
	if (!*message)
		message = other_message(error);
	if (*message)
		c->said = c->messages[c->nmessages++] = message;
	quoted = parse_quoted(c, text_of(member(member(error, "metadata"), "raw")));
	return quoted ? quoted : parse_quoted(c, find_quoted(message));
}

void complaint_read(struct complaint *c, struct json_object *root)
{
	for (int level = 0; level < COMPLAINT_LEVELS; level++) {
		struct json_object *quoted = read_level(c, root);

		if (!quoted)
			break;
		root = quoted;
	}
	for (size_t i = 0; i < c->nmessages; i++)
		for (const char *next; (next = skip_class(c, c->messages[i])) != c->messages[i];)
			c->messages[i] = next;
}

void complaint_free(struct complaint *c)
{
	for (size_t i = 0; i < c->nquoted; i++)
		json_object_put(c->quoted[i]);
	c->nquoted = 0;
}
