/* Configurations that are refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/config_load.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Expected messages begin with "t" for the file's name. */
#define POLL_RANGE "a duration from \"100ms\" to \"1h\" (units: ms, s, m, h, d)"
#define SHARES_RULE \
	"a list of at most 8 strings without control characters, each a tenant of at most 200 " \
	"bytes, with a weight from 1 to 1000 behind a colon where it is not 1: [ \"acme:3\", " \
	"\"beta\" ]"
#define WORDS_RULE "a list of at most 64 strings and 4000 bytes without control characters, the " \
	"first " \
	"the absolute path of a program: [ \"/usr/bin/rate\", \"-v\" ]"
#define PRICE_RULE "a number from 0 to 100000 with at most 6 decimals"
#define TEMPERATURE_RULE "\"none\" or a number from 0 to 2 with at most 6 decimals"
#define EXTRA_RULE "a group of at most 32 values and 4000 bytes, strings in UTF-8, numbers, " \
	"booleans, lists and groups: { seed = 7; }"
#define HEADERS_RULE "a group of at most 16 strings and 4000 bytes without control characters, " \
	"no name twice: { x-title = \"grading\"; x-token = \"env:TOKEN\"; }"
#define SCALE_RULE "a list of 1 to 20 different names made of a-z, 0-9, _, - and blanks, such as " \
	"[ \"excellent\", \"good\", \"poor\", \"missed_opportunity\" ]"

#define HOOK_KEYS "name, url, secret_env, secret_file, events, timeout, allow_private, ca_file"
#define HOOK(members) "webhooks: { hooks = ( { name = \"a\"; " members " } ); };"

