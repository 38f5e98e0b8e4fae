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
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/embed.h"
#include "base/file.h"
#include "base/log.h"
#include "lib/http.h"
#include "lib/json_strict.h"
#include "rater/question.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/learnt.h"
#include "openai_reply.h"

#define PROMPT_CAP_BYTES (64u << 10)
#define REQUEST_CAP_BYTES (16u << 20)
#define REPLY_CAP_BYTES (1u << 20)
#define CONNECT_TIMEOUT_MS 10000
#define REPORT_MS 50			/* of a job's time, kept to report a call that timed out */
#define CA_FILE_CAP_BYTES (16u << 20)
#define FIELDS_CAP 40			/* two formats, the temperature, openai.extra */
#define REFUSAL_CAP_BYTES 200
#define FORMAT "response_format"

/* A field that a request may do without, where the provider refuses it. */
struct field {
	char *name, *json;
	char *session_json;		/* of a session as a whole; NULL: the same */
	const char *label;		/* as the log names it; NULL: by its name */
	uint64_t hash;			/* of its refusal, for the other workers */
};

struct openai {
	struct http *http;
	struct buf head, tail;		/* of a request, around the question */
	struct buf session_head, session_tail;	/* of one about a session as a whole */
	struct field fields[FIELDS_CAP];	/* in the order in which they stand in the tail */
	size_t nfields;
	uint64_t left_out;		/* of them, those that the provider refuses */
	uint64_t in_tail;		/* of them, those that the tail has */
	struct buf prompt, session_prompt;
	struct buf question, request;	/* of the ask being started; the memory stays */
};

