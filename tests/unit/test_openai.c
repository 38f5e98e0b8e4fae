/* openai_reply.c: a provider's errors sorted into ours, and what an envelope gives each line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rater/openai_reply.h"

#define N 3
#define KEY "sk-do-not-show-me"

static char *scale[] = { "excellent", "good", "poor", "missed_opportunity" };
static char key[] = KEY;
static struct config config = {
	.rater = { .scale = { scale, 4 }, .alternatives = 3 },
	.openai = { .api_key = key },
};
static const struct line lines[N] = { { .index = 4 }, { .index = 5 }, { .index = 6 } };
static const struct line *asked[N] = { &lines[0], &lines[1], &lines[2] };
static struct verdict verdicts[N];
static struct job job;
static struct ask ask;

static void read_reply(const struct http_reply *reply)
{
	ask = (struct ask){ .job = &job, .lines = asked, .nlines = N, .verdicts = verdicts };
	verdict_all(verdicts, N, OUTCOME_PENDING);
	openai_read_reply(reply, &config, &ask);
	assert_int_equal(ask.used.calls, 1);
	assert_int_equal(ask.used.latency_ms, reply->latency_ms);
}

static void read_answer(int status, const char *body)
{
	read_reply(&(struct http_reply){ .end = HTTP_ANSWERED, .status = status, .body = body,
					 .len = strlen(body), .latency_ms = 7, .detail = "" });
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&job.arena);
	return 0;
}

/* ---- errors ---- */

static void check_error(enum err_kind kind, const char *text)
{
	assert_non_null(ask.err);
	assert_string_equal(ask.err->text, text);
	assert_int_equal(ask.err->kind, kind);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(verdicts[i].outcome, OUTCOME_PENDING);
}

