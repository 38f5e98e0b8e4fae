/*
 * Reads what an OpenAI-compatible provider answered, without I/O; workers only. Opens the envelope
 * and hands the model's words to verdict.c; makes a sentence of an error. Trusts nothing it reads.
 */
#include "openai_reply.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "lib/json_strict.h"
#include "complaint.h"
#include "event_stream.h"
#include "secrets.h"
#include "signs.h"

#define MESSAGE_CAP_BYTES 200		/* of the provider's own words in an error */
#define WORDS_CAP_BYTES (8u << 20)	/* more than a reply can hold */
#define BROKE_OFF_STATUS 502		/* of an error that names itself, but no status */
#define NANOS_PART 1000			/* millionths of millionths in a billionth */
#define NANOS_ROUND (NANOS_PART / 2)
#define TOKENS_CAP 10000000		/* a call cannot have cost more, whatever is reported */

struct words { const char *text; size_t len; };

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
	const char *secret = secrets_quoted(config, words, strlen(words));
	char left_out[80];
	size_t len;

	if (secret) {
		snprintf(left_out, sizeof(left_out), "(left out, because it quotes %s)", secret);
		words = left_out;
	}
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
	{ 422, "Unprocessable Content" }, { 424, "Failed Dependency" }, { 425, "Too Early" },
	{ 429, "Too Many Requests" },
	{ 500, "Internal Server Error" }, { 502, "Bad Gateway" },
	{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
};

/* Calls that brought no status to judge by. */
static const struct { enum err_kind kind; const char *words, *advice; } endings[] = {
	[HTTP_OVERSIZED] =   { ERR_RETRY, "the provider's answer is larger than its cap", "" },
	[HTTP_UNREACHABLE] = { ERR_UNAVAILABLE, "the provider cannot be reached", "" },
	[HTTP_UNTRUSTED] =   { ERR_DENIED, "the provider's certificate is not to be trusted",
			       "; check openai.base_url and openai.ca_file" },
	[HTTP_TIMED_OUT] =   { ERR_UNCLEAR, "the provider did not answer in time", "" },
	[HTTP_BROKEN] =      { ERR_UNCLEAR,
			       "the connection broke before the provider's answer was complete",
			       "" },
};

/* The provider's own words, without the full stop. */
static void quote(const struct complaint *c, const struct config *config, char *out, size_t size)
{
	size_t len;

	copy_clean(out, size, c->said ? c->said : "", config);
	len = strlen(out);
	while (len > 0 && (out[len - 1] == '.' || out[len - 1] == ' '))
		out[--len] = '\0';
}

/* Of a refusal that no sign tells. It may quote the lines, so other requests need not meet it. */
static const char *advice_on(const struct sign *sign, const char *words)
{
	if (sign->advice)
		return sign->advice;
	return sign->unplaced && strstr(words, "response_format") ? "check openai.response_format"
								  : NULL;
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

static void write_status(struct buf *text, int status)
{
	buf_printf(text, "the provider answered %d", status);
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == status)
			buf_printf(text, " %s", phrases[i].phrase);
}

static void fail_with_status(const struct complaint *c, const struct config *config,
			     int64_t after_ms, struct ask *ask)
{
	const struct sign *sign = sign_of(c);
	bool waits = sign->kind != ERR_PERMANENT && sign->kind != ERR_NONE;
	char words[MESSAGE_CAP_BYTES + 1];
	struct buf text;

	buf_init(&text, sizeof(ask->err->text) - 1);
	quote(c, config, words, sizeof(words));
	write_status(&text, c->status);
	if (words[0] && c->status != 401)	/* its words tend to quote parts of the key */
		buf_printf(&text, ": %s", words);
	else if (c->status < 300)
		buf_str(&text, ", but no completion");
	if (advice_on(sign, words))
		buf_printf(&text, "; %s", advice_on(sign, words));
	after_ms = waits ? add_after(&text, after_ms) : 0;
	if (sign->kind == ERR_NONE) {
		verdict_refused(ask->verdicts, ask->nlines, &ask->job->arena, buf_text(&text));
	} else {
		ask_fail(ask, sign->kind, "%s", buf_text(&text));
		ask->err->after_ms = after_ms;
	}
	ask->about_lines = sign->kind == ERR_PERMANENT && sign_is_about_lines(sign);
	ask->unplaced = sign->unplaced;
	ask->filtered = sign->filters;
	buf_free(&text);
}

static void fail(const struct http_reply *reply, struct json_object *root,
		 const struct config *config, struct ask *ask)
{
	struct complaint c = { .status = reply->status };

	complaint_read(&c, root);
	ask->never_sent = reply->end == HTTP_UNREACHABLE || reply->end == HTTP_UNTRUSTED;
	if (reply->end == HTTP_ANSWERED || reply->status >= 300)
		fail_with_status(&c, config, reply->retry_after_ms, ask);
	else
		ask_fail(ask, endings[reply->end].kind, "%s: %s%s", endings[reply->end].words,
			 reply->detail, endings[reply->end].advice);
	complaint_free(&c);
}

