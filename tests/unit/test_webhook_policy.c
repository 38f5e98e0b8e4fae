/* webhook_policy.c: what each answer means, how pauses grow and where they end, what is quoted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "publisher/webhook_policy.h"

#define HOUR INT64_C(3600000)

static const struct webhook_try first = {
	.attempts = 1, .age_ms = 100, .backoff_ms = 5000, .give_up_ms = 72 * HOUR,
};

static struct webhook_fate judge(enum http_end end, int status, const char *body)
{
	struct http_reply reply = {
		.end = end, .status = status, .body = end == HTTP_ANSWERED ? body : "",
		.len = end == HTTP_ANSWERED ? strlen(body) : 0,
		.detail = end == HTTP_ANSWERED ? "" : body,
	};
	struct webhook_fate fate;

	webhook_judge(&reply, &first, &fate);
	return fate;
}

static void test_2xx_is_success_whatever_the_body(void **state)
{
	static const enum http_end ends[] = {
		HTTP_ANSWERED, HTTP_OVERSIZED, HTTP_TIMED_OUT, HTTP_BROKEN
	};

	(void)state;
	for (int status = 200; status < 300; status += 33)
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
			struct webhook_fate fate = judge(ends[i], status, "whatever");

			assert_int_equal(fate.end, WEBHOOK_DELIVERED);
			assert_int_equal(fate.status, status);
			assert_string_equal(fate.error, "");
			assert_int_equal(fate.pause_ms, 0);
		}
}

static void test_what_else_is_sent_again_and_why(void **state)
{
	static const struct { enum http_end end; int status; const char *body, *error; } cases[] = {
		{ HTTP_ANSWERED, 500, "", "answered with status 500" },
		{ HTTP_ANSWERED, 404, "<h1>Not\r\n\tfound</h1>",
		  "answered with status 404: <h1>Not found</h1>" },
		{ HTTP_ANSWERED, 199, "x\x01\x7f\xc3\xa4y", "answered with status 199: x y" },
		{ HTTP_ANSWERED, 302, "moved", "answered with status 302: redirects are not followed, "
		  "so the URL must be the final one" },
		{ HTTP_OVERSIZED, 500, "too much", "answered with status 500" },
		{ HTTP_TIMED_OUT, 0, "Operation timed out",
		  "no answer in time (the webhook's timeout)" },
		{ HTTP_BROKEN, 0, "Recv failure: reset\nby peer", "Recv failure: reset by peer" },
		{ HTTP_UNREACHABLE, 0, "Could not resolve host: x", "Could not resolve host: x" },
		{ HTTP_UNTRUSTED, 0, "self-signed certificate", "self-signed certificate" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct webhook_fate fate = judge(cases[i].end, cases[i].status, cases[i].body);

		assert_int_equal(fate.end, WEBHOOK_AGAIN);
		assert_string_equal(fate.error, cases[i].error);
		assert_int_equal(fate.delay_ms, 5000);
		assert_int_equal(fate.pause_ms, 0);
		assert_false(fate.gone);
	}
}

static void test_410_is_for_ever(void **state)
{
	struct webhook_fate fate = judge(HTTP_ANSWERED, 410, "");

	(void)state;
	assert_true(fate.gone);
	assert_int_equal(fate.end, WEBHOOK_DEAD);
}

static int64_t delay(int attempts, uint32_t random)
{
	struct http_reply reply = { .end = HTTP_ANSWERED, .status = 500, .body = "" };
	struct webhook_try try = first;
	struct webhook_fate fate;

	try.attempts = attempts;
	try.random = random;
	webhook_judge(&reply, &try, &fate);
	return fate.delay_ms;
}

static void test_pauses_grow_up_to_an_end(void **state)
{
	static const int64_t longest[] = { 5000, 20000, 80000, 320000, 1280000, 5120000, 20480000 };

	(void)state;
	for (int i = 0; i < 7; i++) {
		assert_int_equal(delay(i + 1, 0), longest[i]);
		assert_int_equal(delay(i + 1, 0xffff), longest[i] / 2);
		assert_in_range(delay(i + 1, 0x12345678), longest[i] / 2, longest[i]);
	}
	assert_int_equal(delay(8, 0), 6 * HOUR);
	assert_int_equal(delay(INT32_MAX, 0), 6 * HOUR);
	assert_int_equal(delay(INT32_MAX, UINT32_MAX), 3 * HOUR);
	assert_int_equal(delay(0, 0), 5000);
}

static struct webhook_fate limited(int status, int64_t retry_after_ms)
{
	struct http_reply reply = {
		.end = HTTP_ANSWERED, .status = status, .body = "", .retry_after_ms = retry_after_ms,
	};
	struct webhook_fate fate;

	webhook_judge(&reply, &first, &fate);
	return fate;
}

static void test_retry_after_is_heeded_within_a_bound(void **state)
{
	(void)state;
	assert_int_equal(limited(429, 60000).pause_ms, 60000);
	assert_int_equal(limited(429, 60000).delay_ms, 60000);
	assert_int_equal(limited(503, 1000).pause_ms, 1000);
	assert_int_equal(limited(503, 1000).delay_ms, 5000);
	assert_int_equal(limited(503, 100 * HOUR).pause_ms, 6 * HOUR);
	assert_int_equal(limited(429, 0).pause_ms, 0);
	assert_int_equal(limited(500, 60000).pause_ms, 0);
	assert_int_equal(limited(500, 60000).delay_ms, 5000);
}

static void test_what_is_old_is_given_up(void **state)
{
	struct http_reply reply = { .end = HTTP_ANSWERED, .status = 500, .body = "" };
	struct webhook_try try = first;
	struct webhook_fate fate;

	(void)state;
	try.age_ms = try.give_up_ms - 1;
	webhook_judge(&reply, &try, &fate);
	assert_int_equal(fate.end, WEBHOOK_AGAIN);
	try.age_ms = try.give_up_ms;
	webhook_judge(&reply, &try, &fate);
	assert_int_equal(fate.end, WEBHOOK_DEAD);
	assert_false(fate.gone);
	reply.status = 200;
	webhook_judge(&reply, &try, &fate);
	assert_int_equal(fate.end, WEBHOOK_DELIVERED);
}

static void test_no_more_is_quoted_than_fits(void **state)
{
	char body[5000];
	struct webhook_fate fate;

	(void)state;
	memset(body, 'a', sizeof(body));
	body[sizeof(body) - 1] = '\0';
	fate = judge(HTTP_ANSWERED, 500, body);
	assert_int_equal(strlen(fate.error), strlen("answered with status 500: ") + 120);
	fate = judge(HTTP_UNREACHABLE, 0, body);
	assert_int_equal(strlen(fate.error), 120);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_2xx_is_success_whatever_the_body),
		cmocka_unit_test(test_what_else_is_sent_again_and_why),
		cmocka_unit_test(test_410_is_for_ever),
		cmocka_unit_test(test_pauses_grow_up_to_an_end),
		cmocka_unit_test(test_retry_after_is_heeded_within_a_bound),
		cmocka_unit_test(test_what_is_old_is_given_up),
		cmocka_unit_test(test_no_more_is_quoted_than_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