static void test_errors_by_status_and_code(void **state)
{
#define CREDENTIALS "it refused our credentials: check openai.api_key_env or openai.api_key_file"
#define SMALLER "lower rater.lines_per_call or rater.context_lines"
#define QUOTA "the quota of this account is used up: raise its limit, or set another API key"
	static const struct {
		int status;
		const char *body;
		enum err_kind kind;
		const char *text;
	} cases[] = {
		{ 401, "{\"error\":{\"message\":\"Incorrect API key provided: sk-d***w-me\"}}",
		  ERR_DENIED, "the provider answered 401 Unauthorized; " CREDENTIALS },
		{ 403, "{\"error\":{\"message\":\"Country not supported.\"}}", ERR_DENIED,
		  "the provider answered 403 Forbidden: Country not supported; " CREDENTIALS },
		{ 400, "{\"error\":{\"code\":\"invalid_api_key\",\"message\":\"\"}}", ERR_DENIED,
		  "the provider answered 400 Bad Request; " CREDENTIALS },
		{ 429, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"No credit. \"}}",
		  ERR_DENIED, "the provider answered 429 Too Many Requests: No credit; " QUOTA },
		{ 402, "", ERR_DENIED, "the provider answered 402 Payment Required; " QUOTA },
		{ 429, "{\"error\":{\"message\":\"rate limit reached for gpt-4o-mini\"}}",
		  ERR_LIMITED,
		  "the provider answered 429 Too Many Requests: rate limit reached for "
		  "gpt-4o-mini" },
		{ 404, "{\"error\":\"model \\\"x\\\" not found\"}", ERR_DENIED,
		  "the provider answered 404 Not Found: model \"x\" not found; "
		  "check openai.base_url and openai.model" },
		{ 400, "{\"error\":{\"type\":\"model_not_found\"}}", ERR_DENIED,
		  "the provider answered 400 Bad Request; check openai.model" },
		{ 400,
		  "{\"error\":{\"code\":\"unsupported_value\",\"param\":\"temperature\","
		  "\"message\":\"0?\"}}",
		  ERR_DENIED,
		  "the provider answered 400 Bad Request: 0?; choose another openai.model" },
		{ 400, "{\"error\":{\"param\":\"response_format\"}}", ERR_DENIED,
		  "the provider answered 400 Bad Request; check openai.response_format" },
		{ 308, "<html>", ERR_DENIED,
		  "the provider answered 308 Permanent Redirect; "
		  "redirects are not followed; check openai.base_url" },
		{ 500, "[{\"error\":{\"message\":\"oops\"}}]", ERR_UNCLEAR,
		  "the provider answered 500 Internal Server Error: oops" },
		{ 503, "{\"object\":\"error\",\"message\":\"busy\",\"code\":503}", ERR_UNAVAILABLE,
		  "the provider answered 503 Service Unavailable: busy" },
		{ 529, "null", ERR_UNAVAILABLE, "the provider answered 529" },
		{ 400, "{\"error\":{\"message\":\"bad\"}}", ERR_PERMANENT,
		  "the provider answered 400 Bad Request: bad" },
		{ 429, "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"long\"}}",
		  ERR_PERMANENT, "the provider answered 429 Too Many Requests: long; " SMALLER },
		{ 413, "{}", ERR_PERMANENT,
		  "the provider answered 413 Content Too Large; " SMALLER },
		{ 413, "{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"tokens\"}}",
		  ERR_PERMANENT, "the provider answered 413 Content Too Large; " SMALLER },
		{ 400, "{\"error\":{\"code\":\"json_validate_failed\",\"message\":\"no JSON\"}}",
		  ERR_RETRY, "the provider answered 400 Bad Request: no JSON" },
		{ 418, "{}", ERR_PERMANENT, "the provider answered 418" },
		{ 408, "{}", ERR_UNCLEAR, "the provider answered 408 Request Timeout" },
		{ 409, "{}", ERR_UNCLEAR, "the provider answered 409 Conflict" },
		{ 425, "{}", ERR_UNCLEAR, "the provider answered 425 Too Early" },
		{ 200, "{\"error\":{\"message\":\"odd\"}}", ERR_UNCLEAR,
		  "the provider answered 200 OK: odd" },
		{ 200, "{\"error\":{\"code\":429,\"message\":\"slow down\"}}", ERR_LIMITED,
		  "the provider answered 429 Too Many Requests: slow down" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_answer(cases[i].status, cases[i].body);
		check_error(cases[i].kind, cases[i].text);
		assert_int_equal(ask.err->after_ms, 0);
	}
}

static void test_retry_after_is_told_and_bounded(void **state)
{
	static const struct { int status; int64_t sent_ms, after_ms; const char *text; } cases[] = {
		{ 429, 20000, 20000,
		  "the provider answered 429 Too Many Requests; retrying after 20 s" },
		{ 503, 1500, 1500,
		  "the provider answered 503 Service Unavailable; retrying after 2 s" },
		{ 503, 86400000, 120000,
		  "the provider answered 503 Service Unavailable; retrying after 120 s" },
		{ 408, 3000, 3000,
		  "the provider answered 408 Request Timeout; retrying after 3 s" },
		{ 400, 3000, 0, "the provider answered 400 Bad Request" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_reply(&(struct http_reply){ .status = cases[i].status,
						 .body = "",
						 .detail = "",
						 .retry_after_ms = cases[i].sent_ms });
		assert_string_equal(ask.err->text, cases[i].text);
		assert_int_equal(ask.err->after_ms, cases[i].after_ms);
	}
}

static void test_broken_calls(void **state)
{
	static const struct {
		enum http_end end;
		int status;
		enum err_kind kind;
		const char *text;
	} cases[] = {
		{ HTTP_UNREACHABLE, 0, ERR_UNAVAILABLE, "the provider cannot be reached: why" },
		{ HTTP_UNTRUSTED, 0, ERR_DENIED,
		  "the provider's certificate is not to be trusted: why; "
		  "check openai.base_url and openai.ca_file" },
		{ HTTP_TIMED_OUT, 0, ERR_UNCLEAR, "the provider did not answer in time: why" },
		{ HTTP_BROKEN, 200, ERR_UNCLEAR,
		  "the connection broke before the provider's answer was complete: why" },
		{ HTTP_OVERSIZED, 0, ERR_RETRY,
		  "the provider's answer is larger than its cap: why" },
		{ HTTP_BROKEN, 503, ERR_UNAVAILABLE,
		  "the provider answered 503 Service Unavailable" },
		{ HTTP_OVERSIZED, 400, ERR_PERMANENT, "the provider answered 400 Bad Request" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_reply(&(struct http_reply){ .end = cases[i].end, .status = cases[i].status,
						 .body = "", .detail = "why", .latency_ms = 31 });
		check_error(cases[i].kind, cases[i].text);
	}
}

static void test_messages_are_made_harmless(void **state)
{
	char body[1000], as[301];

	(void)state;
	memset(as, 'a', sizeof(as) - 1);
	as[sizeof(as) - 1] = '\0';
	snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%.199s\303\251%s\"}}", as, as);
	read_answer(400, body);
	assert_int_equal(strlen(ask.err->text),
			 strlen("the provider answered 400 Bad Request: ") + 199);

	read_answer(400, "{\"error\":{\"message\":\"one\\ntwo\\u001b[31m\\u009b\\u0000three\"}}");
	assert_null(strpbrk(ask.err->text, "\n\x1b\x9b"));
	assert_non_null(strstr(ask.err->text, ": one two"));

	read_answer(400, "{\"error\":{\"message\":\"you sent " KEY " to us\"}}");
	assert_null(strstr(ask.err->text, KEY));
	assert_int_equal(ask.err->kind, ERR_PERMANENT);

	read_answer(200, "{\"model\":\"" KEY "\",\"choices\":[]}");
	assert_null(strstr(ask.used.model, KEY));
}

static void test_refused_content_is_an_outcome(void **state)
{
	static const char *const codes[] = { "content_filter", "content_policy_violation",
					     "invalid_prompt" };
	char body[200];

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		snprintf(body, sizeof(body),
			 "{\"error\":{\"code\":\"%s\",\"message\":\"Not with " KEY "!\"}}",
			 codes[i]);
		read_answer(400, body);
		assert_null(ask.err);
		for (size_t n = 0; n < N; n++) {
			assert_int_equal(verdicts[n].outcome, OUTCOME_REFUSED);
			assert_null(strstr(verdicts[n].reason, KEY));
			assert_non_null(strstr(verdicts[n].reason,
					       "the provider answered 400 Bad Request"));
		}
	}
}

/* ---- envelopes ---- */

/* A moderator's 403 is about what the lines say; that of an account pauses the pool. */
static void test_flagged_lines_deny_nothing(void **state)
{
	(void)state;
	read_answer(
		403,
		"{\"error\":{\"code\":403,\"message\":\"Flagged\","
		"\"metadata\":{\"reasons\":[\"violence\"],"
		"\"flagged_input\":\"line\"}}}");
	assert_null(ask.err);
	for (size_t n = 0; n < N; n++)
		assert_int_equal(verdicts[n].outcome, OUTCOME_REFUSED);
}

static void check_outcomes(enum outcome first, enum outcome second, enum outcome third)
{
	assert_null(ask.err);
	assert_int_equal(verdicts[0].outcome, first);
	assert_int_equal(verdicts[1].outcome, second);
	assert_int_equal(verdicts[2].outcome, third);
}

/* words: the content as it stands in JSON, quotes escaped. */
static void read_content(const char *finish_reason, const char *words)
{
	char body[2000];

	snprintf(body, sizeof(body),
		 "{\"choices\":[{\"finish_reason\":\"%s\",\"message\":{\"content\":\"%s\"}}]}",
		 finish_reason, words);
	read_answer(200, body);
}

#define RATING(line, rating) "{\\\"line\\\":" #line ",\\\"rating\\\":\\\"" rating "\\\"," \
	"\\\"reason\\\":\\\"a } b\\\"}"
#define TWO "{\\\"ratings\\\":[" RATING(4, "good") "," RATING(5, "poor")

static void test_good_answer(void **state)
{
	(void)state;
	read_answer(
		200,
		"{\"model\":\"gpt-4o-mini-2024\",\"error\":null,"
		"\"usage\":{\"prompt_tokens\":812,\"completion_tokens\":64},"
		"\"choices\":[{\"finish_reason\":"
		"\"stop\",\"message\":{\"refusal\":null,\"content\":\"" TWO
		"," RATING(6, "excellent") "," RATING(7, "good") "]}\"}}]}\n");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_RATED);
	assert_string_equal(verdicts[0].rating, "good");
	assert_string_equal(verdicts[1].rating, "poor");
	assert_string_equal(verdicts[2].rating, "excellent");
	assert_string_equal(ask.used.model, "gpt-4o-mini-2024");
	assert_int_equal(ask.used.prompt_tokens, 812);
	assert_int_equal(ask.used.completion_tokens, 64);
	assert_int_equal(ask.used.stray, 1);
}

