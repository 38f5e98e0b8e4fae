/* What the configuration must not tell: API keys and passwords; and what it shows instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/table.h"
#include "config/config.h"
#include "config/config_check.h"
#include "config/config_keys.h"
#include "config/config_load.h"
#include "config/config_show.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define OPENAI "rater: { backend = \"openai\"; };\n"
#define LOCAL OPENAI "openai: { base_url = \"http://127.0.0.1:1/v1\"; };"

static char dir[] = "/tmp/test_config.XXXXXX";

static const char *write_file(const char *name, const char *text, size_t len)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	return path;
}

static struct config *load(const char *text, struct err *err)
{
	err->text[0] = '\0';
	return config_load(write_file("t.conf", text, strlen(text)), err);
}

static void assert_key(const char *text, const char *expected)
{
	struct err err;
	struct config *c = load(text, &err);

	assert_string_equal(err.text, "");
	assert_non_null(c);
	if (expected)
		assert_string_equal(c->openai.api_key, expected);
	else
		assert_null(c->openai.api_key);
	config_free(c);
}

/* ---- more headers ---- */

static void test_headers_come_from_the_file_the_environment_and_files(void **state)
{
	struct err err;
	struct config *c;

	(void)state;
	setenv("TEST_TOKEN", "fr0m-the-env", 1);
	write_file("token", "fr0m a file\r\n", 13);
	c = load(OPENAI "openai: { base_url = \"http://127.0.0.1:1/v1\"; headers = { x-a = \"plain\"; "
		 "x-b = \"env:TEST_TOKEN\"; x-c = \"file:token\"; }; };", &err);
	assert_string_equal(err.text, "");
	assert_int_equal(c->openai.header_lines.n, 3);
	assert_string_equal(c->openai.header_lines.items[0], "x-a: plain");
	assert_string_equal(c->openai.header_lines.items[1], "x-b: fr0m-the-env");
	assert_string_equal(c->openai.header_lines.items[2], "x-c: fr0m a file");
	assert_int_equal(c->openai.header_secrets.n, 2);
	assert_string_equal(c->openai.header_secrets.items[0], "fr0m-the-env");
	assert_string_equal(c->openai.header_secrets.items[1], "fr0m a file");
	config_free(c);
	unsetenv("TEST_TOKEN");
}

static void test_headers_that_cannot_be_sent(void **state)
{
	static const struct { const char *value, *reason; } cases[] = {
		{ "env:TEST_NO_SUCH", "is to come from an environment variable that is not set" },
		{ "", "must be one line of at most 4096 printable ASCII characters" },
		{ " a", "must be one line" },
		{ "caf\303\251", "must be one line" },
		{ "file:two_lines", "must be one line" },
		{ "file:none_such", "file of openai.headers" },
	};
	char text[300];
	struct err err;

	(void)state;
	write_file("two_lines", "a\nx-forged: b", 13);
	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), OPENAI "openai: { base_url = \"http://127.0.0.1:1/v1\"; "
			 "headers = { x-a = \"%s\"; }; };", cases[i].value);
		assert_null(load(text, &err));
		if (!strstr(err.text, cases[i].reason))
			fail_msg("%s: %s", cases[i].value, err.text);
	}
}

static char seen[200];

static void see(const char *name)
{
	strcat(strcat(seen, name), ",");
}

static void test_variables_that_hold_secrets_are_known(void **state)
{
	struct err err;
	struct config *c = config_parse_string("openai: { api_key_env = \"A\"; headers = { "
					       "x = \"env:B\"; y = \"c\"; z = \"env:D\"; }; };", "t",
					       &err);

	(void)state;
	config_each_variable(c, see);
	assert_string_equal(seen, "A,B,D,");
	config_free(c);
}

/* '@' in the reason stands for the directory. */
static void assert_refused(const char *text, const char *reason)
{
	size_t before = strcspn(reason, "@");
	const char *after = reason[before] ? reason + before + 1 : "";
	char expected[700];
	struct err err;

	assert_null(load(text, &err));
	snprintf(expected, sizeof(expected), "%s/t.conf:%.*s%s%s", dir, (int)before, reason,
		 reason[before] ? dir : "", after);
	assert_string_equal(err.text, expected);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_null(strstr(err.text, "hunter2"));
}

