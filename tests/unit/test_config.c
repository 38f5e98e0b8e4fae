/*
 * Configurations that are taken; limits, files, reload. Runs in the project's root: it reads etc/.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "config/config.h"
#include "config/config_check.h"
#include "config/config_keys.h"
#include "config/config_load.h"
#include "config/config_value.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char *value_of(const struct config *c, const struct config_key *key)
{
	struct buf out;
	char *text;

	buf_init(&out, 8192);
	config_value_format(key, c, &out);
	assert_true(buf_ok(&out));
	text = strdup(buf_text(&out));
	buf_free(&out);
	return text;
}

static void assert_value(const struct config *c, const char *path, const char *expected)
{
	const struct config_key *key = config_key_find(path);
	char *text;

	assert_non_null(key);
	text = value_of(c, key);
	assert_string_equal(text, expected);
	free(text);
}

static struct config *parse(const char *text)
{
	struct err err = { .text = "" };
	struct config *c = config_parse_string(text, "/etc/gradingd/t.conf", &err);

	if (!c)
		fail_msg("refused: %s", err.text);
	return c;
}

static void test_empty_text_gives_defaults(void **state)
{
	struct config *c = parse("");

	(void)state;
	assert_string_equal(c->path, "/etc/gradingd/t.conf");
	assert_string_equal(c->database.conninfo, "dbname=grading");
	assert_int_equal(c->database.pool_mode, POOL_MODE_SESSION);
	assert_int_equal(c->pool.workers, 4);
	assert_int_equal(c->pool.drain_ms, 30000);
	assert_int_equal(c->queue.poll_ms, 5000);
	assert_int_equal(c->queue.keep_failed_ms, 0);
	assert_int_equal(c->rater.backend, RATER_RUBRIC);
	assert_int_equal(c->rater.scale.n, 4);
	assert_string_equal(c->rater.scale.items[3], "missed_opportunity");
	assert_int_equal(c->rater.speakers.n, 2);
	assert_string_equal(c->rater.speakers.items[0], "rep");
	assert_string_equal(c->rater.speakers.items[1], "user");
	assert_int_equal(c->openai.response_format, RESPONSE_JSON_SCHEMA);
	assert_null(c->openai.api_key);
	assert_int_equal(c->log.level, LOG_LEVEL_INFO);
	config_free(c);
}

/* The enums of other modules and the words of the table are kept in one order. */
static void test_choices_match_their_enums(void **state)
{
	struct config *c = parse(
		"database: { pool_mode = \"transaction\"; }; log: { level = \"debug\"; };"
		"openai: { response_format = \"none\"; };");

	(void)state;
	assert_int_equal(c->database.pool_mode, POOL_MODE_TRANSACTION);
	assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->openai.response_format, RESPONSE_NONE);
	config_free(c);
	c = parse("log: { level = \"error\"; }; openai: { response_format = \"json_object\"; };"
		  "rater: { backend = \"openai\"; };");
	assert_int_equal(c->log.level, LOG_LEVEL_ERROR);
	assert_int_equal(c->openai.response_format, RESPONSE_JSON_OBJECT);
	assert_int_equal(c->rater.backend, RATER_OPENAI);
	assert_int_equal(c->rater.fallback, RATER_NONE);
	assert_true(config_rates_with(c, RATER_OPENAI) && !config_rates_with(c, RATER_COMMAND));
	config_free(c);
	c = parse("rater: { fallback = \"command\"; }; command: { argv = [ \"/a\", \"b\" ]; };");
	assert_int_equal(c->rater.fallback, RATER_COMMAND);
	assert_true(config_rates_with(c, RATER_RUBRIC) && config_rates_with(c, RATER_COMMAND));
	assert_int_equal(c->command.argv.n, 2);
	assert_string_equal(c->command.argv.items[1], "b");
	config_free(c);
}

