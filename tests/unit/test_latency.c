/* latency.c: which bucket a call falls into, and what quantiles are read from the counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scoreboard/latency.h"

static uint64_t counts[LATENCY_BUCKETS];

static int set_up(void **state)
{
	(void)state;
	memset(counts, 0, sizeof(counts));
	return 0;
}

static void add(int64_t ms, uint64_t n)
{
	counts[latency_bucket(ms)] += n;
}

static void test_a_bound_belongs_to_its_bucket(void **state)
{
	(void)state;
	assert_int_equal(latency_bucket(-5), LATENCY_UP_TO_10);
	assert_int_equal(latency_bucket(0), LATENCY_UP_TO_10);
	assert_int_equal(latency_bucket(10), LATENCY_UP_TO_10);
	assert_int_equal(latency_bucket(11), LATENCY_UP_TO_25);
	assert_int_equal(latency_bucket(1000), LATENCY_UP_TO_1000);
	assert_int_equal(latency_bucket(1001), LATENCY_UP_TO_2500);
	assert_int_equal(latency_bucket(120000), LATENCY_UP_TO_120000);
	assert_int_equal(latency_bucket(120001), LATENCY_BEYOND);
	assert_int_equal(latency_bucket(INT64_MAX), LATENCY_BEYOND);
}

/* The text of a bound is the number that its bucket ends with. */
static void test_bounds_in_seconds(void **state)
{
	(void)state;
	for (int i = 0; i < LATENCY_BEYOND; i++) {
		int64_t ms = (int64_t)(strtod(latency_bounds[i], NULL) * 1000 + 0.5);

		assert_int_equal(latency_bucket(ms), i);
		assert_int_equal(latency_bucket(ms + 1), i + 1);
	}
	assert_string_equal(latency_bounds[LATENCY_BEYOND], "+Inf");
}

static void test_quantiles(void **state)
{
	(void)state;
	assert_int_equal(latency_quantile(counts, 0.5), -1);
	add(700, 100);						/* in 500-1000 */
	assert_int_equal(latency_quantile(counts, 0.5), 750);
	assert_int_equal(latency_quantile(counts, 0.99), 995);
	assert_int_equal(latency_quantile(counts, 1), 1000);
	add(5, 100);						/* half of all in 0-10 */
	assert_int_equal(latency_quantile(counts, 0.25), 5);
	assert_int_equal(latency_quantile(counts, 0.5), 10);
	assert_int_equal(latency_quantile(counts, 0.75), 750);
}

static void test_beyond_the_last_bound(void **state)
{
	(void)state;
	add(200000, 1);
	assert_int_equal(latency_quantile(counts, 0.5), 120000);
	add(30, 9);
	assert_int_equal(latency_quantile(counts, 0.9), 50);
	assert_int_equal(latency_quantile(counts, 0.99), 120000);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_bound_belongs_to_its_bucket),
		TEST(test_bounds_in_seconds),
		TEST(test_quantiles),
		TEST(test_beyond_the_last_bound),
	};

	return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