static const struct { const char *text, *message; } refused[] = {
	/* words nobody knows */
	{ "pool: {\n\n worker = 4; };",
	  "t:3: unknown key \"pool.worker\"; did you mean \"pool.workers\"?" },
	{ "pool: { poll = \"5s\"; };",
	  "t:1: unknown key \"pool.poll\"; did you mean \"queue.poll\"?" },
	{ "cache: { lifetime = \"5s\"; };",
	  "t:1: unknown key \"cache.lifetime\"; the keys of cache are ttl" },
	{ "workers = 4;", "t:1: unknown key \"workers\"; did you mean \"pool.workers\"?" },
	{ "\nlgo: { };", "t:2: unknown group \"lgo\"; did you mean \"log\"?" },
	{ "redis: { };",
	  "t:1: unknown group \"redis\"; the groups are database, pool, queue, rater, rubric, "
	  "openai, command, tenants, cache, webhooks, control, log" },
	{ "pool: { deep: { workers = 1; }; };",
	  "t:1: unknown key \"pool.deep\"; the keys of pool are workers, in_flight, "
	  "claim_batch, drain, beat, max_jobs, user" },
	{ "pool = 4;", "t:1: pool must be a group: pool: { ... };" },
	/* webhooks */
	{ "webhooks: { hooks = ( { name = \"a\"; url = \"http://h\"; uri = \"x\"; } ); };",
	  "t:1: unknown key \"uri\" of a webhook; they are " HOOK_KEYS },
	{ "webhooks: { hooks = (\n { name = \"A b\"; url = \"http://h\"; secret_env = \"S\"; } ); };",
	  "t:2: webhooks.hooks.name is \"A b\"; it must be 1 to 40 characters a-z, 0-9, _ and -" },
	{ HOOK("url = \"ftp://h\"; secret_env = \"S\";"), "t:1: webhooks.hooks.url must be a URL "
	  "of at most 2000 bytes that begins with http:// or https://" },
	{ HOOK("url = \"http://me:pw@h/\"; secret_env = \"S\";"), "t:1: webhooks.hooks.url must be a "
	  "URL without user and password: receivers know us by the signature" },
	{ HOOK("url = \"http://h\"; secret_env = \"whsec_c2VjcmV0\";"), "t:1: webhooks.hooks.secret_env "
	  "must be the name of an environment variable, not the secret itself" },
	{ HOOK("url = \"http://h\"; secret_env = \"S\"; timeout = \"5m\";"),
	  "t:1: webhooks.hooks.timeout is \"5m\"; it must be a duration from \"100ms\" to \"1m\" "
	  "(units: ms, s, m, h, d)" },
	{ HOOK("url = \"http://h\"; secret_env = \"S\"; events = \"steps\";"),
	  "t:1: webhooks.hooks.events is \"steps\"; it must be \"end\" or \"step\"; did you mean "
	  "\"step\"?" },
	{ HOOK("url = \"http://h\"; secret_env = \"S\"; allow_private = 1;"),
	  "t:1: webhooks.hooks.allow_private is 1; it must be \"false\" or \"true\"" },
	{ HOOK("url = \"http://h\";"), "t:1: the webhook a must have one of secret_env and "
	  "secret_file, which say where its secrets are" },
	{ HOOK("url = \"http://h\"; secret_env = \"S\"; secret_file = \"s\";"), "t:1: the webhook a "
	  "must have one of secret_env and secret_file, which say where its secrets are" },
	{ HOOK("secret_env = \"S\";"), "t:1: a webhook of webhooks.hooks has no url" },
	{ "webhooks: { hooks = ( { url = \"http://h\"; } ); };",
	  "t:1: a webhook of webhooks.hooks has no name" },
	{ "webhooks: { hooks = ( { name = \"a\"; url = \"http://h\"; secret_env = \"S\"; },\n"
	  "{ name = \"a\"; url = \"http://i\"; secret_env = \"S\"; } ); };",
	  "t:2: two webhooks have the name a" },
	{ "webhooks: { hooks = ( 7 ); };", "t:1: an item of webhooks.hooks is no group; it must be as "
	  "{ name = \"app\"; url = \"https://...\"; secret_env = \"VARIABLE\"; }" },
	{ "webhooks: { hooks = \"http://h\"; };", "t:1: webhooks.hooks is \"http://h\"; it must be "
	  "a list in ( ) of at most 32 groups of " HOOK_KEYS ": ( { name = \"app\"; url = "
	  "\"https://...\"; secret_env = \"VARIABLE\"; } )" },
	/* wrong types */
	{ "pool: { workers = \"4\"; };",
	  "t:1: pool.workers is \"4\"; it must be an integer from 1 to 256" },
	{ "pool: { workers = 4.0; };",
	  "t:1: pool.workers is 4.00000; it must be an integer from 1 to 256" },
	{ "pool: { workers = true; };",
	  "t:1: pool.workers is true; it must be an integer from 1 to 256" },
	{ "pool: { workers = { n = 4; }; };",
	  "t:1: pool.workers is a group; it must be an integer from 1 to 256" },
	{ "pool: { workers = [ 1, 2 ]; };",
	  "t:1: pool.workers is [ 1, 2 ]; it must be an integer from 1 to 256" },
	{ "queue: { poll = 5; };", "t:1: queue.poll is 5; it must be " POLL_RANGE },
	{ "log: { to = 2; };",
	  "t:1: log.to is 2; it must be \"stderr\", \"syslog\" or an absolute path" },
	{ "database: { conninfo = 5; };",
	  "t:1: database.conninfo must be a string of at most 4095 bytes without control "
	  "characters" },
	{ "openai: { prompt_price = \"0.15\"; };",
	  "t:1: openai.prompt_price is \"0.15\"; it must be " PRICE_RULE },
	{ "openai: { prompt_price = 0.1234567; };",
	  "t:1: openai.prompt_price is 0.123457; it must be " PRICE_RULE },
	{ "openai: { completion_price = -1; };",
	  "t:1: openai.completion_price is -1; it must be " PRICE_RULE },
	{ "openai: { completion_price = 1e-9; };",
	  "t:1: openai.completion_price is 1.00000e-09; it must be " PRICE_RULE },
	{ "openai: { completion_price = 100000.000001; };",
	  "t:1: openai.completion_price is 100000.; it must be " PRICE_RULE },
	{ "openai: { completion_price = 1e300; };",
	  "t:1: openai.completion_price is 1.00000e+300; it must be " PRICE_RULE },
	/* fields and headers of a request */
	{ "openai: { temperature = \"warm\"; };",
	  "t:1: openai.temperature is \"warm\"; it must be " TEMPERATURE_RULE },
	{ "openai: { temperature = 2.1; };",
	  "t:1: openai.temperature is 2.10000; it must be " TEMPERATURE_RULE },
	{ "openai: { temperature = -1; };",
	  "t:1: openai.temperature is -1; it must be " TEMPERATURE_RULE },
	{ "openai: { prompt_price = \"none\"; };",
	  "t:1: openai.prompt_price is \"none\"; it must be " PRICE_RULE },
	{ "openai: { extra = \"seed\"; };", "t:1: openai.extra is \"seed\"; it must be " EXTRA_RULE },
	{ "openai: { extra = [ 1 ]; };", "t:1: openai.extra is [ 1 ]; it must be " EXTRA_RULE },
	{ "openai: { extra = { a = \"\xff\"; }; };",
	  "t:1: openai.extra is a group; it must be " EXTRA_RULE },
	{ "openai: { extra = { a = 1e999; }; };",
	  "t:1: openai.extra is a group; it must be " EXTRA_RULE },
	{ "openai: { extra = { a: { b: { c: { d: { e: { f: { g: { h: { i = 1; }; }; }; }; }; }; }; "
	  "}; }; };", "t:1: openai.extra is a group; it must be " EXTRA_RULE },
	{ "openai: { extra = {\n model = \"m\"; }; };",
	  "t:2: openai.extra cannot set model, which every request has already" },
	{ "openai: { extra = { Stream = true; }; };",
	  "t:1: openai.extra cannot set Stream, which every request has already" },
	{ "openai: { extra = { temperature = 1; }; };",
	  "t:1: openai.extra cannot set temperature, which every request has already" },
	{ "openai: { headers = { a = 5; }; };", "t:1: openai.headers must be " HEADERS_RULE },
	{ "openai: { headers = { a = \"s3cret\\nb: c\"; }; };",
	  "t:1: openai.headers must be " HEADERS_RULE },
	{ "openai: { headers = { a = \"s3cret\"; A = \"s3cret\"; }; };",
	  "t:1: openai.headers must be " HEADERS_RULE },
	{ "openai: { headers = {\n content-type = \"text/plain\"; }; };",
	  "t:2: openai.headers cannot set content-type, which every request has already" },
	{ "openai: { headers = { api-key = \"s3cret\"; };\n auth_header = \"Api-Key\"; };",
	  "t:1: openai.headers has api-key, which is to hold the API key, as openai.auth_header "
	  "says" },
	{ "openai: { auth_header = \"\"; };",
	  "t:1: openai.auth_header is \"\"; it must be the name of a header, such as \"api-key\"" },
	{ "openai: { auth_header = \"a: b\"; };",
	  "t:1: openai.auth_header is \"a: b\"; it must be the name of a header, such as "
	  "\"api-key\"" },
	{ "openai: { auth_scheme = \"two words\"; };",
	  "t:1: openai.auth_scheme is \"two words\"; it must be one word, \"none\" or empty" },
	/* out of range */
	{ "pool: { workers = 0; };",
	  "t:1: pool.workers is 0; it must be an integer from 1 to 256" },
	{ "pool: { workers = -1; };",
	  "t:1: pool.workers is -1; it must be an integer from 1 to 256" },
	{ "pool: { max_jobs = -1; };",
	  "t:1: pool.max_jobs is -1; it must be an integer, 0 or more" },
	{ "queue: { poll = \"99ms\"; };", "t:1: queue.poll is \"99ms\"; it must be " POLL_RANGE },
	{ "queue: { poll = \"61m\"; };", "t:1: queue.poll is \"61m\"; it must be " POLL_RANGE },
	{ "queue: { poll = \"5\"; };", "t:1: queue.poll is \"5\"; it must be " POLL_RANGE },
	{ "queue: { poll = \"5 sec\"; };", "t:1: queue.poll is \"5 sec\"; it must be " POLL_RANGE },
	{ "queue: { poll = \"\"; };", "t:1: queue.poll is \"\"; it must be " POLL_RANGE },
	{ "queue: { poll = 0; };", "t:1: queue.poll is 0; it must be " POLL_RANGE },
	{ "queue: { keep_failed = \"999ms\"; };",
	  "t:1: queue.keep_failed is \"999ms\"; it must be \"0\" or a duration from \"1s\" to "
	  "\"365d\" (units: ms, s, m, h, d)" },
	/* numbers that libconfig would cut to 32 bits */
	{ "pool: {\n workers = 4294967297; };",
	  "t:2: the number 4294967297 needs an L behind it: 4294967297L" },
	{ "pool: { workers = -4294967292; };",
	  "t:1: the number 4294967292 needs an L behind it: 4294967292L" },
	{ "pool: { workers = 0x100000001; };",
	  "t:1: the number 0x100000001 needs an L behind it: 0x100000001L" },
	{ "pool: { workers=4294967297",
	  "t:1: the number 4294967297 needs an L behind it: 4294967297L" },
	{ "pool: { workers = 4294967297L; };",
	  "t:1: pool.workers is 4294967297; it must be an integer from 1 to 256" },
	{ "pool: { workers = 99999999999999999999L; };",
	  "t:1: the number 99999999999999999999 is too large" },
	/* choices, lists, strings with a form */
	{ "rater: { backend = \"opanai\"; };",
	  "t:1: rater.backend is \"opanai\"; it must be \"rubric\", \"openai\" or \"command\"; "
	  "did you mean "
	  "\"openai\"?" },
	{ "rater: { backend = \"magic\"; };",
	  "t:1: rater.backend is \"magic\"; it must be \"rubric\", \"openai\" or \"command\"" },
	{ "rater: { fallback = \"magic\"; };",
	  "t:1: rater.fallback is \"magic\"; it must be \"rubric\", \"openai\", \"command\" or "
	  "\"\"" },
	{ "command: { argv = \"/bin/rate -v\"; };",
	  "t:1: command.argv is \"/bin/rate -v\"; it must be " WORDS_RULE },
	{ "command: { argv = [ \"rate\", \"-v\" ]; };",
	  "t:1: command.argv is [ \"rate\", \"-v\" ]; it must be " WORDS_RULE },
	{ "command: { argv = [ \"\" ]; };",
	  "t:1: command.argv is [ \"\" ]; it must be " WORDS_RULE },
	{ "command: { argv = [ \"/bin/rate\", \"a\nb\" ]; };",
	  "t:1: command.argv is [ \"/bin/rate\", \"a\\u000ab\" ]; it must be " WORDS_RULE },
	{ "command: { argv = ( \"/bin/rate\", 5 ); };",
	  "t:1: command.argv is [ \"/bin/rate\", 5 ]; it must be " WORDS_RULE },
	{ "tenants: { shares = [ \"acme:0\" ]; };",
	  "t:1: tenants.shares is [ \"acme:0\" ]; it must be " SHARES_RULE },
	{ "tenants: { shares = [ \"acme\", \":4\" ]; };",
	  "t:1: tenants.shares is [ \"acme\", \":4\" ]; it must be " SHARES_RULE },
	{ "tenants: { shares = [ \"a:1001\" ]; };",
	  "t:1: tenants.shares is [ \"a:1001\" ]; it must be " SHARES_RULE },
	{ "tenants: { shares = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]; };",
	  "t:1: tenants.shares is [ \"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\" ]; "
	  "it must be " SHARES_RULE },
	{ "tenants: { shares = [ \"acme:3\", \"b\", \"acme\" ]; };",
	  "t:1: tenants.shares has acme twice" },
	{ "rater: { scale = [ ]; };", "t:1: rater.scale is [ ]; it must be " SCALE_RULE },
	{ "rater: { speakers = [ \"Rep\" ]; };",
	  "t:1: rater.speakers is [ \"Rep\" ]; it must be a list of 1 to 20 different names made "
	  "of a-z, 0-9, _, - and blanks, such as [ \"rep\", \"user\" ]" },
	{ "rater: { scale = [ \"a\", \"a\" ]; };",
	  "t:1: rater.scale is [ \"a\", \"a\" ]; it must be " SCALE_RULE },
	{ "rater: { scale = [ \"Good\" ]; };",
	  "t:1: rater.scale is [ \"Good\" ]; it must be " SCALE_RULE },
	{ "rater: { scale = [ \"\" ]; };", "t:1: rater.scale is [ \"\" ]; it must be " SCALE_RULE },
	{ "rater: { scale = [ \"a, b\" ]; };",
	  "t:1: rater.scale is [ \"a, b\" ]; it must be " SCALE_RULE },
	{ "rater: { scale = [ \" a\" ]; };",
	  "t:1: rater.scale is [ \" a\" ]; it must be " SCALE_RULE },
	{ "rater: { scale = ( \"a\", 5 ); };",
	  "t:1: rater.scale is [ \"a\", 5 ]; it must be " SCALE_RULE },
	{ "rater: { scale = \"good, poor\"; };",
	  "t:1: rater.scale is \"good, poor\"; it must be " SCALE_RULE },
	{ "openai: { base_url = \"api.openai.com\"; };",
	  "t:1: openai.base_url is \"api.openai.com\"; it must be a URL that begins with "
	  "http:// or https://" },
	{ "openai: { base_url = \"https:///v1\"; };",
	  "t:1: openai.base_url is \"https:///v1\"; it must be a URL that begins with http:// "
	  "or https://" },
	{ "control: { socket = \"s\"; };",
	  "t:1: control.socket is \"s\"; it must be an absolute path of at most 107 bytes, as "
	  "Unix sockets have it" },
	{ "control: { pid_file = \"p\"; };",
	  "t:1: control.pid_file is \"p\"; it must be an absolute path, or empty" },
	{ "log: { to = \"gradingd.log\"; };",
	  "t:1: log.to is \"gradingd.log\"; it must be \"stderr\", \"syslog\" or an absolute "
	  "path" },
	{ "pool: { user = \"a\nb\"; };",
	  "t:1: pool.user is \"a\\u000ab\"; it must be a string of at most 4095 bytes without "
	  "control characters" },
	/* pairs */
	{ "queue: {\n stuck_after = \"2m\"; };",
	  "t:2: queue.job_deadline (2m) must be at most four fifths of queue.stuck_after (2m)" },
	{ "queue: { stuck_after = \"3m\";\n job_deadline = \"145s\"; };",
	  "t:2: queue.job_deadline (145s) must be at most four fifths of queue.stuck_after (3m)" },
	{ "rater: { backend = \"openai\"; };\nopenai: { model = \"\"; };",
	  "t:2: openai.model is empty; it must name the model to ask" },
	{ "openai: { model = \"\"; };\nrater: { fallback = \"openai\"; };",
	  "t:1: openai.model is empty; it must name the model to ask" },
	{ "rater: {\n backend = \"command\"; };",
	  "t:2: command.argv is empty; it must name the program that rates: [ \"/usr/bin/rate\","
	  " \"-v\" ]" },
	{ "rater: {\n fallback = \"command\"; };",
	  "t:2: command.argv is empty; it must name the program that rates: [ \"/usr/bin/rate\","
	  " \"-v\" ]" },
	{ "rater: {\n fallback = \"rubric\"; };",
	  "t:2: rater.fallback is the same as rater.backend; it must be another one, or empty" },
	/* the language itself */
	{ "pool: { workers = 4;\n",
	  "t:3: syntax error here, or a quote, semicolon or brace missing just above" },
	{ "pool: {\n workers = 4; workers = 5; };",
	  "t:2: workers, or what follows in this line, is given twice" },
	{ "pool: {\n workers = 4;\n workers = 5; };", "t:3: workers is given twice" },
	{ "rater: {\n speakers = [ \"rep\", 3 ]; };",
	  "t:2: a list in [ ] holds values of different types; strings stand in double quotes" },
	{ "pool: { workers = 4; };\npool: {\n in_flight = 5; };", "t:2: pool is given twice" },
	{ "\nrater.backend = \"rubric\";",
	  "t:2: rater.backend is written with braces: rater: { backend = ...; };" },
	{ "\n@include \"/etc/passwd\"",
	  "t:2: @include is not supported: the configuration is one file" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct err err = { .kind = ERR_NONE };

		if (config_parse_string(refused[i].text, "t", &err))
			fail_msg("taken: %s", refused[i].text);
		assert_string_equal(err.text, refused[i].message);
		assert_int_equal(err.kind, ERR_CONFIG);
	}
}

