/*
 * The language-model rater: one POST to an OpenAI-compatible /chat/completions for each ask, any
 * number in flight. Workers only. Builds requests; what comes back is read by openai_reply.c.
 * Judged text travels as JSON inside of the user message and never becomes part of the prompt.
 */
#include "rater/openai.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/embed.h"
#include "base/file.h"
#include "lib/http.h"
#include "rater/question.h"
#include "scoreboard/breadcrumb.h"
#include "openai_reply.h"

#define PROMPT_CAP_BYTES (64u << 10)
#define REQUEST_CAP_BYTES (16u << 20)
#define REPLY_CAP_BYTES (1u << 20)
#define CONNECT_TIMEOUT_MS 10000
#define REPORT_MS 50			/* of a job's time, kept to report a call that timed out */
#define CA_FILE_CAP_BYTES (16u << 20)

struct openai {
	struct http *http;
	struct buf head, tail;		/* of a request, around the question */
	struct buf question, request;	/* of the ask being started; the memory stays */
};

/* One ask in flight; lives in its job's arena. */
struct exchange {
	struct rater *rater;
	struct ask *ask;
	struct http_call *call;
	int64_t started_ms;
};

/* ---- the prompt ---- */

static void write_scale(struct buf *out, const struct config *config)
{
	for (size_t i = 0; i < config->rater.scale.n; i++) {
		buf_str(out, i ? ", " : "");
		buf_json(out, config->rater.scale.items[i]);
	}
}

static void write_alternatives(struct buf *out, const struct config *config)
{
	buf_printf(out, "%" PRId64, config->rater.alternatives);
}

static const struct placeholder {
	const char *name;
	void (*write)(struct buf *out, const struct config *config);
} placeholders[] = {
	{ "{{scale}}", write_scale },
	{ "{{alternatives}}", write_alternatives },
	{ NULL, NULL },
};

static void fill_in(struct buf *out, const char *template, const struct config *config)
{
	while (*template) {
		const struct placeholder *p = placeholders;

		while (p->name && strncmp(template, p->name, strlen(p->name)) != 0)
			p++;
		if (p->name) {
			p->write(out, config);
			template += strlen(p->name);
		} else {
			buf_char(out, *template++);
		}
	}
}

static int read_prompt(struct buf *out, const char *path, struct err *err)
{
	if (!path || !*path) {
		buf_add(out, embedded_prompt.text, embedded_prompt.len);
		return 0;
	}
	if (file_read(path, "prompt file", out, err) == -1)
		return -1;
	if (out->len == 0 || strlen(out->data) != out->len)
		return err_set(err, ERR_CONFIG, "the prompt file %s is empty or no text", path);
	return 0;
}

static int make_prompt(struct buf *prompt, const struct config *config, struct err *err)
{
	struct buf file;
	int rc;

	buf_init(&file, PROMPT_CAP_BYTES);
	rc = read_prompt(&file, config->rater.prompt_file, err);
	if (rc == 0)
		fill_in(prompt, buf_text(&file), config);
	buf_free(&file);
	if (rc == 0 && !buf_ok(prompt))
		rc = err_set(err, ERR_CONFIG,
			     "the prompt is larger than %zu bytes with its placeholders filled in",
			     prompt->cap_bytes);
	return rc;
}

/* ---- the request ---- */

/* All properties required and none besides: what strict schemas demand. */
static void write_json_schema(struct buf *out, const struct config *config)
{
	buf_str(out,
		",\"response_format\":{\"type\":\"json_schema\","
		"\"json_schema\":{\"name\":\"ratings\",\"strict\":true,\"schema\":"
		"{\"type\":\"object\",\"properties\":{\"ratings\":{\"type\":\"array\","
		"\"items\":{\"type\":\"object\",\"properties\":{\"line\":{\"type\":\"integer\"},"
		"\"rating\":{\"type\":\"string\",\"enum\":[");
	write_scale(out, config);
	buf_str(out, "]},\"alternatives\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
		"\"reason\":{\"type\":\"string\"}},"
		"\"required\":[\"line\",\"rating\",\"alternatives\",\"reason\"],"
		"\"additionalProperties\":false}}},"
		"\"required\":[\"ratings\"],\"additionalProperties\":false}}}");
}

