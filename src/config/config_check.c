/*
 * The checks across keys, the API key, which is read but never shown, and what a reload may not
 * change. Runs wherever a configuration is loaded: in the supervisor at start and on reload, in
 * gradingctl without the key. It never loads one itself.
 */
#include "config/config_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/place.h"
#include "base/webhook_secret.h"
#include "config/config_share.h"
#include "config_keys.h"
#include "config_value.h"

#define API_KEY_CAP_BYTES 4096

static int complain(struct config_complaint *why, const char *key, const char *other,
		    const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int complain(struct config_complaint *why, const char *key, const char *other,
		    const char *fmt, ...)
{
	va_list ap;

	why->key = key;
	why->other = other;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* A job that is still being rated must never look like one of a lost host. */
static int check_deadline(const struct config *c, struct config_complaint *why)
{
	char deadline[32], stuck[32];

	if (c->queue.job_deadline_ms <= c->queue.stuck_after_ms / 5 * 4)
		return 0;
	duration_format(c->queue.job_deadline_ms, deadline, sizeof(deadline));
	duration_format(c->queue.stuck_after_ms, stuck, sizeof(stuck));
	return complain(why, "queue.job_deadline", "queue.stuck_after",
			"queue.job_deadline (%s) must be at most four fifths of "
			"queue.stuck_after (%s)", deadline, stuck);
}

static int check_openai(const struct config *c, struct config_complaint *why)
{
	static const char appended[] = "/chat/completions";
	size_t len = strcspn(c->openai.base_url, "?#");

	if (!config_rates_with(c, RATER_OPENAI))
		return 0;
	if (!c->openai.model[0])
		return complain(why, "openai.model", NULL,
				"openai.model is empty; it must name the model to ask");
	while (len > 0 && c->openai.base_url[len - 1] == '/')
		len--;
	if (len >= strlen(appended) &&
	    strncmp(c->openai.base_url + len - strlen(appended), appended, strlen(appended)) == 0)
		return complain(why, "openai.base_url", NULL,
				"openai.base_url ends in %s, which is appended to it; "
				"leave that off", appended);
	return 0;
}

/* Two headers of one name, and nobody knows which counts. */
static int check_headers(const struct config *c, struct config_complaint *why)
{
	const struct string_list *headers = &c->openai.headers;

	for (size_t i = 0; i < headers->n; i += 2)
		if (strcasecmp(headers->items[i], c->openai.auth_header) == 0)
			return complain(why, "openai.headers", "openai.auth_header",
					"openai.headers has %.64s, which is to hold the API key, "
					"as openai.auth_header says", headers->items[i]);
	return 0;
}

static int check_command(const struct config *c, struct config_complaint *why)
{
	if (!config_rates_with(c, RATER_COMMAND) || c->command.argv.n > 0)
		return 0;
	return complain(why, "command.argv",
			c->rater.backend == RATER_COMMAND ? "rater.backend" : "rater.fallback",
			"command.argv is empty; it must name the program that rates: "
			"[ \"/usr/bin/rate\", \"-v\" ]");
}

static int check_fallback(const struct config *c, struct config_complaint *why)
{
	if (c->rater.fallback != c->rater.backend)
		return 0;
	return complain(why, "rater.fallback", NULL,
			"rater.fallback is the same as rater.backend; it must be "
			"another one, or empty");
}

static int check_shares(const struct config *c, struct config_complaint *why)
{
	const struct string_list *shares = &c->tenants.shares;

	for (size_t i = 0; i < shares->n; i++)
		for (size_t k = 0; k < i; k++) {
			size_t len, other;

			config_share_weight(shares->items[i], &len);
			config_share_weight(shares->items[k], &other);
			if (len == other && memcmp(shares->items[i], shares->items[k], len) == 0)
				return complain(why, "tenants.shares", NULL,
						"tenants.shares has %.*s twice", (int)len,
						shares->items[i]);
		}
	return 0;
}

int config_check(const struct config *config, config_complain_fn *tell, void *arg)
{
	static int (*const checks[])(const struct config *, struct config_complaint *) = {
		check_deadline, check_openai, check_headers, check_command, check_fallback,
		check_shares,
	};
	struct config_complaint why;
	int rc = 0;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (checks[i](config, &why) == -1) {
			tell(arg, &why);
			rc = -1;
		}
	return rc;
}

/* The key becomes a header line, in which a newline would break the request or forge another. */
static int take_key(struct config *c, const char *text, size_t len, const char *key,
		    const char *where, struct config_complaint *why)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len == 0 || len > API_KEY_CAP_BYTES)
		return complain(why, key, NULL, "%s %s; it must hold the API key and nothing else",
				where, len ? "is longer than 4096 bytes" : "is empty");
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return complain(why, key, NULL,
					"%s holds a blank, a control character or a letter that is "
					"not ASCII; it must hold the API key and nothing else",
					where);
	c->openai.api_key = strndup(text, len);
	return c->openai.api_key ? 0 : complain(why, key, NULL, "out of memory");
}