/* 0.15 and 0.6 a million tokens, to the billionth; a failed call costs what it reports. */
static void test_cost(void **state)
{
	(void)state;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":812,\"completion_tokens\":64}}");
	assert_int_equal(ask.used.cost_nanos, 0);
	config.openai.prompt_price = 150000;
	config.openai.completion_price = 600000;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":812,\"completion_tokens\":64}}");
	assert_int_equal(ask.used.cost_nanos, 121800 + 38400);
	read_answer(500, "{\"usage\":{\"prompt_tokens\":10},\"error\":{\"message\":\"x\"}}");
	assert_int_equal(ask.err->kind, ERR_UNCLEAR);
	assert_int_equal(ask.used.prompt_tokens, 10);
	assert_int_equal(ask.used.cost_nanos, 1500);
	config.openai.prompt_price = 49;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":10}}");
	assert_int_equal(ask.used.cost_nanos, 0);
	config.openai.prompt_price = 50;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":10}}");
	assert_int_equal(ask.used.cost_nanos, 1);
	config.openai.prompt_price = config.openai.completion_price = 100000000000;
	read_answer(
		200,
		"{\"usage\":{\"prompt_tokens\":999999999999,\"completion_tokens\":999999999999}}");
	assert_int_equal(ask.used.cost_nanos, 2000000000000000);
	config.openai.prompt_price = config.openai.completion_price = 0;
	read_reply(&(struct http_reply){
		.end = HTTP_TIMED_OUT, .body = "", .detail = "why", .latency_ms = 31 });
	assert_int_equal(ask.used.cost_nanos, 0);
}