static const struct { const char *text, *path, *value; } accepted[] = {
	{ "pool: { workers = 1; };", "pool.workers", "1" },
	{ "pool: { workers = 256L; };", "pool.workers", "256" },
	{ "pool: { workers = 0x10; };", "pool.workers", "16" },
	{ "pool = { max_jobs = 5000000000L; };", "pool.max_jobs", "5000000000" },
	{ "pool : { workers : 7 }", "pool.workers", "7" },
	{ "queue: { poll = \"1500ms\"; };", "queue.poll", "1500ms" },
	{ "queue: { poll = \"90s\"; };", "queue.poll", "90s" },
	{ "queue: { keep_failed = 0; };", "queue.keep_failed", "0" },
	{ "queue: { keep_failed = \"0\"; };", "queue.keep_failed", "0" },
	{ "queue: { keep_completed = \"0\"; };", "queue.keep_completed", "0" },
	{ "queue: { stuck_after = \"4m\"; };", "queue.job_deadline", "2m" },
	{ "cache: { ttl = 0; };", "cache.ttl", "0" },
	{ "cache: { ttl = \"365d\"; };", "cache.ttl", "365d" },
	{ "rater: { scale = [ \"a\", \"b-c d_9\" ]; };", "rater.scale", "a, b-c d_9" },
	{ "rater: { scale = ( \"pass\" ); };", "rater.scale", "pass" },
	{ "rater: { speakers = [ \"agent\", \"sales rep\" ]; };", "rater.speakers",
	  "agent, sales rep" },
	{ "command: { argv = [ \"/bin/a b\", \"c,d\", \"\", \"$x 'y'\" ]; };", "command.argv",
	  "[ \"/bin/a b\", \"c,d\", \"\", \"$x 'y'\" ]" },
	{ "command: { argv = ( \"/bin/a\", \"say \\\"no\\\" \\\\ ]\" ); };", "command.argv",
	  "[ \"/bin/a\", \"say \\\"no\\\" \\\\ ]\" ]" },
	{ "command: { argv = [ ]; };", "command.argv", "[ ]" },
	{ "tenants: { shares = [ \"acme:3\", \"Be ta\", \"c:d:1000\" ]; };", "tenants.shares",
	  "[ \"acme:3\", \"Be ta\", \"c:d:1000\" ]" },
	{ "rater: { fallback = \"\"; };", "rater.fallback", "" },
	{ "rater: { backend = \"openai\"; fallback = \"rubric\"; };", "rater.fallback", "rubric" },
	{ "database: { conninfo = \"postgres://u@h:6543/db\"; };", "database.conninfo",
	  "postgres://u@h:6543/db" },
	{ "database: { conninfo = \"host=h \" \"dbname=d\"; };", "database.conninfo",
	  "host=h dbname=d" },
	{ "database: { pool_mode = \"transaction\"; };", "database.listen_conninfo", "" },
	{ "openai: { base_url = \"http://127.0.0.1:8080/v1\"; };", "openai.base_url",
	  "http://127.0.0.1:8080/v1" },
	{ "openai: { timeout = \"10m\"; };", "openai.timeout", "10m" },	/* not the rubric's */
	{ "rubric: { file = \"r.conf\"; };", "rubric.file", "/etc/gradingd/r.conf" },
	{ "rubric: { file = \"/srv/r.conf\"; };", "rubric.file", "/srv/r.conf" },
	{ "rater: { prompt_file = \"x/p.txt\"; };", "rater.prompt_file", "/etc/gradingd/x/p.txt" },
	{ "openai: { api_key_file = \"key\"; };", "openai.api_key_file", "/etc/gradingd/key" },
	{ "control: { socket = \"/tmp/g/s\"; };", "control.pid_file", "/tmp/g/gradingd.pid" },
	{ "control: { pid_file = \"/tmp/p\"; };", "control.pid_file", "/tmp/p" },
	{ "log: { to = \"/var/log/gradingd.log\"; };", "log.to", "/var/log/gradingd.log" },
	{ "log: { to = \"syslog\"; }; # 99999999999 and @include in a comment", "log.to",
	  "syslog" },
	{ "/* 99999999999 */ pool: { user = \"x99999999999 @\\\" 99999999999\"; }; // 99999999999",
	  "pool.user", "x99999999999 @\" 99999999999" },
};