/* Of root's files only those that pool.user could not have put there by a link. */
static int read_secret_file(const struct config *c, const char *path, const char *what,
			    struct buf *text, struct err *err)
{
	struct place_guest guest;
	struct err why;
	int rc;

	if (place_enter(&guest, path, c->pool.user, "", err) == -1)
		return -1;
	rc = file_read(path, what, text, &why);
	place_leave(&guest);
	if (rc == -1)
		err_set(err, why.kind, "%s%s%s%s",
			guest.acting ? "a reload would run as " : "",
			guest.acting ? c->pool.user : "", guest.acting ? " and fail: " : "",
			why.text);
	return rc;
}

static int key_from_file(struct config *c, struct config_complaint *why)
{
	const char *key = "openai.api_key_file", *path = c->openai.api_key_file;
	char where[256];
	struct buf text;
	struct err err;
	int rc;

	buf_init(&text, API_KEY_CAP_BYTES);
	snprintf(where, sizeof(where), "the API key file %s", path);
	if (read_secret_file(c, path, "API key file", &text, &err) == -1)
		rc = complain(why, key, NULL, "%s", err.text);
	else
		rc = take_key(c, buf_text(&text), text.len, key, where, why);
	if (text.data)
		explicit_bzero(text.data, text.size);
	buf_free(&text);
	return rc;
}

static bool is_openai_itself(const char *url)
{
	static const char domain[] = "api.openai.com";
	const char *host = strstr(url, "://") + 3;
	size_t len = strcspn(host, ":/?#");

	return len == sizeof(domain) - 1 && strncasecmp(host, domain, len) == 0;
}

static int no_key(const struct config *c, struct config_complaint *why)
{
	if (!is_openai_itself(c->openai.base_url))
		return 0;	/* many local servers want none */
	if (!c->openai.api_key_env[0])
		return complain(why, "openai.api_key_env", "rater.backend",
				"openai.base_url (%s) needs an "
				"API key: name the file that holds it in openai.api_key_file",
				c->openai.base_url);
	return complain(why, "openai.api_key_env", "rater.backend",
			"openai.base_url (%s) needs an API "
			"key: set the environment variable %s, or name the file that holds it in "
			"openai.api_key_file",
			c->openai.base_url, c->openai.api_key_env);
}

static int read_api_key(struct config *config, struct config_complaint *why)
{
	const char *variable = config->openai.api_key_env, *value = getenv(variable);
	char where[256];

	if (config->openai.api_key_file[0])
		return key_from_file(config, why);
	if (!value || !value[0])
		return no_key(config, why);
	snprintf(where, sizeof(where), "the environment variable %s", variable);
	return take_key(config, value, strlen(value), "openai.api_key_env", where, why);
}

/* ---- more headers ---- */

#define FROM_ENV "env:"
#define FROM_FILE "file:"

/* What value has behind prefix, or NULL. */
static const char *reference(const char *value, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(value, prefix, n) == 0 ? value + n : NULL;
}

static int complain_of_header(const char *name, struct config_complaint *why, const char *what)
{
	return complain(why, "openai.headers", NULL, "the value of %.64s in openai.headers %s",
			name, what);
}

/* The file is named as seen from the configuration. */
static int read_header_file(const struct config *c, const char *name, const char *path,
			    struct buf *value, struct config_complaint *why)
{
	const char *slash = strrchr(c->path, '/');
	char *full = NULL;
	struct err err;
	int rc;