/*
 * It was well until the model behind it failed: {"error": {...}} in the choice (OpenRouter), or
 * nothing but the reason for which it ended (Mistral).
 */
static void fail_midway(struct json_object *choice, const char *finish_reason,
			const struct config *config, struct ask *ask)
{
	struct complaint c = { .status = 200 };
	char words[MESSAGE_CAP_BYTES + 1];

	complaint_read(&c, member(choice, "error"));
	quote(&c, config, words, sizeof(words));
	if (c.status >= 300 || c.nnames > 0)
		c.status = c.status < 300 ? BROKE_OFF_STATUS : c.status;
	if (c.status >= 300) {
		fail_with_status(&c, config, 0, ask);
	} else {
		char reason[MESSAGE_CAP_BYTES + 1];

		copy_clean(reason, sizeof(reason), finish_reason, config);
		ask_fail(ask, ERR_UNAVAILABLE, "the provider broke its answer off%s%s%s%s",
			 words[0] ? ": " : "", words, reason[0] ? "; finish_reason: " : "", reason);
	}
	complaint_free(&c);
}

/* ---- replies ---- */

/*
 * finish_reasons that explain why a reply does not hold all lines, whatever their case; PENDING:
 * the provider's own failure.
 */
static const struct { const char *name; enum outcome outcome; } finish_reasons[] = {
	{ "length", OUTCOME_TRUNCATED },
	{ "model_length", OUTCOME_TRUNCATED },		/* Mistral */
	{ "max_tokens", OUTCOME_TRUNCATED },		/* Google, Anthropic */
	{ "max_output_tokens", OUTCOME_TRUNCATED },
	{ "content_filter", OUTCOME_REFUSED },
	{ "refusal", OUTCOME_REFUSED },			/* Anthropic */
	{ "safety", OUTCOME_REFUSED },			/* Google, as those that follow */
	{ "recitation", OUTCOME_REFUSED },
	{ "blocklist", OUTCOME_REFUSED },
	{ "prohibited_content", OUTCOME_REFUSED },
	{ "spii", OUTCOME_REFUSED },
	{ "sensitive", OUTCOME_REFUSED },		/* Zhipu */
	{ "error", OUTCOME_PENDING },			/* Mistral, OpenRouter */
	{ "network_error", OUTCOME_PENDING },		/* Zhipu */
	{ "insufficient_system_resource", OUTCOME_PENDING },	/* DeepSeek */
};

/* RATED: it ended as it should. */
static enum outcome outcome_of_end(const char *finish_reason)
{
	size_t len = strcspn(finish_reason, ":");	/* "content_filter: RECITATION" (Google) */

	for (size_t i = 0; i < sizeof(finish_reasons) / sizeof(finish_reasons[0]); i++)
		if (strlen(finish_reasons[i].name) == len &&
		    strncasecmp(finish_reason, finish_reasons[i].name, len) == 0)
			return finish_reasons[i].outcome;
	return OUTCOME_RATED;
}

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

