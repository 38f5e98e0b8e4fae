/*
 * Reads what an OpenAI-compatible provider answered, without I/O; workers only. Opens the envelope
 * and hands the model's words to verdict.c; makes a sentence of an error. Trusts nothing it reads.
 */
#include "openai_reply.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mask.h"
#include "base/utf8.h"
#include "lib/json_strict.h"

#define MESSAGE_CAP_BYTES 200		/* of the provider's own words in an error */
#define NANOS_PART 1000			/* millionths of millionths in a billionth */
#define NANOS_ROUND (NANOS_PART / 2)
#define TOKENS_CAP 10000000		/* a call cannot have cost more, whatever is reported */

/* ---- reading JSON; NULL is JSON null, and every reader takes it ---- */

static struct json_object *member(struct json_object *object, const char *key)
{
	return json_object_is_type(object, json_type_object) ? json_object_object_get(object, key)
							     : NULL;
}

static struct json_object *first(struct json_object *array)
{
	if (!json_object_is_type(array, json_type_array) || json_object_array_length(array) == 0)
		return NULL;
	return json_object_array_get_idx(array, 0);
}

/* "" unless it is a string. */
static const char *text_of(struct json_object *value)
{
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static int64_t tokens_of(struct json_object *value)
{
	int64_t n = 0;

	if (json_strict_integer(value, 0, INT64_MAX, &n))
		return n > TOKENS_CAP ? TOKENS_CAP : n;
	return 0;
}

/*
 * The provider's words made fit for an error or a log: one clean line without a secret of ours in
 * it.
 */
static void copy_clean(char *out, size_t size, const char *words, const struct config *config)
{
	const char *key = config->openai.api_key;
	size_t len;

	if (key && *key && strstr(words, key))
		words = "(left out, because it quotes our API key)";
	else if (config->openai.base_url &&
		 mask_is_url_quoted(config->openai.base_url, words, strlen(words)))
		words = "(left out, because it quotes a secret of openai.base_url)";
	len = utf8_cut(words, strlen(words), size - 1);
	memcpy(out, words, len);
	out[utf8_clean(out, len, UTF8_BLANK_CONTROLS)] = '\0';
}

/* ---- errors ---- */

static const struct { int status; const char *phrase; } phrases[] = {
	{ 200, "OK" }, { 301, "Moved Permanently" }, { 302, "Found" },
	{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" },
	{ 402, "Payment Required" }, { 403, "Forbidden" }, { 404, "Not Found" },
	{ 405, "Method Not Allowed" }, { 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" }, { 409, "Conflict" }, { 413, "Content Too Large" },
	{ 422, "Unprocessable Content" }, { 425, "Too Early" }, { 429, "Too Many Requests" },
	{ 500, "Internal Server Error" }, { 502, "Bad Gateway" },
	{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
};

#define QUOTA "the quota of this account is used up: raise its limit, or set another API key"
#define CREDENTIALS "it refused our credentials: check openai.api_key_env or openai.api_key_file"
#define ADDRESS "check openai.base_url"

#define FLAGGED "flagged_input"		/* beside a 403 that is about the lines, not our account */
#define SMALLER "lower rater.lines_per_call or rater.context_lines"

/*
 * The first row that fits decides: by a name in the error's code, type or param, or by status; the
 * last fits all. What is the same in every request (model, format) is for an operator, not the
 * job's fault. ERR_NONE: what the lines say was refused, which is an outcome of theirs.
 */
static const struct rule {
	const char *name;
	int from, to;
	enum err_kind kind;
	const char *advice;		/* NULL: the provider's words will do */
} rules[] = {
	{ NULL, 413, 413, ERR_PERMANENT,   SMALLER },	/* Groq names it rate_limit_exceeded */
	{ "insufficient_quota",         0, 999, ERR_DENIED,    QUOTA },
	{ "billing_hard_limit_reached", 0, 999, ERR_DENIED,    QUOTA },
	{ "billing_not_active",         0, 999, ERR_DENIED,    QUOTA },
	{ "invalid_api_key",            0, 999, ERR_DENIED,    CREDENTIALS },
	{ "model_not_found",            0, 999, ERR_DENIED,    "check openai.model" },
	{ "model",                      0, 999, ERR_DENIED,    "check openai.model" },
	{ "temperature",                0, 999, ERR_DENIED,    "choose another openai.model" },
	{ "response_format",            0, 999, ERR_DENIED,    "check openai.response_format" },
	{ "rate_limit_exceeded",        0, 999, ERR_LIMITED,   NULL },
	{ "context_length_exceeded",    0, 999, ERR_PERMANENT, SMALLER },
	{ "exceed_context_size_error",  0, 999, ERR_PERMANENT, SMALLER },	/* llama.cpp */
	{ "content_policy_violation",   0, 999, ERR_NONE,      NULL },
	{ "content_filter",             0, 999, ERR_NONE,      NULL },		/* Azure */
	{ "invalid_prompt",             0, 999, ERR_NONE,      NULL },
	{ FLAGGED,                      0, 999, ERR_NONE,      NULL },		/* OpenRouter */
	{ "json_validate_failed",       0, 999, ERR_RETRY,     NULL },	/* Groq, of the model */
	{ NULL, 300, 399, ERR_DENIED,      "redirects are not followed; " ADDRESS },
	{ NULL, 401, 401, ERR_DENIED,      CREDENTIALS },
	{ NULL, 402, 402, ERR_DENIED,      QUOTA },
	{ NULL, 403, 403, ERR_DENIED,      CREDENTIALS },
	{ NULL, 404, 404, ERR_DENIED,      "check openai.base_url and openai.model" },
	{ NULL, 405, 405, ERR_DENIED,      ADDRESS },
	{ NULL, 407, 407, ERR_DENIED,      "check openai.proxy" },
	{ NULL, 408, 409, ERR_UNCLEAR,     NULL },
	{ NULL, 425, 425, ERR_UNCLEAR,     NULL },
	{ NULL, 429, 429, ERR_LIMITED,     NULL },
	{ NULL, 400, 499, ERR_PERMANENT,   NULL },
	{ NULL, 500, 500, ERR_UNCLEAR,     NULL },
	{ NULL, 501, 599, ERR_UNAVAILABLE, NULL },
	{ NULL, 0,   999, ERR_UNCLEAR,     NULL },
};

/* Calls that brought no status to judge by. */
static const struct { enum err_kind kind; const char *words, *advice; } endings[] = {
	[HTTP_OVERSIZED] =   { ERR_RETRY, "the provider's answer is larger than its cap", "" },
	[HTTP_UNREACHABLE] = { ERR_UNAVAILABLE, "the provider cannot be reached", "" },
	[HTTP_UNTRUSTED] =   { ERR_DENIED, "the provider's certificate is not to be trusted",
			       "; " ADDRESS " and openai.ca_file" },
	[HTTP_TIMED_OUT] =   { ERR_UNCLEAR, "the provider did not answer in time", "" },
	[HTTP_BROKEN] =      { ERR_UNCLEAR,
			       "the connection broke before the provider's answer was complete",
			       "" },
};

struct complaint {
	int status;
	const char *names[4];		/* code, type, param, FLAGGED; "" where there is none */
	char message[MESSAGE_CAP_BYTES + 1];
};

/*
 * The usual {"error": {"code", "type", "param", "message"}}; {"error": "message"} (Ollama); the
 * four bare (vLLM); any of these in an array (Google). A gateway's code may be the status it met
 * itself.
 */
static void read_complaint(struct json_object *root, const struct config *config,
			   struct complaint *c)
{
	struct json_object *body = json_object_is_type(root, json_type_array) ? first(root) : root;
	struct json_object *error = member(body, "error");
	struct json_object *code;
	size_t len;

	if (!error)
		error = body;
	code = member(error, "code");
	c->names[0] = text_of(code);
	c->names[1] = text_of(member(error, "type"));
	c->names[2] = text_of(member(error, "param"));
	c->names[3] = member(member(error, "metadata"), FLAGGED) ? FLAGGED : "";
	copy_clean(c->message, sizeof(c->message),
		   *text_of(error) ? text_of(error) : text_of(member(error, "message")), config);
	len = strlen(c->message);
	while (len > 0 && (c->message[len - 1] == '.' || c->message[len - 1] == ' '))
		c->message[--len] = '\0';
	if (c->status < 300 && json_object_is_type(code, json_type_int) &&
	    json_object_get_int64(code) >= 300 && json_object_get_int64(code) <= 599)
		c->status = json_object_get_int(code);
}

static bool rule_fits(const struct rule *rule, const struct complaint *c)
{
	for (size_t i = 0; rule->name && i < sizeof(c->names) / sizeof(c->names[0]); i++)
		if (strcmp(rule->name, c->names[i]) == 0)
			return true;
	return !rule->name && c->status >= rule->from && c->status <= rule->to;
}

static const struct rule *find_rule(const struct complaint *c)
{
	const struct rule *rule = rules, *last = &rules[sizeof(rules) / sizeof(rules[0]) - 1];

	while (rule < last && !rule_fits(rule, c))
		rule++;
	return rule;
}

/* Of a refusal that no rule knows. It may quote the lines, so other requests need not meet it. */
static const char *advice_on(const struct complaint *c)
{
	return strstr(c->message, "response_format") ? "check openai.response_format" : NULL;
}

/* "; retrying after 20 s", where the provider said how long. */
static int64_t add_after(struct buf *text, int64_t after_ms)
{
	if (after_ms > OPENAI_AFTER_CAP_MS)
		after_ms = OPENAI_AFTER_CAP_MS;
	if (after_ms > 0)
		buf_printf(text, "; retrying after %" PRId64 " s", (after_ms + 999) / 1000);
	return after_ms;
}

static void fail_with_status(const struct complaint *c, int64_t after_ms, struct ask *ask)
{
	const struct rule *rule = find_rule(c);
	const char *advice = rule->advice ? rule->advice : advice_on(c);
	bool waits = rule->kind != ERR_PERMANENT && rule->kind != ERR_NONE;
	struct buf text;

	buf_init(&text, sizeof(ask->err->text) - 1);
	buf_printf(&text, "the provider answered %d", c->status);
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == c->status)
			buf_printf(&text, " %s", phrases[i].phrase);
	if (c->message[0] && c->status != 401)	/* its words tend to quote parts of the key */
		buf_printf(&text, ": %s", c->message);
	if (advice)
		buf_printf(&text, "; %s", advice);
	after_ms = waits ? add_after(&text, after_ms) : 0;
	if (rule->kind == ERR_NONE) {
		verdict_refused(ask->verdicts, ask->nlines, &ask->job->arena, buf_text(&text));
	} else {
		ask_fail(ask, rule->kind, "%s", buf_text(&text));
		ask->err->after_ms = after_ms;
	}
	/* Too large, which those of another job need not be. */
	ask->about_lines = rule->kind == ERR_PERMANENT && rule->advice;
	buf_free(&text);
}

static void fail(const struct http_reply *reply, struct json_object *root,
		 const struct config *config, struct ask *ask)
{
	struct complaint c = { .status = reply->status };

	read_complaint(root, config, &c);
	ask->never_sent = reply->end == HTTP_UNREACHABLE || reply->end == HTTP_UNTRUSTED;
	if (reply->end == HTTP_ANSWERED || reply->status >= 300)
		fail_with_status(&c, reply->retry_after_ms, ask);
	else
		ask_fail(ask, endings[reply->end].kind, "%s: %s%s", endings[reply->end].words,
			 reply->detail, endings[reply->end].advice);
}

/* ---- replies ---- */

/* finish_reasons that explain why a reply does not hold all lines. */
static const struct { const char *name; enum outcome outcome; } finish_reasons[] = {
	{ "length", OUTCOME_TRUNCATED },
	{ "content_filter", OUTCOME_REFUSED },
};

/* Length of a cut reply up to the end of its last whole rating; 0 when it holds none. */
static size_t whole_ratings(const char *text, size_t len)
{
	bool in_string = false;
	size_t end = 0;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 2)
			end = i + 1;
	}
	return end;
}

static void read_words(const char *words, size_t len, const struct config *config, struct ask *ask)
{
	ask->used.stray = verdict_read(words, len, config, ask->lines, ask->nlines,
				       &ask->job->arena, ask->verdicts);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* After the last whole rating comes nothing, the end of it all, or a comma if more are due. */
static bool stops_midway(const char *tail, const char *end, bool more)
{
	while (tail < end && is_blank(*tail))
		tail++;
	if (tail == end)
		return true;
	if (*tail == ',')
		return more;
	while (tail < end && (is_blank(*tail) || *tail == ']' || *tail == '}' || *tail == '`'))
		tail++;
	return tail == end;
}

/* How many of the first lines asked about have an outcome; -1 when another one has, too. */
static int answered_in_order(const struct ask *ask)
{
	size_t k = 0;

	while (k < ask->nlines && ask->verdicts[k].outcome != OUTCOME_MISSING)
		k++;
	for (size_t i = k; i < ask->nlines; i++)
		if (ask->verdicts[i].outcome != OUTCOME_MISSING)
			return -1;
	return (int)k;
}

/*
 * Keeps the whole ratings of a reply that stopped early; lines without one learn why. What it would
 * have said further on is not known, such as a number that no line has: so they must be of the
 * first lines asked about, and the reply about to go on with the next.
 */
static void read_cut(const char *words, size_t len, enum outcome why, const struct config *config,
		     struct ask *ask)
{
	const char *start = memchr(words, '{', len);	/* a fence that never closes stays behind */
	size_t whole = start ? whole_ratings(start, len - (size_t)(start - words)) : 0;
	int k;

	read_words(words, len, config, ask);
	if (whole > 0 && ask->verdicts[0].outcome == OUTCOME_NOT_JSON) {
		char *mended = arena_printf(&ask->job->arena, "%.*s]}", (int)whole, start);

		read_words(mended, strlen(mended), config, ask);
		k = answered_in_order(ask);
		if (k == -1 || !stops_midway(start + whole, words + len, k < (int)ask->nlines))
			verdict_all(ask->verdicts, ask->nlines, why);
	}
	for (size_t i = 0; i < ask->nlines; i++) {
		enum outcome *outcome = &ask->verdicts[i].outcome;

		if (*outcome == OUTCOME_MISSING || *outcome == OUTCOME_NOT_JSON ||
		    *outcome == OUTCOME_EMPTY)
			*outcome = why;
	}
}

static void read_choice(struct json_object *choice, const struct config *config, struct ask *ask)
{
	const char *finish_reason = text_of(member(choice, "finish_reason"));
	struct json_object *message = member(choice, "message");
	struct json_object *content = member(message, "content");
	const char *words = text_of(content);
	size_t len = *words ? (size_t)json_object_get_string_len(content) : 0;

	if (!json_object_is_type(message, json_type_object) ||
	    (content && !json_object_is_type(content, json_type_string))) {
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_NOT_SCHEMA);
		return;
	}
	if (*text_of(member(message, "refusal"))) {
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_REFUSED);
		return;
	}
	for (size_t i = 0; i < sizeof(finish_reasons) / sizeof(finish_reasons[0]); i++)
		if (strcmp(finish_reason, finish_reasons[i].name) == 0) {
			read_cut(words, len, finish_reasons[i].outcome, config, ask);
			return;
		}
	read_words(words, len, config, ask);
}