	if (path[0] != '/' &&
	    asprintf(&full, "%.*s/%s", (int)(slash - c->path), c->path, path) == -1)
		return complain_of_header(name, why, "needs more memory than there is");
	rc = file_read(full ? full : path, "file of openai.headers", value, &err);
	free(full);
	while (rc == 0 && value->len > 0 && strchr("\r\n", value->data[value->len - 1]))
		value->data[--value->len] = '\0';
	return rc == 0 ? 0 : complain(why, "openai.headers", NULL, "%s", err.text);
}

/* It becomes a header line, in which a newline would forge another. */
static bool is_header_value(const struct buf *value)
{
	for (size_t i = 0; i < value->len; i++)
		if (value->data[i] < ' ' || value->data[i] > '~')
			return false;
	return value->len > 0 && value->data[0] != ' ' && value->data[value->len - 1] != ' ';
}

static int keep_line(struct string_list *list, char *text)
{
	if (text)
		list->items[list->n++] = text;
	return text ? 0 : -1;
}

static int take_header(struct config *c, const char *name, const char *spec, struct buf *value,
		       struct config_complaint *why)
{
	const char *variable = reference(spec, FROM_ENV), *path = reference(spec, FROM_FILE);
	const char *text = variable ? getenv(variable) : path ? "" : spec;
	char *line;

	if (!text)
		return complain_of_header(name, why, "is to come from an environment variable "
					  "that is not set");
	if (path && read_header_file(c, name, path, value, why) == -1)
		return -1;
	buf_str(value, text);
	if (!buf_ok(value) || !is_header_value(value))
		return complain_of_header(name, why, "must be one line of at most 4096 printable "
					  "ASCII characters, without blanks around it");
	if (asprintf(&line, "%s: %s", name, buf_text(value)) == -1)
		line = NULL;
	if (keep_line(&c->openai.header_lines, line) == -1 ||
	    ((variable || path) &&
	     keep_line(&c->openai.header_secrets, strdup(buf_text(value))) == -1))
		return complain_of_header(name, why, "needs more memory than there is");
	return 0;
}

static int read_headers(struct config *c, struct config_complaint *why)
{
	const struct string_list *headers = &c->openai.headers;
	int rc = 0;

	c->openai.header_lines.items = calloc(headers->n + 1, sizeof(char *));
	c->openai.header_secrets.items = calloc(headers->n + 1, sizeof(char *));
	if (!c->openai.header_lines.items || !c->openai.header_secrets.items)
		return complain(why, "openai.headers", NULL, "out of memory");
	for (size_t i = 0; rc == 0 && i + 1 < headers->n; i += 2) {
		struct buf value;

		buf_init(&value, API_KEY_CAP_BYTES);
		rc = take_header(c, headers->items[i], headers->items[i + 1], &value, why);
		if (value.data)
			explicit_bzero(value.data, value.size);
		buf_free(&value);
	}
	return rc;
}

/* ---- secrets of webhooks ---- */

#define HOOK_SECRETS_MAX 8

static int complain_of_secrets(const struct webhook *hook, struct config_complaint *why,
			       const char *what)
{
	return complain(why, "webhooks.hooks", NULL, "%s%s of the webhook %s %s",
			hook->secret_file[0] ? "the secret file " : "the environment variable ",
			hook->secret_file[0] ? hook->secret_file : hook->secret_env, hook->name,
			what);
}

/* One a line, or with blanks between them; the newest first. */
static int take_hook_secrets(struct webhook *hook, const char *text, struct config_complaint *why)
{
	static const char blanks[] = " \t\r\n";
	unsigned char key[WEBHOOK_SECRET_MAX_BYTES];
	size_t len;

	hook->secrets.items = calloc(HOOK_SECRETS_MAX, sizeof(char *));
	if (!hook->secrets.items)
		return complain(why, "webhooks.hooks", NULL, "out of memory");
	for (text += strspn(text, blanks); *text; text += len + strspn(text + len, blanks)) {
		bool good;

		len = strcspn(text, blanks);
		good = webhook_secret_read(text, len, key) != -1;
		explicit_bzero(key, sizeof(key));
		if (!good)
			return complain_of_secrets(hook, why, "holds what is no secret: each must "
						   "be whsec_ and 24 to 64 bytes in base64, as "
						   "`openssl rand -base64 32` makes them");
		if (hook->secrets.n == HOOK_SECRETS_MAX)
			return complain_of_secrets(hook, why, "holds more than 8 secrets");
		hook->secrets.items[hook->secrets.n] = strndup(text, len);
		if (!hook->secrets.items[hook->secrets.n])
			return complain(why, "webhooks.hooks", NULL, "out of memory");
		hook->secrets.n++;
	}
	return hook->secrets.n ? 0 : complain_of_secrets(hook, why, "holds no secret");
}