static void test_decimals(void **state)
{
	static const struct { const char *text; int64_t millionths; } cases[] = {
		{ "0", 0 }, { "0.15", 150000 }, { "2", 2000000 }, { "2.5", 2500000 },
		{ "0.000001", 1 }, { "100000", 100000000000 }, { "1e-1", 100000 },
		{ "99999.999999", 99999999999 }, { "0.1", 100000 }, { "3.0", 3000000 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[80];
		struct config *c;

		snprintf(text, sizeof(text), "openai: { prompt_price = %s; };", cases[i].text);
		c = parse(text);
		assert_int_equal(c->openai.prompt_price, cases[i].millionths);
		assert_int_equal(c->openai.completion_price, 0);
		config_free(c);
	}
}

static void test_accepted(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(accepted); i++) {
		struct config *c = parse(accepted[i].text);

		assert_value(c, accepted[i].path, accepted[i].value);
		assert_int_equal(
			config_value_parse(config_key_find(accepted[i].path), c, accepted[i].value),
			0);
		assert_value(c, accepted[i].path, accepted[i].value);
		config_free(c);
	}
}

/* Each number's limits, as the table says them: at them is allowed, beyond is not. */
static void test_every_range(void **state)
{
	struct config *c = parse("");

	(void)state;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		const char *unit = key->type == KEY_DURATION ? "ms" : "";
		char text[32];

		if (key->type != KEY_INTEGER && key->type != KEY_DURATION)
			continue;
		for (int beyond = 0; beyond <= 1; beyond++) {
			if (key->min - beyond >= 0) {
				snprintf(text, sizeof(text), "%lld%s", (long long)key->min - beyond,
					 unit);
				assert_int_equal(config_value_parse(key, c, text),
						 beyond ? -1 : 0);
			}
			if (key->max < INT64_MAX && key->max < 10000000000) {
				snprintf(text, sizeof(text), "%lld%s", (long long)key->max + beyond,
					 unit);
				assert_int_equal(config_value_parse(key, c, text), beyond ? -1 : 0);
			}
		}
	}
	config_free(c);
}

static void assert_same(const struct config *a, const struct config *b)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		char *expected = value_of(a, &config_keys[i]);

		assert_value(b, config_keys[i].path, expected);
		free(expected);
	}
}

static void test_sample_equals_defaults(void **state)
{
	struct config *defaults = parse(""), *c;
	struct err err = { .text = "" };

	(void)state;
	c = config_load("etc/gradingd.conf", &err);
	assert_string_equal(err.text, "");
	assert_non_null(c);
	assert_same(defaults, c);
	assert_int_equal(c->path[0], '/');
	config_free(c);
	c = config_load("etc/gradingd-minimal.conf", &err);
	assert_string_equal(err.text, "");
	assert_same(defaults, c);
	config_free(c);
	config_free(defaults);
}

/* What one value's text gives, its formatted text gives again. */
static void test_presets_survive_a_round_trip(void **state)
{
	struct config *c = parse("");

	(void)state;
	for (size_t i = 0; i < config_keys_n; i++) {
		char *text = value_of(c, &config_keys[i]);

		assert_int_equal(config_value_parse(&config_keys[i], c, text), 0);
		assert_value(c, config_keys[i].path, text);
		free(text);
	}
	config_free(c);
}

/* As long as it may be, it can still be shown; a byte more is refused. */
static void test_a_command_line_has_a_limit(void **state)
{
	char text[5000] = "[ \"/a\", \"", word[4000];
	const struct config_key *key = config_key_find("command.argv");
	struct config *c = parse("");

	(void)state;
	memset(word, 'x', sizeof(word));
	word[4000 - strlen(text) - strlen("\" ]")] = '\0';
	strcat(strcat(text, word), "\" ]");
	assert_int_equal(config_value_parse(key, c, text), 0);
	assert_value(c, "command.argv", text);
	strcpy(text + strlen(text) - strlen("\" ]"), "x\" ]");
	assert_int_equal(config_value_parse(key, c, text), -1);
	assert_int_equal(c->command.argv.n, 2);		/* as it was */
	config_free(c);
}

static void assert_load_refused(const char *path, const char *message)
{
	struct err err = { .kind = ERR_NONE };

	assert_null(config_load(path, &err));
	assert_string_equal(err.text, message);
	assert_int_equal(err.kind, ERR_CONFIG);
}