static void assert_taken(const char *text)
{
	struct err err = { .text = "" };
	struct config *c = config_parse_string(text, "t", &err);

	assert_string_equal(err.text, "");
	assert_non_null(c);
	config_free(c);
}

static void test_long_strings(void **state)
{
	char text[8192], path[200];
	struct err err;

	(void)state;
	snprintf(text, sizeof(text), "database: { conninfo = \"dbname=%05000d\"; };", 0);
	assert_null(config_parse_string(text, "t", &err));
	snprintf(text, sizeof(text), "openai: { model = \"%0128d\"; };", 0);
	assert_null(config_parse_string(text, "t", &err));
	assert_true(strlen(err.text) < 200);		/* the value is cut in the message */
	snprintf(text, sizeof(text), "openai: { model = \"%0127d\"; };", 0);
	assert_taken(text);
	snprintf(path, sizeof(path), "/%0107d", 0);
	snprintf(text, sizeof(text), "control: { socket = \"%s\"; };", path);
	assert_null(config_parse_string(text, "t", &err));
	snprintf(text, sizeof(text), "control: { socket = \"%s\"; };", path + 1);
	assert_null(config_parse_string(text, "t", &err));
	path[107] = '\0';
	snprintf(text, sizeof(text), "control: { socket = \"%s\"; };", path);
	assert_taken(text);
}