#define NOTHING_ELSE "; it must hold the API key and nothing else"
#define NO_HEADER " holds a blank, a control character or a letter that is not ASCII" NOTHING_ELSE

static void test_key_from_environment(void **state)
{
	(void)state;
	setenv("OPENAI_API_KEY", "hunter2", 1);
	assert_key(OPENAI, "hunter2");
	assert_key("", NULL);			/* the rubric has no business with it */
	setenv("OPENAI_API_KEY", "hunter2\n", 1);
	assert_key(OPENAI, "hunter2");
	setenv("OPENAI_API_KEY", "hunter2\r\nX-Evil: 1", 1);
	assert_refused(OPENAI "openai: { api_key_env = \"OPENAI_API_KEY\"; };",
		       "2: the environment variable OPENAI_API_KEY" NO_HEADER);
	setenv("OTHER_KEY", "sk-other", 1);
	assert_key(OPENAI "openai: { api_key_env = \"OTHER_KEY\"; };", "sk-other");
	unsetenv("OTHER_KEY");
	unsetenv("OPENAI_API_KEY");
}

#define WANTED "1: openai.base_url (https://api.openai.com/v1) needs an API key: set the " \
	"environment " \
	"variable OPENAI_API_KEY, or name the file that holds it in openai.api_key_file"

static void test_key_that_is_missing(void **state)
{
	struct config *c;
	struct err err;

	(void)state;
	assert_refused(OPENAI, WANTED);
	setenv("OPENAI_API_KEY", "", 1);
	assert_refused(OPENAI, WANTED);
	unsetenv("OPENAI_API_KEY");
	assert_refused(
		OPENAI
		"openai: { api_key_env = \"\"; base_url = \"https://API.openai.com:443\"; };",
		"2: openai.base_url (https://API.openai.com:443) needs an API key: name the file "
		"that holds it in openai.api_key_file");
	assert_key(LOCAL, NULL);		/* a local server may want none */
	assert_key(OPENAI "openai: { base_url = \"https://api.openai.com.proxy.test/v1\"; };",
		   NULL);
	c = config_load_client(write_file("t.conf", OPENAI, strlen(OPENAI)), &err);
	assert_non_null(c);			/* gradingctl needs none */
	config_free(c);
}

static void test_key_from_file(void **state)
{
	static const char with_file[] = OPENAI "openai: { api_key_file = \"key\"; };";
	char big[5001];

	(void)state;
	memset(big, 'x', sizeof(big));
	setenv("OPENAI_API_KEY", "from-environment", 1);
	write_file("key", "hunter2\r\n", 9);
	assert_key(with_file, "hunter2");
	write_file("key", big, 5000);
	assert_refused(with_file, "2: the API key file @/key is larger than 4096 bytes");
	write_file("key", big, 4096);
	big[4096] = '\0';
	assert_key(with_file, big);
	write_file("key", "\n", 1);
	assert_refused(with_file, "2: the API key file @/key is empty" NOTHING_ELSE);
	write_file("key", "", 0);
	assert_refused(with_file, "2: the API key file @/key is empty" NOTHING_ELSE);
	write_file("key", "hunter2\nhunter2\n", 16);
	assert_refused(with_file, "2: the API key file @/key" NO_HEADER);
	write_file("key", "hunter2\0x", 9);
	assert_refused(with_file, "2: the API key file @/key" NO_HEADER);
	write_file("key", "h\xc3\xbcnter", 7);
	assert_refused(with_file, "2: the API key file @/key" NO_HEADER);
	assert_refused(OPENAI "openai: { api_key_file = \"absent\"; };",
		       "2: cannot open the API key file @/absent: No such file or directory");
	assert_refused(OPENAI "openai: { api_key_file = \".\"; };",
		       "2: the API key file @/. is not a regular file");
	unsetenv("OPENAI_API_KEY");
}