static void test_files_that_cannot_be_read(void **state)
{
	static const char nul[] = "pool: { };\0 workers";
	char dir[] = "/tmp/test_config.XXXXXX";
	char *big = calloc(1, 300000);
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_load_refused("absent",
			    "cannot open the configuration file absent: No such file or directory");
	assert_load_refused(".", "the configuration file . is not a regular file");
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_load_refused("fifo", "the configuration file fifo is not a regular file");
	f = fopen("nul", "w");
	fwrite(nul, 1, sizeof(nul), f);
	fclose(f);
	assert_load_refused("nul", "nul: holds a NUL byte; it must be a text");
	f = fopen("big", "w");
	memset(big, '\n', 300000);
	fwrite(big, 1, 300000, f);
	fclose(f);
	free(big);
	assert_load_refused("big", "the configuration file big is larger than 262144 bytes");
	unlink("fifo");
	unlink("nul");
	unlink("big");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_reload(void **state)
{
	struct config *old = parse("");
	struct config *fine = parse("pool: { workers = 9; }; log: { to = \"syslog\"; };"
				    "database: { conninfo = \"password=hunter2\"; };");
	struct config *moved = parse("control: { socket = \"/tmp/s\";"
				     "pid_file = \"/run/gradingd/gradingd.pid\"; };");
	struct config *other = parse("pool: { user = \"nobody\"; };");
	struct err err;

	(void)state;
	assert_int_equal(config_check_reload(old, fine, &err), 0);
	assert_int_equal(config_check_reload(old, moved, &err), -1);
	assert_string_equal(err.text,
			    "/etc/gradingd/t.conf: a reload cannot change control.socket from "
			    "\"/run/gradingd/control.sock\" to \"/tmp/s\": restart gradingd");
	assert_int_equal(config_check_reload(old, other, &err), -1);
	assert_non_null(strstr(err.text, "pool.user"));
	assert_int_equal(config_check_reload(other, other, &err), 0);
	config_free(old);
	config_free(fine);
	config_free(moved);
	config_free(other);
}

/* A group becomes JSON, which is what is sent. */
static void test_a_group_of_values_is_json(void **state)
{
	static const struct { const char *group, *json; } cases[] = {
		{ "{ }", "{ }" },
		{ "{ seed = 7; }", "{\"seed\":7}" },
		{ "{ a = 9223372036854775807L; b = -1; c = true; d = false; }",
		  "{\"a\":9223372036854775807,\"b\":-1,\"c\":true,\"d\":false}" },
		{ "{ a = 0.1; b = 1e30; c = 7.0; }", "{\"a\":0.1,\"b\":1e+30,\"c\":7}" },
		{ "{ a = \"x \\\"y\\\" \\n \303\251\"; }", "{\"a\":\"x \\\"y\\\" \\u000a \303\251\"}" },
		{ "{ a = [ 1, 2 ]; b = ( 1, \"c\", ( ), { d = [ ]; } ); e: { f: { }; }; }",
		  "{\"a\":[1,2],\"b\":[1,\"c\",[],{\"d\":[]}],\"e\":{\"f\":{}}}" },
	};
	char text[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { .text = "" };
		struct config *c;

		snprintf(text, sizeof(text), "openai: { extra = %s; };", cases[i].group);
		c = config_parse_string(text, "t", &err);
		assert_string_equal(err.text, "");
		assert_string_equal(c->openai.extra, cases[i].json);
		config_free(c);
	}
}

static void test_a_number_may_be_none(void **state)
{
	struct err err = { .text = "" };
	struct config *c = config_parse_string("openai: { temperature = \"none\"; };", "t", &err);

	(void)state;
	assert_string_equal(err.text, "");
	assert_int_equal(c->openai.temperature, CONFIG_NONE);
	config_free(c);
	c = config_parse_string("openai: { temperature = 0.7; };", "t", &err);
	assert_int_equal(c->openai.temperature, 700000);
	config_free(c);
	c = config_parse_string("", "t", &err);
	assert_int_equal(c->openai.temperature, 0);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_group_of_values_is_json),
		cmocka_unit_test(test_a_number_may_be_none),
		cmocka_unit_test(test_empty_text_gives_defaults),
		cmocka_unit_test(test_choices_match_their_enums),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_decimals),
		cmocka_unit_test(test_every_range),
		cmocka_unit_test(test_presets_survive_a_round_trip),
		cmocka_unit_test(test_a_command_line_has_a_limit),
		cmocka_unit_test(test_sample_equals_defaults),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_files_that_cannot_be_read),	/* leaves the directory */
	};

	unsetenv("OPENAI_API_KEY");
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