/* One ask in flight; lives in its job's arena. */
struct exchange {
	struct rater *rater;
	struct ask *ask;
	struct http_call *call;
	int64_t started_ms;
	int calls;			/* how many went out */
	uint64_t without;		/* fields that it is tried without */
	const char *refusal;		/* the provider's words about the last of them, or NULL */
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

static int read_prompt(struct buf *out, const char *path, const struct embedded *built_in,
		       struct err *err)
{
	if (!path || !*path) {
		buf_add(out, built_in->text, built_in->len);
		return 0;
	}
	if (file_read(path, "prompt file", out, err) == -1)
		return -1;
	if (out->len == 0 || strlen(out->data) != out->len)
		return err_set(err, ERR_CONFIG, "the prompt file %s is empty or no text", path);
	return 0;
}

static int make_prompt(struct buf *prompt, const struct config *config, const char *path,
		       const struct embedded *built_in, struct err *err)
{
	struct buf file;
	int rc;

	buf_init(&file, PROMPT_CAP_BYTES);
	rc = read_prompt(&file, path, built_in, err);
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
		"{\"type\":\"json_schema\","
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

static void write_session_schema(struct buf *out)
{
	buf_str(out,
		"{\"type\":\"json_schema\","
		"\"json_schema\":{\"name\":\"session\",\"strict\":true,\"schema\":"
		"{\"type\":\"object\",\"properties\":{\"score\":{\"type\":\"integer\"},"
		"\"summary\":{\"type\":\"string\"},"
		"\"strengths\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
		"\"improvements\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
		"\"required\":[\"score\",\"summary\",\"strengths\",\"improvements\"],"
		"\"additionalProperties\":false}}}");
}

static void add_field(struct openai *o, const char *name, const char *json, const char *label)
{
	if (o->nfields == FIELDS_CAP)
		fatal("a request has more than %d fields", FIELDS_CAP);
	o->fields[o->nfields++] = (struct field){
		.name = xstrdup(name), .json = xstrdup(json), .label = label,
	};
}

/* The format asked for, and the one that is tried where it is refused. */
static void add_formats(struct openai *o, const struct config *config)
{
	struct buf schema;

	buf_init(&schema, REQUEST_CAP_BYTES);
	write_json_schema(&schema, config);
	if (config->openai.response_format == RESPONSE_JSON_SCHEMA) {
		add_field(o, FORMAT, buf_text(&schema), FORMAT " \"json_schema\"");
		buf_reset(&schema);
		write_session_schema(&schema);
		o->fields[o->nfields - 1].session_json = xstrdup(buf_text(&schema));
	}
	if (config->openai.response_format != RESPONSE_NONE)
		add_field(o, FORMAT, "{\"type\":\"json_object\"}", FORMAT " \"json_object\"");
	buf_free(&schema);
}

static void add_temperature(struct openai *o, int64_t millionths)
{
	struct buf number;

	if (millionths == CONFIG_NONE)
		return;
	buf_init(&number, SIZE_MAX);
	buf_billionths(&number, 1000 * (uint64_t)millionths);
	add_field(o, "temperature", buf_text(&number), NULL);
	buf_free(&number);
}

/* openai.extra, which the configuration has made JSON of. */
static int add_extra(struct openai *o, const char *extra, struct err *err)
{
	struct json_object *fields;
	const char *why;

	if (!extra)
		return 0;
	if (json_strict_parse(extra, strlen(extra), &fields, &why) == -1)
		return err_set(err, ERR_CONFIG, "openai.extra cannot be sent: %s", why);
	json_object_object_foreach(fields, name, value) {
		add_field(o, name, json_object_to_json_string_ext(value,
				JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE), NULL);
	}
	json_object_put(fields);
	return 0;
}

/* All but those left out; of the formats the first. */
static uint64_t fields_to_send(const struct openai *o, uint64_t left_out)
{
	uint64_t send = 0;
	bool has_format = false;

	for (size_t i = 0; i < o->nfields; i++) {
		bool is_format = strcmp(o->fields[i].name, FORMAT) == 0;

		if ((left_out >> i & 1) || (is_format && has_format))
			continue;
		send |= UINT64_C(1) << i;
		has_format |= is_format;
	}
	return send;
}

static void write_field(struct buf *out, const struct field *field, bool session)
{
	buf_char(out, ',');
	buf_json(out, field->name);
	buf_char(out, ':');
	buf_str(out, session && field->session_json ? field->session_json : field->json);
}

static void write_tail(struct buf *out, const struct openai *o, uint64_t send, bool session)
{
	buf_str(out, "}]");
	for (size_t i = 0; i < o->nfields; i++)
		if (send >> i & 1)
			write_field(out, &o->fields[i], session);
	buf_char(out, '}');
}

/* What becomes of a request on its way does not change what is answered. */
static uint64_t fields_that_rate(const struct openai *o, uint64_t send)
{
	static const char *const others[] = {
		"service_tier", "prompt_cache_key", "prompt_cache_retention", "user", "metadata",
		"store", "safety_identifier",
	};

	for (size_t i = 0; i < o->nfields; i++)
		for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++)
			if (strcmp(o->fields[i].name, others[k]) == 0)
				send &= ~(UINT64_C(1) << i);
	return send;
}

/* For provenance: the format that is really asked for. */
static void write_format(struct buf *out, const struct openai *o, bool session)
{
	uint64_t send = fields_to_send(o, o->left_out);

	for (size_t i = 0; i < o->nfields; i++)
		if ((send >> i & 1) && strcmp(o->fields[i].name, FORMAT) == 0)
			write_field(out, &o->fields[i], session);
}

static void set_hashes(struct rater *rater)
{
	const struct openai *o = rater->data;
	struct buf format, tail;

	buf_init(&format, REQUEST_CAP_BYTES);
	write_format(&format, o, false);
	rater_set_hashes(rater, buf_text(&o->prompt), buf_text(&format));
	buf_reset(&format);
	write_format(&format, o, true);
	buf_init(&tail, REQUEST_CAP_BYTES);
	write_tail(&tail, o, fields_that_rate(o, fields_to_send(o, 0)), true);
	rater_set_session(rater, buf_text(&o->session_prompt), buf_text(&format),
			  (const char *const []){ buf_text(&o->session_head), buf_text(&tail) },
			  2);
	buf_free(&tail);
	buf_free(&format);
}

/* Not the address: one model behind two gateways is one model. */
static void set_fingerprint(struct rater *rater)
{
	struct openai *o = rater->data;
	struct buf tail;

	buf_init(&tail, REQUEST_CAP_BYTES);
	write_tail(&tail, o, fields_that_rate(o, o->in_tail), false);
	rater_set_fingerprint(rater, (const char *const []){ o->head.data, tail.data }, 2);
	buf_free(&tail);
	for (size_t i = 0; i < o->nfields; i++)
		o->fields[i].hash = learnt_hash(rater->fingerprint,
						o->fields[i].label ? o->fields[i].label
								   : o->fields[i].name);
}

static void use_tail(struct openai *o, uint64_t send)
{
	if (o->tail.len > 0 && o->in_tail == send)
		return;
	buf_reset(&o->tail);
	buf_reset(&o->session_tail);
	o->in_tail = send;
	write_tail(&o->tail, o, send, false);
	write_tail(&o->session_tail, o, send, true);
}

static void write_head(struct buf *head, const struct config *config, const struct buf *prompt)
{
	buf_str(head, "{\"model\":");
	buf_json(head, config->openai.model);
	buf_str(head, ",\"messages\":[{\"role\":\"system\",\"content\":");
	buf_json(head, buf_text(prompt));
	buf_str(head, "},{\"role\":\"user\",\"content\":");
}

/* All of a request but the question, written once. */
static int make_frame(struct rater *rater, struct err *err)
{
	const struct config *config = rater->config;
	struct openai *o = rater->data;
	int rc = make_prompt(&o->prompt, config, config->rater.prompt_file, &embedded_prompt, err);

	if (rc == 0)
		rc = make_prompt(&o->session_prompt, config, config->rater.session_prompt_file,
				 &embedded_session_prompt, err);
	write_head(&o->head, config, &o->prompt);
	write_head(&o->session_head, config, &o->session_prompt);
	add_formats(o, config);
	add_temperature(o, config->openai.temperature);
	if (rc == 0)
		rc = add_extra(o, config->openai.extra, err);
	use_tail(o, fields_to_send(o, 0));
	if (rc == 0) {
		set_hashes(rater);
		set_fingerprint(rater);
	}
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

/* "Authorization: Bearer KEY", or as configured; nothing without a key. */
static void write_credential(struct buf *out, const struct config *config)
{
	const char *header = config->openai.auth_header, *scheme = config->openai.auth_scheme;

	if (!config->openai.api_key || !*config->openai.api_key)
		return;
	if (!*scheme)
		scheme = strcasecmp(header, "Authorization") == 0 ? "Bearer" : "none";
	buf_printf(out, "%s: ", header);
	if (strcmp(scheme, "none") != 0)
		buf_printf(out, "%s ", scheme);
	buf_str(out, config->openai.api_key);
}

/* NULL-terminated; the array is the caller's. credential: "" when there is none. */
static const char **list_headers(const struct config *config, const char *credential)
{
	static const char *const own[] = {
		"Content-Type: application/json", "Accept: application/json",
	};
	const struct string_list *more = &config->openai.header_lines;
	size_t n = sizeof(own) / sizeof(own[0]);
	const char **list = xcalloc(n + more->n + 2, sizeof(*list));

	memcpy(list, own, sizeof(own));
	if (*credential)
		list[n++] = credential;
	for (size_t i = 0; i < more->n; i++)
		list[n++] = more->items[i];
	return list;
}

struct http *openai_connect(const struct config *config, const char *path, struct loop *loop,
			    struct err *err)
{
	const char *base = config->openai.base_url;
	const char *ca_file = config->openai.ca_file;
	struct http_endpoint endpoint = {
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.connections = config->pool.in_flight, .reply_cap_bytes = REPLY_CAP_BYTES,
		.ca_file = ca_file && *ca_file ? ca_file : NULL, .proxy = proxy_of(config),
	};
	struct buf url, credential;
	size_t len = strcspn(base, "?#");
	const char *query = base + len, **headers;
	struct http *http;
	struct err why;

	while (len > 0 && base[len - 1] == '/')
		len--;
	buf_init(&url, SIZE_MAX);
	buf_init(&credential, SIZE_MAX);
	buf_printf(&url, "%.*s%s%s", (int)len, base, path, query);
	write_credential(&credential, config);
	endpoint.headers = headers = list_headers(config, buf_text(&credential));
	endpoint.url = buf_text(&url);
	http = http_new(loop, &endpoint, &why);
	if (!http)
		err_set(err, ERR_CONFIG, "openai.base_url: %s", why.text);
	if (credential.data)
		explicit_bzero(credential.data, credential.size);
	buf_free(&credential);
	free(headers);
	buf_free(&url);
	return http;
}

static void openai_close(struct rater *rater)
{
	struct openai *o = rater->data;

	if (!o)
		return;
	http_free(o->http);
	for (size_t i = 0; i < o->nfields; i++) {
		free(o->fields[i].name);
		free(o->fields[i].json);
		free(o->fields[i].session_json);
	}
	buf_free(&o->prompt);
	buf_free(&o->session_prompt);
	buf_free(&o->head);
	buf_free(&o->tail);
	buf_free(&o->session_head);
	buf_free(&o->session_tail);
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
	buf_init(&o->prompt, 2 * PROMPT_CAP_BYTES);
	buf_init(&o->session_prompt, 2 * PROMPT_CAP_BYTES);
	buf_init(&o->head, REQUEST_CAP_BYTES);
	buf_init(&o->tail, REQUEST_CAP_BYTES);
	buf_init(&o->session_head, REQUEST_CAP_BYTES);
	buf_init(&o->session_tail, REQUEST_CAP_BYTES);
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
	return 0;
}

/* ---- asking ---- */

static int write_request(struct openai *o, const struct config *config, const struct ask *ask,
			 uint64_t without)
{
	const struct buf *head = ask_is_whole(ask) ? &o->session_head : &o->head;
	const struct buf *tail = ask_is_whole(ask) ? &o->session_tail : &o->tail;

	use_tail(o, fields_to_send(o, without));
	buf_reset(&o->question);
	buf_reset(&o->request);
	question_write(&o->question, config, ask);
	buf_add(&o->request, head->data, head->len);
	buf_json(&o->request, buf_text(&o->question));
	buf_add(&o->request, tail->data, tail->len);
	return buf_ok(&o->question) && buf_ok(&o->request) ? 0 : -1;
}

static int64_t time_left_ms(const struct ask *ask)
{
	return ask->deadline_ms - now_ms() - REPORT_MS;
}

static void on_reply(void *arg, const struct http_reply *reply);

static void post(struct exchange *e)
{
	struct openai *o = e->rater->data;
	int64_t left_ms = time_left_ms(e->ask), timeout_ms = e->rater->config->openai.timeout_ms;

	e->calls++;
	e->call = http_post(o->http, o->request.data, o->request.len,
			    left_ms < timeout_ms ? left_ms : timeout_ms, on_reply, e);
}

/*
 * Asks again without a field that the provider has just refused by name: that was no answer to this
 * question, and no other job need meet with it. False when it did not.
 */
static bool ask_without(struct exchange *e, const struct http_reply *reply)
{
	struct openai *o = e->rater->data;
	uint64_t sent = fields_to_send(o, e->without);
	char words[REFUSAL_CAP_BYTES + 1];
	const char *names[FIELDS_CAP];
	size_t n = 0, found;

	for (size_t i = 0; i < o->nfields; i++)
		if (sent >> i & 1)
			names[n++] = o->fields[i].name;
	found = openai_refused_field(reply, e->rater->config, names, n, words, sizeof(words));
	if (found == n || time_left_ms(e->ask) <= 0)
		return false;
	for (size_t i = 0; i < o->nfields; i++)
		if ((sent >> i & 1) && o->fields[i].name == names[found])
			e->without |= UINT64_C(1) << i;
	if (write_request(o, e->rater->config, e->ask, e->without) == -1)
		return false;
	e->refusal = arena_dup(&e->ask->job->arena, words, strlen(words));
	post(e);
	return true;
}

/* Leaves fields out from now on. */
static void leave_out(struct rater *rater, uint64_t fields)
{
	struct openai *o = rater->data;

	if (!(fields & ~o->left_out))
		return;
	o->left_out |= fields;
	set_hashes(rater);
}

/* What another worker of the pool has found out. */
static void hear_of_refusals(struct rater *rater)
{
	const struct openai *o = rater->data;
	uint64_t refused = 0;

	for (size_t i = 0; i < o->nfields; i++)
		if (learnt_is_known(o->fields[i].hash))
			refused |= UINT64_C(1) << i;
	leave_out(rater, refused);
}

/* It answered without them: so it does not take them. */
static void learn(struct exchange *e)
{
	struct openai *o = e->rater->data;
	uint64_t news = e->without & ~o->left_out;

	for (size_t i = 0; i < o->nfields; i++)
		if ((news >> i & 1) && learnt_add(o->fields[i].hash))
			log_warn("the provider refuses %s (%s): it is left out from now on, until "
				 "a reload or a restart",
				 o->fields[i].label ? o->fields[i].label : o->fields[i].name,
				 e->refusal);
	leave_out(e->rater, news);
}

static void on_reply(void *arg, const struct http_reply *reply)
{
	struct exchange *e = arg;
	struct ask *ask = e->ask;

	breadcrumb_job(ask->job->id, ask->job->claim);
	if (!ask_without(e, reply)) {
		openai_read_reply(reply, e->rater->config, ask);
		ask->used.calls = e->calls;
		if (e->calls > 1)
			ask->used.latency_ms = now_ms() - e->started_ms;
		if (!ask->err)
			learn(e);
		rater_done(e->rater, ask);
	}
	breadcrumb_end();
}

static void openai_start(struct rater *rater, struct ask *ask)
{
	struct openai *o = rater->data;
	struct exchange *e;

	hear_of_refusals(rater);
	if (time_left_ms(ask) <= 0)
		ask_fail(ask, ERR_UNCLEAR,
			 "the job's deadline passed before the provider was asked");
	else if (write_request(o, rater->config, ask, o->left_out) == -1)
		ask_fail(ask, ERR_PERMANENT, "the question is larger than %u MiB; lower "
			 "rater.lines_per_call or rater.context_lines", REQUEST_CAP_BYTES >> 20);
	if (ask->err) {
		ask->never_sent = true;
		rater_done(rater, ask);
		return;
	}
	e = arena_alloc(&ask->job->arena, sizeof(*e));
	*e = (struct exchange){ .rater = rater, .ask = ask, .started_ms = now_ms(),
				.without = o->left_out };
	ask->rater_data = e;
	post(e);
}

static void openai_cancel(struct rater *rater, struct ask *ask)
{
	struct exchange *e = ask->rater_data;

	(void)rater;
	http_cancel(e->call);
	ask->used.calls = e->calls;
	ask->used.latency_ms = now_ms() - e->started_ms;
}

const struct rater_ops rater_openai_ops = {
	.name = "openai",
	.advice = "check openai.base_url, openai.model and openai.response_format",
	.open = openai_open,
	.start = openai_start,
	.cancel = openai_cancel,
	.close = openai_close,
};
