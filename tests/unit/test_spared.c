/* spared.c: which rows are left alone, for how long, and that the memory for it has a bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "queue/spared.h"

static struct spared s;

static int end(void **state)
{
	(void)state;
	spared_free(&s);
	return 0;
}

static bool waits(uint64_t name, int64_t now)
{
	return spared_waits(spared_find(&s, name, now), now);
}

static void test_a_row_is_left_alone_for_its_time(void **state)
{
	(void)state;
	assert_null(spared_find(&s, 7, 0));
	spared_put(&s, 7, 1000, 60000, 5000);
	assert_true(waits(7, 5999));
	assert_false(waits(7, 6000));
	assert_false(waits(8, 5999));
	assert_non_null(spared_find(&s, 7, 6000));	/* and known afterwards */
	assert_null(spared_find(&s, 7, 6000 + 120000));
}

static void test_each_time_it_is_longer_up_to_a_bound(void **state)
{
	static const int64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
	int64_t now = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		assert_int_equal(spared_put(&s, 7, 1000, 60000, now)->pause_ms, pauses[i]);
		now += pauses[i];
	}
	spared_drop(&s, 7, now);
	assert_null(spared_find(&s, 7, now));
	assert_int_equal(spared_put(&s, 7, 1000, 60000, now)->pause_ms, 1000);
}

static void test_the_next_one_is_known(void **state)
{
	(void)state;
	assert_int_equal(spared_next_ms(&s, 0), -1);
	spared_put(&s, 7, 5000, 5000, 0);
	spared_put(&s, 8, 3000, 5000, 0);
	assert_int_equal(spared_next_ms(&s, 0), 3000);
	assert_int_equal(spared_next_ms(&s, 3000), 2000);
	assert_int_equal(spared_next_ms(&s, 5000), -1);
}

/* A thousand are remembered, a million take no more memory than that. */
static void test_many_rows(void **state)
{
	char id[32];
	int known = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "row %d", i);
		spared_put(&s, spared_name(id), 60000, 60000, i);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "row %d", i);
		known += waits(spared_name(id), 1000);
	}
	assert_in_range(known, 990, 1000);
	for (int i = 0; i < 1000000; i++)
		spared_put(&s, (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15), 60000, 60000, 1000 + i);
	assert_true(waits(UINT64_C(999999) * UINT64_C(0x9e3779b97f4a7c15), 1001000));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
	const struct CMUnitTest tests[] = {
		TEST(test_a_row_is_left_alone_for_its_time),
		TEST(test_each_time_it_is_longer_up_to_a_bound),
		TEST(test_the_next_one_is_known),
		TEST(test_many_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