static void test_lines_left_out(void **state)
{
	(void)state;
	read_content("stop", TWO "]}");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_MISSING);
	read_content("length", TWO "]}");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	read_content("content_filter", TWO "]}");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_REFUSED);
}

static void test_cut_replies_keep_whole_ratings(void **state)
{
	(void)state;
	read_content("length", TWO ",{\\\"line\\\":6,\\\"rating\\\":\\\"go");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	assert_string_equal(verdicts[1].rating, "poor");
	read_content("length", TWO ",{\\\"line\\\":6,\\\"rating\\\":\\\"good\\\"");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	read_content("length", "```json\\n" TWO ",");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	read_content("length", "{\\\"ratings\\\":[" RATING(4, "splendid") ",{");
	check_outcomes(OUTCOME_UNKNOWN_RATING, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", "{\\\"ratings\\\":[");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", "");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);

	/*
	 * Of other lines than the first, or about to go on when all are rated: it lost its thread
	 * somewhere.
	 */
	read_content(
		"length",
		"{\\\"ratings\\\":[" RATING(5, "good") "," RATING(6, "poor") ",{\\\"line\\\":7");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", TWO "," RATING(6, "good") ",{\\\"line\\\":4");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", TWO "," RATING(6, "good") "],\\\"ratings\\\":[{\\\"li");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);

	/* Only a reply known to be cut is mended. */
	read_content("stop", TWO ",{\\\"line\\\":6");
	check_outcomes(OUTCOME_NOT_JSON, OUTCOME_NOT_JSON, OUTCOME_NOT_JSON);
}