/* A secret in any place that a person might put it, in texts that are all refused. */
static const char *const misplaced[] = {
	"openai: { api_key = \"hunter2\"; };",
	"openai: { api_key_env = \"sk-hunter2\"; };",
	"openai: { api_key_env = [ \"hunter2\" ]; };",
	"openai: { base_url = \"ftp://user:hunter2@host/\"; };",
	"openai: { base_url = \"https://user:hunter2@host/\"; };",
	"database: { conninfo = \"password=hunter2\n\"; };",
	"database: { conninfo = [ \"postgres://u:hunter2@h\" ]; };",
	"database: { conninf = \"password=hunter2\"; };",
	"database: { pool_mode = \"password=hunter2\"; };",
	"database: { pool_mode = \"postgres://u:hunter2@h/db\"; };",
	"database: { conninfo = \"password=hunter2\" ",
	"control: { socket = \"host=h password = 'hunter2'\"; };",
	"password: \"hunter2\";",
};

static void test_no_message_tells_a_secret(void **state)
{
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(misplaced); i++) {
		err.text[0] = '\0';
		assert_null(config_parse_string(misplaced[i], "t", &err));
		assert_true(strlen(err.text) > 10);
		if (strstr(err.text, "hunter2"))
			fail_msg("%s", err.text);
	}
}

static void test_show(void **state)
{
	static const char *const columns[] = { "key", "value", "default", "reload", NULL };
	struct err err;
	struct table *t = table_new(columns, false);
	struct buf out;
	struct config *c;

	(void)state;
	setenv("OPENAI_API_KEY", "sk-hunter2", 1);
	c = load(OPENAI "database: { conninfo = \"host=db password=hunter2\";\n"
		 "listen_conninfo = \"postgres://u:hunter2@db/d\"; };"
		 "queue: { poll = \"1500ms\"; };", &err);
	unsetenv("OPENAI_API_KEY");
	assert_string_equal(err.text, "");
	config_show(c, t);
	buf_init(&out, 1 << 20);
	table_render(t, true, &out);
	assert_true(buf_ok(&out));
	assert_null(strstr(buf_text(&out), "hunter2"));
	assert_non_null(strstr(buf_text(&out), "\"host=db password=****\""));
	assert_non_null(strstr(buf_text(&out), "\"postgres://u:****@db/d\""));
	assert_non_null(strstr(buf_text(&out), "\"1500ms\""));
	assert_null(strstr(buf_text(&out), "\"1d\""));	/* a default in the default's words */
	for (size_t i = 0; i < config_keys_n; i++)
		assert_non_null(strstr(buf_text(&out), config_keys[i].path));
	buf_free(&out);
	table_free(t);
	config_free(c);
}

static void test_list(void **state)
{
	struct buf out;
	size_t lines = 0, tabs = 0;

	(void)state;
	buf_init(&out, 1 << 20);
	config_list(&out);
	for (const char *p = buf_text(&out); *p; p++) {
		lines += *p == '\n';
		tabs += *p == '\t';
	}
	assert_int_equal(lines, config_keys_n);
	assert_int_equal(tabs, 4 * config_keys_n);
	assert_non_null(strstr(buf_text(&out), "\nqueue.poll\tduration\t\"5s\"\tyes\t"));
	assert_non_null(strstr(buf_text(&out), "\npool.workers\tinteger\t4\tyes\t"));
	assert_non_null(strstr(buf_text(&out), "\ncontrol.pid_file\tstring\t\"\"\trestart\t"));
	assert_non_null(strstr(buf_text(&out), "list\t[ \"excellent\", \"good\", \"poor\", "
			       "\"missed_opportunity\" ]\t"));
	buf_free(&out);
}

/* ---- secrets of webhooks ---- */

#define SECRET_A "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SECRET_B "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define HOOKS "webhooks: { hooks = ( { name = \"a\"; url = \"https://h.example/t0ken?k=1\"; " \
	"secret_env = \"TEST_HOOK\"; }, { name = \"b\"; url = \"http://10.0.0.7:8080/\"; " \
	"secret_file = \"token\"; events = \"step\"; timeout = \"250ms\"; allow_private = true; } ); };"

