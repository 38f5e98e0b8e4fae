/*
 * The webhooks of a configuration: the table of a hook's members, and the list of hooks. Any
 * process that loads a configuration; never exits, since a reload in the supervisor may fail but
 * must not end it.
 */
#include "config_hooks.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000)
#define PATH "webhooks.hooks."
#define NAME_CAP 40
#define URL_CAP 2000
#define TEXT_CAP_BYTES 8192		/* of a member */

static const char *const events[] = { "end", "step", NULL };
static const char *const booleans[] = { "false", "true", NULL };

static const char *wrong_name(const char *text)
{
	size_t len = strlen(text);

	if (len > 0 && len <= NAME_CAP &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len)
		return NULL;
	return "1 to 40 characters a-z, 0-9, _ and -";
}

static const char *wrong_url(const char *text)
{
	const char *host = strncmp(text, "http://", 7) == 0 ? text + 7 :
			   strncmp(text, "https://", 8) == 0 ? text + 8 : "";

	if (!*host || strchr("/?#", *host) || strchr(text, ' ') || strlen(text) > URL_CAP)
		return "a URL of at most 2000 bytes that begins with http:// or https://";
	if (memchr(host, '@', strcspn(host, "/?#")))
		return "a URL without user and password: receivers know us by the signature";
	return NULL;
}

static const char *wrong_variable(const char *text)
{
	size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	if (!text[n] && n < 40 && !isdigit((unsigned char)text[0]) &&
	    strncmp(text, "whsec_", 6) != 0)
		return NULL;
	return "the name of an environment variable, not the secret itself";
}

#define KEY(kind, name, text) \
	.path = PATH #name, .type = KEY_##kind, .offset = offsetof(struct webhook, name), \
	.preset = text

/* name, url and where the secret is have no default that would do. */
const struct config_key hook_keys[] = {
	{ KEY(STRING, name, "unnamed"), .wrong = wrong_name,
	  .help = "What it is called in the database, in logs and by gradingctl." },
	{ KEY(STRING, url, "https://localhost/"), .wrong = wrong_url, .secret = true,
	  .help = "Where messages are posted to." },
	{ KEY(STRING, secret_env, ""), .wrong = wrong_variable, .secret = true,
	  .help = "The environment variable that holds its secrets." },
	{ KEY(STRING, secret_file, ""), .file = true,
	  .help = "The file that holds them, instead of the variable." },
	{ KEY(CHOICE, events, "end"), .choices = events,
	  .help = "\"end\": when a session ends; \"step\": each time that it gets on, too." },
	{ .path = PATH "timeout", .type = KEY_DURATION,
	  .offset = offsetof(struct webhook, timeout_ms), .preset = "10s",
	  .min = 100, .max = 60 * SECOND,
	  .help = "How long one call may take." },
	{ KEY(CHOICE, allow_private, "false"), .choices = booleans,
	  .help = "Whether it may be at an address inside, and reached by a proxy." },
	{ KEY(STRING, ca_file, ""), .file = true,
	  .help = "Certificates (PEM) to trust instead of the system's; empty: the system's." },
};
const size_t hook_keys_n = sizeof(hook_keys) / sizeof(hook_keys[0]);

static const char *last_word(const struct config_key *key)
{
	return key->path + sizeof(PATH) - 1;
}

const struct config_key *hook_key_find(const char *name)
{
	for (size_t i = 0; i < hook_keys_n; i++)
		if (strcmp(name, last_word(&hook_keys[i])) == 0)
			return &hook_keys[i];
	return NULL;
}

void hook_keys_list(struct buf *out)
{
	for (size_t i = 0; i < hook_keys_n; i++)
		buf_printf(out, "%s%s", i ? ", " : "", last_word(&hook_keys[i]));
}

int hook_preset(const struct hook_ops *ops, struct webhook *hook)
{
	for (size_t i = 0; i < hook_keys_n; i++)
		if (ops->parse(&hook_keys[i], hook, hook_keys[i].preset) == -1)
			return -1;
	return 0;
}

void hook_free(const struct hook_ops *ops, struct webhook *hook)
{
	for (size_t i = 0; i < hook_keys_n; i++)
		ops->release(&hook_keys[i], hook);
	for (size_t i = 0; i < hook->secrets.n; i++) {
		explicit_bzero(hook->secrets.items[i], strlen(hook->secrets.items[i]));
		free(hook->secrets.items[i]);
	}
	free(hook->secrets.items);
	*hook = (struct webhook){ .name = NULL };
}

int hook_list_add(struct webhook_list *list, struct webhook *hook)
{
	struct webhook *items = realloc(list->items, (list->n + 1) * sizeof(*items));

	if (!items)
		return -1;
	items[list->n] = *hook;
	list->items = items;
	list->n++;
	*hook = (struct webhook){ .name = NULL };
	return 0;
}

void hook_list_free(const struct hook_ops *ops, struct webhook_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		hook_free(ops, &list->items[i]);
	free(list->items);
	*list = (struct webhook_list){ NULL, 0 };
}

/* Scheme and host; a path or a query may hold a token. */
static void show_url(const char *url, struct buf *out)
{
	const char *host = strstr(url, "://") + 3;
	size_t len = strcspn(host, "/?#");
	bool more = host[len] && strcmp(host + len, "/") != 0;

	buf_char(out, '"');
	buf_add(out, url, (size_t)(host - url) + len);
	buf_str(out, more ? "/****\"" : "\"");
}

static void show_member(const struct hook_ops *ops, const struct config_key *key,
			const struct webhook *hook, struct buf *out)
{
	bool quoted = key->type != KEY_CHOICE || key->choices != booleans;
	struct buf text;

	buf_init(&text, TEXT_CAP_BYTES);
	ops->format(key, hook, &text);
	if (strcmp(buf_text(&text), key->preset) != 0 || strcmp(last_word(key), "url") == 0) {
		buf_printf(out, "%s = ", last_word(key));
		if (strcmp(last_word(key), "url") == 0)
			show_url(hook->url, out);
		else if (quoted)
			buf_json(out, buf_text(&text));
		else
			buf_str(out, buf_text(&text));
		buf_str(out, "; ");
	}
	buf_free(&text);
}

void hook_list_show(const struct hook_ops *ops, const struct webhook_list *list, struct buf *out)
{
	buf_str(out, "(");
	for (size_t i = 0; i < list->n; i++) {
		buf_str(out, i ? ", { " : " { ");
		for (size_t k = 0; k < hook_keys_n; k++)
			show_member(ops, &hook_keys[k], &list->items[i], out);
		buf_char(out, '}');
	}
	buf_str(out, " )");
}