static void write_json_object(struct buf *out, const struct config *config)
{
	(void)config;
	buf_str(out, ",\"response_format\":{\"type\":\"json_object\"}");
}

static void write_nothing(struct buf *out, const struct config *config)
{
	(void)out, (void)config;
}

static void (*const write_response_format[])(struct buf *, const struct config *) = {
	[RESPONSE_JSON_SCHEMA] = write_json_schema,
	[RESPONSE_JSON_OBJECT] = write_json_object,
	[RESPONSE_NONE] = write_nothing,
};

/* All of a request but the question, written once. */
static int make_frame(struct rater *rater, struct err *err)
{
	const struct config *config = rater->config;
	struct openai *o = rater->data;
	struct buf prompt;
	size_t before;
	int rc;

	buf_init(&prompt, 2 * PROMPT_CAP_BYTES);
	rc = make_prompt(&prompt, config, err);
	buf_str(&o->head, "{\"model\":");
	buf_json(&o->head, config->openai.model);
	buf_str(&o->head, ",\"messages\":[{\"role\":\"system\",\"content\":");
	buf_json(&o->head, buf_text(&prompt));
	buf_str(&o->head, "},{\"role\":\"user\",\"content\":");
	buf_str(&o->tail, "}]");
	before = o->tail.len;
	write_response_format[config->openai.response_format](&o->tail, config);
	if (rc == 0)
		rater_set_hashes(rater, buf_text(&prompt), buf_text(&o->tail) + before);
	buf_str(&o->tail, ",\"temperature\":0}");
	buf_free(&prompt);
	return rc;
}

/* ---- opening ---- */

static int check_key(const char *key, struct err *err)
{
	for (const unsigned char *p = (const unsigned char *)key; *p; p++)
		if (*p <= 0x20 || *p >= 0x7f)
			return err_set(err, ERR_CONFIG,
				       "the API key holds a blank or a character that no HTTP "
				       "header takes: check openai.api_key_env or "
				       "openai.api_key_file");
	return 0;
}

/* libcurl would tell only when the first call fails. */
static int check_ca_file(const char *path, struct err *err)
{
	struct buf text;
	int rc;

	if (!path || !*path)
		return 0;
	buf_init(&text, CA_FILE_CAP_BYTES);
	rc = file_read(path, "file of openai.ca_file", &text, err);
	if (rc == 0 && !strstr(buf_text(&text), "-----BEGIN"))
		rc = err_set(err, ERR_CONFIG,
			     "openai.ca_file: %s holds no certificate in PEM format", path);
	buf_free(&text);
	return rc;
}

/* "" means what the environment says, "none" no proxy; http.h has it the other way round. */
static const char *proxy_of(const struct config *config)
{
	const char *proxy = config->openai.proxy;

	if (!proxy || !*proxy)
		return NULL;
	return strcmp(proxy, "none") == 0 ? "" : proxy;
}

struct http *openai_connect(const struct config *config, const char *path, struct loop *loop,
			    struct err *err)
{
	const char *base = config->openai.base_url, *key = config->openai.api_key;
	const char *ca_file = config->openai.ca_file;
	const char *headers[] = { "Content-Type: application/json", "Accept: application/json",
				  NULL, NULL };
	struct http_endpoint endpoint = {
		.headers = headers, .connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.connections = config->pool.in_flight, .reply_cap_bytes = REPLY_CAP_BYTES,
		.ca_file = ca_file && *ca_file ? ca_file : NULL, .proxy = proxy_of(config),
	};
	struct buf url, authorization;
	size_t len = strcspn(base, "?#");
	const char *query = base + len;
	struct http *http;
	struct err why;

	while (len > 0 && base[len - 1] == '/')
		len--;
	buf_init(&url, SIZE_MAX);
	buf_init(&authorization, SIZE_MAX);
	buf_printf(&url, "%.*s%s%s", (int)len, base, path, query);
	if (key && *key) {
		buf_printf(&authorization, "Authorization: Bearer %s", key);
		headers[2] = buf_text(&authorization);
	}
	endpoint.url = buf_text(&url);
	http = http_new(loop, &endpoint, &why);
	if (!http)
		err_set(err, ERR_CONFIG, "openai.base_url: %s", why.text);
	if (authorization.data)
		explicit_bzero(authorization.data, authorization.size);
	buf_free(&authorization);
	buf_free(&url);
	return http;
}