static void test_webhooks_have_their_secrets_from_elsewhere(void **state)
{
	static const char *const columns[] = { "key", "value", "default", "reload", NULL };
	struct table *t = table_new(columns, false);
	const struct webhook *hook;
	struct config *c;
	struct err err;
	struct buf out;

	(void)state;
	setenv("TEST_HOOK", SECRET_B " " SECRET_A, 1);
	write_file("token", SECRET_A "\r\n", strlen(SECRET_A) + 2);
	c = load(HOOKS, &err);
	assert_string_equal(err.text, "");
	assert_int_equal(c->webhooks.hooks.n, 2);
	hook = c->webhooks.hooks.items;
	assert_int_equal(hook[0].secrets.n, 2);
	assert_string_equal(hook[0].secrets.items[0], SECRET_B);
	assert_string_equal(hook[0].secrets.items[1], SECRET_A);
	assert_int_equal(hook[0].events, WEBHOOK_END);
	assert_int_equal(hook[0].timeout_ms, 10000);
	assert_int_equal(hook[0].allow_private, 0);
	assert_int_equal(hook[1].secrets.n, 1);
	assert_int_equal(hook[1].events, WEBHOOK_STEP);
	assert_int_equal(hook[1].timeout_ms, 250);
	assert_int_equal(hook[1].allow_private, 1);
	assert_int_equal(strncmp(hook[1].secret_file, dir, strlen(dir)), 0);
	seen[0] = '\0';
	config_each_variable(c, see);
	assert_string_equal(seen, "OPENAI_API_KEY,TEST_HOOK,");
	config_show(c, t);
	buf_init(&out, 1 << 16);
	table_render(t, false, &out);
	assert_non_null(strstr(buf_text(&out), "( { name = \"a\"; url = \"https://h.example/****\"; "
			       "secret_env = \"TEST_HOOK\"; }, { name = \"b\"; url = "
			       "\"http://10.0.0.7:8080\"; "));
	assert_non_null(strstr(buf_text(&out), "allow_private = true; } )"));
	assert_null(strstr(buf_text(&out), "t0ken"));
	assert_null(strstr(buf_text(&out), "whsec_"));
	buf_free(&out);
	table_free(t);
	config_free(c);
}

static void test_webhooks_without_a_good_secret(void **state)
{
	static const struct { const char *value, *reason; } cases[] = {
		{ NULL, "the environment variable TEST_HOOK of the webhook a is not set" },
		{ "", "the environment variable TEST_HOOK of the webhook a holds no secret" },
		{ "s3cret", "holds what is no secret: each must be whsec_ and 24 to 64 bytes" },
		{ SECRET_A " whsec_short", "holds what is no secret" },
		{ SECRET_A "\n" SECRET_A " " SECRET_A " " SECRET_A " " SECRET_A " " SECRET_A " "
		  SECRET_A " " SECRET_A " " SECRET_A, "holds more than 8 secrets" },
	};
	struct err err;

	(void)state;
	write_file("token", SECRET_A, strlen(SECRET_A));
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (cases[i].value)
			setenv("TEST_HOOK", cases[i].value, 1);
		else
			unsetenv("TEST_HOOK");
		assert_null(load(HOOKS, &err));
		if (!strstr(err.text, cases[i].reason) || strstr(err.text, "s3cret") ||
		    strstr(err.text, "MfKQ"))
			fail_msg("%zu: %s", i, err.text);
	}
	setenv("TEST_HOOK", SECRET_A, 1);
	unlink(write_file("token", "", 0));
	assert_null(load(HOOKS, &err));
	assert_non_null(strstr(err.text, "secret file of a webhook"));
	unsetenv("TEST_HOOK");
}

static int make_directory(void **state)
{
	(void)state;
	unsetenv("OPENAI_API_KEY");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	if (chdir(dir) == -1)
		return -1;
	unlink("t.conf");
	unlink("key");
	unlink("token");
	unlink("two_lines");
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers_come_from_the_file_the_environment_and_files),
		cmocka_unit_test(test_headers_that_cannot_be_sent),
		cmocka_unit_test(test_variables_that_hold_secrets_are_known),
		cmocka_unit_test(test_key_from_environment),
		cmocka_unit_test(test_key_that_is_missing),
		cmocka_unit_test(test_key_from_file),
		cmocka_unit_test(test_no_message_tells_a_secret),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_webhooks_have_their_secrets_from_elsewhere),
		cmocka_unit_test(test_webhooks_without_a_good_secret),
	};

	return cmocka_run_group_tests_name("config_secrets", tests, make_directory,
					   remove_directory);
}