/* Of one call. Prices are in millionths, of a million tokens; all is capped, nothing overflows. */
static int64_t cost_of(const struct config *config, int64_t prompt_tokens,
		       int64_t completion_tokens)
{
	return (prompt_tokens * config->openai.prompt_price +
		completion_tokens * config->openai.completion_price + NANOS_ROUND) /
		NANOS_PART;
}

static void read_used(struct json_object *root, const struct config *config, struct ask *ask)
{
	struct json_object *usage = member(root, "usage");
	char model[OPENAI_MODEL_CAP_BYTES + 1];

	copy_clean(model, sizeof(model), text_of(member(root, "model")), config);
	if (model[0])
		ask->used.model = arena_dup(&ask->job->arena, model, strlen(model));
	ask->used.prompt_tokens = tokens_of(member(usage, "prompt_tokens"));
	ask->used.completion_tokens = tokens_of(member(usage, "completion_tokens"));
	ask->used.cost_nanos = cost_of(config, ask->used.prompt_tokens,
				       ask->used.completion_tokens);
}

static void read_envelope(struct json_object *root, const struct config *config, struct ask *ask)
{
	struct json_object *choice = first(member(root, "choices"));

	if (choice)
		read_choice(choice, config, ask);
	else
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_NOT_SCHEMA);
}

void openai_read_reply(const struct http_reply *reply, const struct config *config, struct ask *ask)
{
	bool success = reply->status >= 200 && reply->status <= 299;
	struct json_object *root;
	const char *why;
	bool is_json = json_strict_parse(reply->body, reply->len, &root, &why) == 0;

	ask->used.calls = 1;
	ask->used.latency_ms = reply->latency_ms;
	read_used(root, config, ask);	/* a call that failed may have been billed, too */
	if (success && reply->end == HTTP_OVERSIZED)
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_OVERSIZED);
	else if (!success || reply->end != HTTP_ANSWERED || member(root, "error"))
		fail(reply, root, config, ask);
	else if (reply->len == 0)
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_EMPTY);
	else if (!is_json)
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_NOT_JSON);
	else
		read_envelope(root, config, ask);
	json_object_put(root);
}