static void read_words(struct words words, const struct config *config, struct ask *ask)
{
	ask_read_words(ask, config, words.text, words.len);
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
static void read_cut(struct words words, enum outcome why, const struct config *config,
		     struct ask *ask)
{
	struct words cut = { NULL, 0 };
	size_t whole;
	int k;

	if (ask_is_whole(ask)) {	/* half a judgement is none */
		verdict_all(ask->verdicts, ask->nlines, why);
		return;
	}
	read_words(words, config, ask);
	cut.len = verdict_find_cut(words.text, words.len, &cut.text);
	whole = whole_ratings(cut.text, cut.len);
	if (whole > 0 && ask->verdicts[0].outcome == OUTCOME_NOT_JSON) {
		char *mended = arena_printf(&ask->job->arena, "%.*s]}", (int)whole, cut.text);

		read_words((struct words){ mended, strlen(mended) }, config, ask);
		k = answered_in_order(ask);
		if (k == -1 ||
		    !stops_midway(cut.text + whole, cut.text + cut.len, k < (int)ask->nlines))
			verdict_all(ask->verdicts, ask->nlines, why);
	}
	for (size_t i = 0; i < ask->nlines; i++) {
		enum outcome *outcome = &ask->verdicts[i].outcome;

		if (*outcome == OUTCOME_MISSING || *outcome == OUTCOME_NOT_JSON ||
		    *outcome == OUTCOME_EMPTY)
			*outcome = why;
	}
}

/* ---- content ---- */

static bool is_part(struct json_object *part, const char *type)
{
	return strcmp(text_of(member(part, "type")), type) == 0;
}

/*
 * Typed parts: those of text are joined, others (thinking, references) are none of the answer. Only
 * parts that are what they say they are make one.
 */
static enum outcome join_parts(struct json_object *parts, struct buf *joined)
{
	for (size_t i = 0; i < json_object_array_length(parts); i++) {
		struct json_object *part = json_object_array_get_idx(parts, i);
		struct json_object *text = member(part, "text");

		if (!*text_of(member(part, "type")))
			return OUTCOME_NOT_SCHEMA;
		if (is_part(part, "refusal"))
			return OUTCOME_REFUSED;
		if (!is_part(part, "text") && !is_part(part, "output_text"))
			continue;
		if (!json_object_is_type(text, json_type_string))
			return OUTCOME_NOT_SCHEMA;
		buf_add(joined, json_object_get_string(text),
			(size_t)json_object_get_string_len(text));
	}
	return buf_ok(joined) ? OUTCOME_RATED : OUTCOME_OVERSIZED;
}

/* The model's words, into words; RATED, or why there are none. */
static enum outcome read_content(struct json_object *content, struct buf *words)
{
	if (!content)
		return OUTCOME_RATED;
	if (json_object_is_type(content, json_type_array))
		return join_parts(content, words);
	if (!json_object_is_type(content, json_type_string))
		return OUTCOME_NOT_SCHEMA;
	buf_add(words, json_object_get_string(content),
		(size_t)json_object_get_string_len(content));
	return buf_ok(words) ? OUTCOME_RATED : OUTCOME_OVERSIZED;
}

static void read_message(struct json_object *message, enum outcome end,
			 const struct config *config, struct ask *ask)
{
	enum outcome outcome;
	struct words words;
	struct buf buf;

	buf_init(&buf, WORDS_CAP_BYTES);
	outcome = read_content(member(message, "content"), &buf);
	if (!json_object_is_type(message, json_type_object))
		outcome = OUTCOME_NOT_SCHEMA;
	else if (*text_of(member(message, "refusal")))
		outcome = OUTCOME_REFUSED;
	words = (struct words){ buf_text(&buf), buf.len };
	if (outcome != OUTCOME_RATED)
		verdict_all(ask->verdicts, ask->nlines, outcome);
	else if (end != OUTCOME_RATED)
		read_cut(words, end, config, ask);
	else
		read_words(words, config, ask);
	buf_free(&buf);
}

/* Whatever it said until it failed may be half of what it wanted to say. */
static void read_choice(struct json_object *choice, const struct config *config, struct ask *ask)
{
	const char *finish_reason = text_of(member(choice, "finish_reason"));
	enum outcome end = outcome_of_end(finish_reason);

	if (end == OUTCOME_PENDING || member(choice, "error"))
		fail_midway(choice, finish_reason, config, ask);
	else
		read_message(member(choice, "message"), end, config, ask);
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

/*
 * Some providers answer 200 and tell in the body what is wrong, each in its own form: an object that
 * has no choices is none of the model's words.
 */
static bool is_error(struct json_object *root)
{
	return member(root, "error") ||
	       (json_object_is_type(root, json_type_object) && !member(root, "choices"));
}

void openai_read_reply(const struct http_reply *reply, const struct config *config, struct ask *ask)
{
	bool success = reply->status >= 200 && reply->status <= 299;
	struct json_object *root;
	const char *why;
	bool is_json = json_strict_parse(reply->body, reply->len, &root, &why) == 0;
	bool cut_off = false;

	if (!is_json && success && event_stream_is_one(reply->body, reply->len)) {
		root = event_stream_read(reply->body, reply->len, &cut_off);
		is_json = root != NULL;
	}

	ask->used.calls = 1;
	ask->used.latency_ms = reply->latency_ms;
	read_used(root, config, ask);	/* a call that failed may have been billed, too */
	if (success && reply->end == HTTP_OVERSIZED)
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_OVERSIZED);
	else if (!success || reply->end != HTTP_ANSWERED || is_error(root))
		fail(reply, root, config, ask);
	else if (reply->len == 0)
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_EMPTY);
	else if (!is_json && cut_off)
		ask_fail(ask, ERR_UNCLEAR, "the provider streamed its answer, which nobody asked "
			 "for, and stopped before the end");
	else if (!is_json)
		verdict_all(ask->verdicts, ask->nlines, OUTCOME_NOT_JSON);
	else
		read_envelope(root, config, ask);
	json_object_put(root);
}

size_t openai_refused_field(const struct http_reply *reply, const struct config *config,
			    const char *const *fields, size_t n, char *words, size_t size)
{
	struct complaint c = { .status = reply->status };
	struct json_object *root;
	const char *why;
	size_t found = n;

	if (reply->end != HTTP_ANSWERED || reply->status < 400 ||
	    json_strict_parse(reply->body, reply->len, &root, &why) == -1)
		return n;
	complaint_read(&c, root);
	found = sign_refused_field(&c, fields, n);
	if (found < n)
		quote(&c, config, words, size);
	complaint_free(&c);
	json_object_put(root);
	return found;
}
