/*
 * Any text as a configuration: refused with a sentence, or taken with every value within what the
 * table allows. For libFuzzer; sanitizers see the rest.
 */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mask.h"
#include "config/config.h"
#include "config/config_keys.h"
#include "config/config_load.h"
#include "config/config_value.h"

#define CHECK(claim) do { if (!(claim)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the string at hand when it meets a syntax error; all else is looked at. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

static void check_refused(const struct err *err)
{
	CHECK(err->kind == ERR_CONFIG);
	CHECK(strncmp(err->text, "f:", 2) == 0 && strlen(err->text) > 10);
	for (const char *p = err->text; *p; p++)
		CHECK(!iscntrl((unsigned char)*p));
}

static void check_hooks(const struct webhook_list *hooks)
{
	struct buf shown;

	CHECK(hooks->n <= WEBHOOKS_MAX);
	for (size_t i = 0; i < hooks->n; i++) {
		const struct webhook *hook = &hooks->items[i];

		CHECK(hook->name[0] && strlen(hook->name) <= 40);
		CHECK(strncmp(hook->url, "http", 4) == 0);
		CHECK((hook->secret_env[0] != '\0') != (hook->secret_file[0] != '\0'));
		CHECK(!hook->secret_file[0] || hook->secret_file[0] == '/');
		CHECK(hook->timeout_ms >= 100 && hook->timeout_ms <= 60000);
		CHECK(hook->secrets.n == 0);
	}
	buf_init(&shown, 1u << 20);
	hook_list_show(&config_value_ops, hooks, &shown);
	CHECK(buf_ok(&shown));
	buf_free(&shown);
}

/* What was taken is taken again, to the same effect. */
static void check_value(const struct config_key *key, const struct config *c)
{
	struct config scratch = { 0 };
	struct buf first, second, masked;

	buf_init(&first, 8192);
	buf_init(&second, 8192);
	buf_init(&masked, 32768);
	config_value_format(key, c, &first);
	CHECK(buf_ok(&first));
	CHECK(config_value_parse(key, &scratch, buf_text(&first)) == 0);
	config_value_format(key, &scratch, &second);
	CHECK(strcmp(buf_text(&first), buf_text(&second)) == 0);
	mask_secrets(buf_text(&first), &masked);
	CHECK(buf_ok(&masked));
	config_value_free(key, &scratch);
	buf_free(&first);
	buf_free(&second);
	buf_free(&masked);
}

static void check_taken(const struct config *c)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (config_keys[i].type != KEY_HOOKS)	/* as text it is only empty */
			check_value(&config_keys[i], c);
	check_hooks(&c->webhooks.hooks);
	CHECK(c->queue.job_deadline_ms < c->queue.stuck_after_ms);
	CHECK(c->rater.fallback != c->rater.backend);
	CHECK(c->control.pid_file[0] == '/');
	CHECK(!c->rubric.file[0] || c->rubric.file[0] == '/');
	CHECK(c->openai.api_key == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { .kind = ERR_NONE };
	char *text = malloc(size + 1);
	struct config *c;

	CHECK(text);
	memcpy(text, data, size);
	text[size] = '\0';
	c = config_parse_string(text, "f", &err);
	free(text);
	if (c)
		check_taken(c);
	else
		check_refused(&err);
	config_free(c);
	return 0;
}