static void openai_close(struct rater *rater)
{
	struct openai *o = rater->data;

	if (!o)
		return;
	http_free(o->http);
	buf_free(&o->head);
	buf_free(&o->tail);
	buf_free(&o->question);
	buf_free(&o->request);
	free(o);
	rater->data = NULL;
}

static int openai_open(struct rater *rater, struct err *err)
{
	const struct config *config = rater->config;
	struct openai *o = xcalloc(1, sizeof(*o));

	rater->data = o;
	buf_init(&o->head, REQUEST_CAP_BYTES);
	buf_init(&o->tail, REQUEST_CAP_BYTES);
	buf_init(&o->question, REQUEST_CAP_BYTES);
	buf_init(&o->request, REQUEST_CAP_BYTES);
	snprintf(rater->model, sizeof(rater->model), "%s", config->openai.model);
	if ((config->openai.api_key && check_key(config->openai.api_key, err) == -1) ||
	    check_ca_file(config->openai.ca_file, err) == -1 ||
	    make_frame(rater, err) == -1 ||
	    !(o->http = openai_connect(config, "/chat/completions", rater->loop, err))) {
		openai_close(rater);
		return -1;
	}
	rater->metered = true;
	rater->frame_bytes = o->head.len + o->tail.len;
	/* Not the address: one model behind two gateways is one model. */
	rater_set_fingerprint(rater, (const char *const []){ o->head.data, o->tail.data }, 2);
	return 0;
}

/* ---- asking ---- */

static void on_reply(void *arg, const struct http_reply *reply)
{
	struct exchange *exchange = arg;

	breadcrumb_job(exchange->ask->job->id, exchange->ask->job->claim);
	openai_read_reply(reply, exchange->rater->config, exchange->ask);
	breadcrumb_end();
	rater_done(exchange->rater, exchange->ask);
}

static int write_request(struct openai *o, const struct config *config, const struct ask *ask)
{
	buf_reset(&o->question);
	buf_reset(&o->request);
	question_write(&o->question, config, ask);
	buf_add(&o->request, o->head.data, o->head.len);
	buf_json(&o->request, buf_text(&o->question));
	buf_add(&o->request, o->tail.data, o->tail.len);
	return buf_ok(&o->question) && buf_ok(&o->request) ? 0 : -1;
}

static void openai_start(struct rater *rater, struct ask *ask)
{
	int64_t left_ms = ask->deadline_ms - now_ms() - REPORT_MS,
		timeout_ms = rater->config->openai.timeout_ms;
	struct openai *o = rater->data;
	struct exchange *exchange;

	if (left_ms <= 0)
		ask_fail(ask, ERR_UNCLEAR,
			 "the job's deadline passed before the provider was asked");
	else if (write_request(o, rater->config, ask) == -1)
		ask_fail(ask, ERR_PERMANENT, "the question is larger than %u MiB; lower "
			 "rater.lines_per_call or rater.context_lines", REQUEST_CAP_BYTES >> 20);
	if (ask->err) {
		ask->never_sent = true;
		rater_done(rater, ask);
		return;
	}
	exchange = arena_alloc(&ask->job->arena, sizeof(*exchange));
	exchange->rater = rater;
	exchange->ask = ask;
	exchange->started_ms = now_ms();
	exchange->call = http_post(o->http, o->request.data, o->request.len,
				   left_ms < timeout_ms ? left_ms : timeout_ms, on_reply, exchange);
	ask->rater_data = exchange;
}

static void openai_cancel(struct rater *rater, struct ask *ask)
{
	struct exchange *exchange = ask->rater_data;

	(void)rater;
	http_cancel(exchange->call);
	ask->used.calls = 1;
	ask->used.latency_ms = now_ms() - exchange->started_ms;
}

const struct rater_ops rater_openai_ops = {
	.name = "openai",
	.advice = "check openai.base_url, openai.model and openai.response_format",
	.open = openai_open,
	.start = openai_start,
	.cancel = openai_cancel,
	.close = openai_close,
};