static void test_envelopes_without_ratings(void **state)
{
	static const struct { const char *body; enum outcome outcome; } cases[] = {
		{ "", OUTCOME_EMPTY },
		{ "<html>", OUTCOME_NOT_JSON },
		{ "{\"choices\":[{\"message\":{\"content\":\"{}\"}}]", OUTCOME_NOT_JSON },
		{ "null", OUTCOME_NOT_SCHEMA },
		{ "[]", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":{\"message\":1}}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":\"good\"}]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":{\"content\":[\"good\"]}}]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":{}}]}", OUTCOME_EMPTY },
		{ "{\"choices\":[{\"message\":{\"content\":null}}]}", OUTCOME_EMPTY },
		{ "{\"choices\":[{\"message\":{\"content\":\"\"}}]}", OUTCOME_EMPTY },
		{ "{\"choices\":[{\"message\":{\"content\":\"All good.\"}}]}", OUTCOME_NOT_JSON },
		{ "{\"choices\":[{\"message\":{\"content\":\"{}\"}}]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":{\"content\":\"" TWO "]}\",\"refusal\":\"No.\"}}]}",
		  OUTCOME_REFUSED },
		{ "{\"choices\":[{\"finish_reason\":\"content_filter\","
		  "\"message\":{\"content\":null}}]}",
		  OUTCOME_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_answer(200, cases[i].body);
		check_outcomes(cases[i].outcome, cases[i].outcome, cases[i].outcome);
	}
	read_reply(&(struct http_reply){
		.end = HTTP_OVERSIZED, .status = 200, .body = "", .detail = "why" });
	check_outcomes(OUTCOME_OVERSIZED, OUTCOME_OVERSIZED, OUTCOME_OVERSIZED);
}

static void test_reported_usage_is_bounded(void **state)
{
	(void)state;
	read_answer(
		200,
		"{\"usage\":{\"prompt_tokens\":99999999999999999999,\"completion_tokens\":-5}}");
	assert_int_equal(ask.used.prompt_tokens, 10000000);
	assert_int_equal(ask.used.completion_tokens, 0);
	read_answer(200, "{\"usage\":{\"prompt_tokens\":\"many\"},\"model\":17}");
	assert_int_equal(ask.used.prompt_tokens, 0);
	assert_null(ask.used.model);
	read_answer(200, "{\"usage\":[]}");
	assert_int_equal(ask.used.prompt_tokens, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_errors_by_status_and_code, teardown),
		cmocka_unit_test_teardown(test_retry_after_is_told_and_bounded, teardown),
		cmocka_unit_test_teardown(test_broken_calls, teardown),
		cmocka_unit_test_teardown(test_messages_are_made_harmless, teardown),
		cmocka_unit_test_teardown(test_refused_content_is_an_outcome, teardown),
		cmocka_unit_test_teardown(test_flagged_lines_deny_nothing, teardown),
		cmocka_unit_test_teardown(test_good_answer, teardown),
		cmocka_unit_test_teardown(test_cost, teardown),
		cmocka_unit_test_teardown(test_lines_left_out, teardown),
		cmocka_unit_test_teardown(test_cut_replies_keep_whole_ratings, teardown),
		cmocka_unit_test_teardown(test_envelopes_without_ratings, teardown),
		cmocka_unit_test_teardown(test_reported_usage_is_bounded, teardown),
	};

	return cmocka_run_group_tests_name("openai", tests, NULL, NULL);
}