/* ---- all mistakes ---- */

static struct { int n; char all[8192]; } told;

static void tell(void *arg, const char *text)
{
	size_t len = strlen(told.all);

	assert_ptr_equal(arg, &told);
	told.n++;
	snprintf(told.all + len, sizeof(told.all) - len, "%s\n", text);
}

/* The file is called F in what is told. */
static void load(const char *text)
{
	static char path[] = "/tmp/test_config_refused.XXXXXX";
	int fd = mkstemp(path);
	struct err err = { .text = "" };
	char *at;

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	told.n = 0;
	told.all[0] = '\0';
	assert_null(config_load_telling(path, tell, &told, &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	unlink(path);
	while ((at = strstr(told.all, path)) != NULL) {
		*at = 'F';
		memmove(at + 1, at + strlen(path), strlen(at + strlen(path)) + 1);
	}
	strcpy(path + strlen(path) - 6, "XXXXXX");
}

static void test_all_mistakes_are_told(void **state)
{
	char many[2048] = "pool: {";

	(void)state;
	load("pool: {\n wokers = 1;\n drain = 7;\n};\ncolour: { };\nrater = 3;\n");
	assert_int_equal(told.n, 4);
	assert_non_null(strstr(told.all, "F:2: unknown key \"pool.wokers\""));
	assert_non_null(strstr(told.all, "\nF:3: pool.drain"));
	assert_non_null(strstr(told.all, "\nF:5: unknown group \"colour\""));
	assert_non_null(strstr(told.all, "\nF:6: rater must be a group"));
	/* Pairs that exclude each other, unless one of the two is no value at all. */
	load("queue: { job_deadline = \"10m\"; };\nrater: { fallback = \"rubric\"; };\n");
	assert_int_equal(told.n, 2);
	load("queue: { job_deadline = \"never\"; stuck_after = \"1m\"; };\n");
	assert_int_equal(told.n, 1);
	load("queue: { job_deadline = \"1m\"; stuck_after = [1]; };\n");
	assert_int_equal(told.n, 1);
	for (int i = 0; i < CONFIG_MISTAKES_TOLD + 5; i++)
		sprintf(many + strlen(many), " wrong_%d = 1;", i);
	strcat(many, " };\n");
	load(many);
	assert_int_equal(told.n, CONFIG_MISTAKES_TOLD + 1);
	assert_non_null(strstr(told.all, "\nand 5 more mistakes\n"));
	load("pool: { workers = 1\n");
	assert_int_equal(told.n, 1);
}

static void test_further_mistakes_are_counted(void **state)
{
	struct err err;

	(void)state;
	assert_null(config_parse_string("pool: { a = 1; };", "t", &err));
	assert_null(strstr(err.text, "more mistake"));
	assert_null(config_parse_string("pool: { a = 1; b = 1; };", "t", &err));
	assert_non_null(strstr(err.text, " (and 1 more mistake)"));
	assert_null(config_parse_string("pool: { a = 1; b = 1; c = 1; };", "t", &err));
	assert_non_null(strstr(err.text, " (and 2 more mistakes)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_strings),
		cmocka_unit_test(test_all_mistakes_are_told),
		cmocka_unit_test(test_further_mistakes_are_counted),
	};

	return cmocka_run_group_tests_name("config_refused", tests, NULL, NULL);
}