static int read_hook_secrets(const struct config *c, struct webhook *hook,
			     struct config_complaint *why)
{
	const char *value = hook->secret_file[0] ? "" : getenv(hook->secret_env);
	struct buf text;
	struct err err;
	int rc;

	if (!value)
		return complain_of_secrets(hook, why, "is not set");
	buf_init(&text, API_KEY_CAP_BYTES);
	buf_str(&text, value);
	if (hook->secret_file[0] && read_secret_file(c, hook->secret_file, "secret file of a webhook",
						     &text, &err) == -1)
		rc = complain(why, "webhooks.hooks", NULL, "%s", err.text);
	else if (!buf_ok(&text))
		rc = complain_of_secrets(hook, why, "is longer than 4096 bytes");
	else
		rc = take_hook_secrets(hook, buf_text(&text), why);
	if (text.data)
		explicit_bzero(text.data, text.size);
	buf_free(&text);
	return rc;
}

static int read_all_hook_secrets(struct config *c, struct config_complaint *why)
{
	for (size_t i = 0; i < c->webhooks.hooks.n; i++)
		if (read_hook_secrets(c, &c->webhooks.hooks.items[i], why) == -1)
			return -1;
	return 0;
}

/* ---- all secrets ---- */

static void free_wiped(struct string_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		explicit_bzero(list->items[i], strlen(list->items[i]));
		free(list->items[i]);
	}
	free(list->items);
	*list = (struct string_list){ NULL, 0 };
}

void config_free_secrets(struct config *config)
{
	if (config->openai.api_key)
		explicit_bzero(config->openai.api_key, strlen(config->openai.api_key));
	free(config->openai.api_key);
	config->openai.api_key = NULL;
	free_wiped(&config->openai.header_lines);
	free_wiped(&config->openai.header_secrets);
	for (size_t i = 0; i < config->webhooks.hooks.n; i++)
		free_wiped(&config->webhooks.hooks.items[i].secrets);
}

/* The headers first: doctor goes on without a key. */
int config_read_secrets(struct config *config, struct config_complaint *why)
{
	config_free_secrets(config);
	if (config_rates_with(config, RATER_OPENAI) &&
	    (read_headers(config, why) == -1 || read_api_key(config, why) == -1))
		return -1;
	return read_all_hook_secrets(config, why);
}

void config_each_variable(const struct config *config, void (*each)(const char *name))
{
	const struct string_list *headers = &config->openai.headers;

	each(config->openai.api_key_env);
	for (size_t i = 1; i < headers->n; i += 2)
		if (reference(headers->items[i], FROM_ENV))
			each(reference(headers->items[i], FROM_ENV));
	for (size_t i = 0; i < config->webhooks.hooks.n; i++)
		if (config->webhooks.hooks.items[i].secret_env[0])
			each(config->webhooks.hooks.items[i].secret_env);
}

int config_check_reload(const struct config *old, const struct config *new, struct err *err)
{
	struct buf was, is;
	int rc = 0;

	buf_init(&was, CONFIG_VALUE_CAP_BYTES);
	buf_init(&is, CONFIG_VALUE_CAP_BYTES);
	for (size_t i = 0; i < config_keys_n && rc == 0; i++) {
		if (!config_keys[i].restart)
			continue;
		buf_reset(&was);
		buf_reset(&is);
		config_value_format(&config_keys[i], old, &was);
		config_value_format(&config_keys[i], new, &is);
		if (strcmp(buf_text(&was), buf_text(&is)) != 0)
			rc = err_set(err, ERR_CONFIG,
				     "%s: a reload cannot change %s from \"%s\" to "
				     "\"%s\": restart gradingd",
				     new->path, config_keys[i].path, buf_text(&was), buf_text(&is));
	}
	buf_free(&was);
	buf_free(&is);
	return rc;
}
