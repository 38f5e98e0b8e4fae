/*
 * Whether the rater can be reached: a file that loads, a program that may be executed, a provider
 * that answers GET /models, which costs nothing. gradingctl doctor; nothing is rated.
 */
#include "doctor_rater.h"

#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/mask.h"
#include "config/config_check.h"
#include "lib/http.h"
#include "lib/json_strict.h"
#include "rater/backends.h"
#include "rater/openai.h"
#include "rater/rater.h"

#define PATIENCE_MS 10000
#define URL_CAP_BYTES 1024

struct probe {
	struct doctor_report *r;
	const struct config *config;
	const char *what;	/* "rater" or "fallback" */
	struct buf url;		/* openai.base_url without a password */
	bool over;
};

/* ---- the provider ---- */

/* Whether the reply to GET /models names the model; a reply of another shape tells nothing. */
static bool lacks_model(const struct http_reply *reply, const char *model)
{
	struct json_object *all, *data = NULL;
	bool found = false;
	const char *why;

	if (json_strict_parse(reply->body, reply->len, &all, &why) == -1)
		return false;
	if (json_object_is_type(all, json_type_object))
		data = json_object_object_get(all, "data");
	if (!json_object_is_type(data, json_type_array) || json_object_array_length(data) == 0)
		found = true;
	for (size_t i = 0; !found && i < json_object_array_length(data); i++) {
		struct json_object *entry = json_object_array_get_idx(data, i), *id = NULL;

		if (json_object_is_type(entry, json_type_object))
			id = json_object_object_get(entry, "id");
		found = id && strcmp(json_object_get_string(id), model) == 0;
	}
	json_object_put(all);
	return !found;
}

static bool has_path(const char *url)
{
	const char *host = strstr(url, "://"), *slash = strchr(host ? host + 3 : url, '/');

	return slash && slash[strspn(slash, "/")];
}

static void judge_answer(struct probe *p, const struct http_reply *reply)
{
	const char *url = buf_text(&p->url), *model = p->config->openai.model;
	bool has_key = p->config->openai.api_key;
	int status = reply->status;

	if ((status == 401 || status == 403) && !has_key)
		doctor_say(p->r, p->what, DOCTOR_OK, NULL,
			   "openai: %s answers, and wants a key (HTTP %d)", url, status);
	else if (status == 401 || status == 403)
		doctor_say(p->r, p->what, DOCTOR_ERROR,
			   "put a valid key where openai.api_key_file or api_key_env says",
			   "openai: %s refuses the API key (HTTP %d)", url, status);
	else if (status == 429)
		doctor_say(p->r, p->what, DOCTOR_WARNING, "wait, or see to the quota",
			   "openai: %s limits our rate (HTTP 429)", url);
	else if (status >= 500)
		doctor_say(p->r, p->what, DOCTOR_ERROR,
			   "the provider is in trouble; jobs wait until it is well again",
			   "openai: %s answers with HTTP %d", url, status);
	else if (status >= 300 && status < 400)
		doctor_say(p->r, p->what, DOCTOR_ERROR,
			   "set openai.base_url to where it leads; redirects are not followed",
			   "openai: %s redirects (HTTP %d)", url, status);
	else if (status == 200 && lacks_model(reply, model))
		doctor_say(p->r, p->what, DOCTOR_WARNING, "set openai.model to one that it lists",
			   "openai: %s answers, but does not list the model %s", url, model);
	else if (status == 404 && !has_path(p->config->openai.base_url))
		doctor_say(p->r, p->what, DOCTOR_WARNING,
			   "most want one: add /v1 to openai.base_url, unless the provider does "
			   "not list models",
			   "openai: %s answers with HTTP 404, and has no path", url);
	else	/* 404 too: not everybody lists models */
		doctor_say(p->r, p->what, DOCTOR_OK, NULL,
			   "openai: %s answers within %d ms (HTTP %d)", url, (int)reply->latency_ms,
			   status);
}

static void on_reply(void *arg, const struct http_reply *reply)
{
	struct probe *p = arg;

	p->over = true;
	if (reply->end == HTTP_ANSWERED || (reply->end == HTTP_OVERSIZED && reply->status))
		judge_answer(p, reply);
	else if (reply->end == HTTP_UNTRUSTED)
		doctor_say(p->r, p->what, DOCTOR_ERROR,
			   "set openai.ca_file to the certificates that sign for it",
			   "openai: %s has a certificate that nobody we trust signed: %s",
			   buf_text(&p->url), reply->detail);
	else
		doctor_say(p->r, p->what, DOCTOR_ERROR,
			   "check openai.base_url, openai.proxy and the network; jobs wait"
			   " meanwhile, or rater.fallback rates",
			   "openai: %s cannot be reached: %s", buf_text(&p->url), reply->detail);
}

static void ask_provider(struct probe *p, struct loop *loop)
{
	int64_t timeout = p->config->openai.timeout_ms < PATIENCE_MS ? p->config->openai.timeout_ms
								     : PATIENCE_MS;
	int64_t until = now_ms() + timeout + 1000;
	struct err err;
	struct http *http = openai_connect(p->config, "/models", loop, &err);

	if (!http) {
		doctor_say(p->r, p->what, DOCTOR_ERROR, NULL, "%s", err.text);
		return;
	}
	http_get(http, timeout, on_reply, p);
	while (!p->over && now_ms() < until)
		loop_turn(loop, until - now_ms());
	http_free(http);
}

/*
 * The daemon's user may read a key that ours may not; the daemon's environment may hold one that
 * ours does not.
 */
static void check_provider(struct probe *p, struct loop *loop)
{
	buf_init(&p->url, URL_CAP_BYTES);
	mask_secrets(p->config->openai.base_url, &p->url);
	ask_provider(p, loop);
	buf_free(&p->url);
}

/* ---- any of them ---- */

static void check(struct probe *p, struct loop *loop, struct rater *rater, const struct err *opened)
{
	struct err err = *opened;

	if (!rater || rater_check(rater, &err) == -1)
		doctor_say(p->r, p->what, DOCTOR_ERROR,
			   "checked as the user who asks; gradingd -t checks as root or pool.user",
			   "%s", err.text);
	else if (rater->ops == &rater_openai_ops)
		check_provider(p, loop);
	else
		doctor_say(p->r, p->what, DOCTOR_OK, NULL, "%s: %s", rater->ops->name,
			   rater->ops->check		       ? p->config->command.argv.items[0]
				   : p->config->rubric.file[0] ? p->config->rubric.file
							       : "the rules built in");
	rater_free(rater);
}

void doctor_rater(struct config *config, struct doctor_report *r)
{
	struct probe rater = { .r = r, .config = config, .what = "rater" };
	struct probe fallback = { .r = r, .config = config, .what = "fallback" };
	struct loop *loop = loop_new();
	struct config_complaint why;
	struct rater *opened;
	struct err err;

	if (!loop)
		return;
	if (config_read_secrets(config, &why) == -1) {
		bool of_hook = strncmp(why.key, "webhooks.", strlen("webhooks.")) == 0;

		doctor_say(r, of_hook ? "webhooks" : "API key", DOCTOR_WARNING,
			   "run it as the daemon's user, with the daemon's environment",
			   "cannot be had here, so %s: %s", of_hook ? "nothing is said of receivers"
			   : "the provider is asked without", why.text);
	}
	opened = backends_open(config, loop, &err);
	check(&rater, loop, opened, &err);
	opened = backends_open_fallback(config, loop, &err);
	if (opened || err.kind != ERR_NONE)
		check(&fallback, loop, opened, &err);
	loop_free(loop);
}
