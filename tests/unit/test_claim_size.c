/* claim_size.c: how much is claimed at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/claim_size.h"

#define BATCH 64

static struct claim_size made(void)
{
	struct claim_size s;

	claim_size_init(&s);
	return s;
}

static void test_a_deep_queue_makes_claims_grow(void **state)
{
	static const int factors[] = { 2, 4, 8, 8 };
	struct claim_size s = made();

	(void)state;
	assert_int_equal(s.factor, 1);
	for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
		claim_size_adapt(&s, true, BATCH, 1000, BATCH);
		assert_int_equal(s.factor, factors[i]);
		claim_size_check(&s);
	}
	claim_size_adapt(&s, false, BATCH, 1000, BATCH);
	assert_int_equal(s.factor, 1);
}

static void test_small_batches_are_meant_literally(void **state)
{
	struct claim_size s = made();

	(void)state;
	claim_size_adapt(&s, true, 15, 1000, 15);
	assert_int_equal(s.factor, 1);
	claim_size_adapt(&s, true, 16, 1000, 16);
	assert_int_equal(s.factor, 2);
}

static void test_large_jobs_are_claimed_by_the_batch(void **state)
{
	struct claim_size s = made();

	(void)state;
	claim_size_adapt(&s, true, BATCH, (int64_t)BATCH * 16384 + 1, BATCH);
	assert_int_equal(s.factor, 1);
	claim_size_adapt(&s, true, BATCH, (int64_t)BATCH * 16384, BATCH);
	assert_int_equal(s.factor, 2);
}

static void test_slow_servers_get_smaller_bites(void **state)
{
	struct claim_size s = made();

	(void)state;
	claim_size_took(&s, 41);
	assert_int_equal(s.factor_max, 4);
	claim_size_took(&s, 10000);
	assert_int_equal(s.factor_max, 4);	/* beyond that it would go back to the cache */
	claim_size_took(&s, 10);
	assert_int_equal(s.factor_max, 4);
	claim_size_took(&s, 9);
	assert_int_equal(s.factor_max, 8);
	claim_size_took(&s, 1);
	assert_int_equal(s.factor_max, 8);
	claim_size_halve(&s);
	for (int i = 0; i < 4; i++)
		claim_size_adapt(&s, true, BATCH, 1, BATCH);
	assert_int_equal(s.factor, 4);
}

static void test_huge_jobs_are_claimed_few_at_a_time(void **state)
{
	struct claim_size s = made();

	(void)state;
	assert_int_equal(claim_size_cap(&s, 512), 512);
	claim_size_learn(&s, 2, 2 << 20);
	assert_int_equal(s.job_bytes, 1 << 20);
	assert_int_equal(claim_size_cap(&s, 512), 16);
	assert_int_equal(claim_size_cap(&s, 16), 16);
	claim_size_learn(&s, 1, 64 << 20);
	assert_int_equal(claim_size_cap(&s, 512), 1);
	assert_int_equal(claim_size_cap(&s, 1), 1);
	assert_int_equal(claim_size_cap(&s, 0), 0);
	assert_int_equal(claim_size_cap(&s, -3), -3);
}

static void test_small_jobs_make_it_forget_a_large_one(void **state)
{
	struct claim_size s = made();

	(void)state;
	claim_size_learn(&s, 1, 8000);
	claim_size_learn(&s, 1, 0);
	assert_int_equal(s.job_bytes, 7000);
	for (int i = 0; i < 100; i++)
		claim_size_learn(&s, 1, 800);
	assert_in_range(s.job_bytes, 800, 808);
}

static void test_the_cache_is_left_when_it_costs_more_than_it_spares(void **state)
{
	struct claim_size s = made();

	(void)state;
	assert_true(claim_size_pays_to_cache(&s, 1000, true));
	assert_false(claim_size_pays_to_cache(&s, 0, true));
	s.factor = CLAIM_FACTOR_PAST_CACHE;
	assert_false(claim_size_pays_to_cache(&s, 1000, true));
	/* a call costs more than any look-up */
	assert_true(claim_size_pays_to_cache(&s, 1000, false));
}

static void test_workers_too_many_stand_back_while_others_get_on(void **state)
{
	struct claim_size s = made();

	(void)state;
	assert_false(claim_size_over_subscribed(&s, 3, 2, 10, 5000));
	assert_true(claim_size_over_subscribed(&s, 4, 2, 10, 5000));
	assert_true(claim_size_over_subscribed(&s, 4, 2, 10, 5999));
	/* those before it are held up */
	assert_false(claim_size_over_subscribed(&s, 4, 2, 10, 6000));
	assert_true(claim_size_over_subscribed(&s, 4, 2, 11, 6001));
}

static void test_memory_goes_back_once(void **state)
{
	struct claim_size s = made();

	(void)state;
	assert_false(claim_size_shrink(&s));
	claim_size_adapt(&s, false, BATCH, (4 << 20) + 1, BATCH);
	assert_true(claim_size_shrink(&s));
	assert_false(claim_size_shrink(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_deep_queue_makes_claims_grow),
		cmocka_unit_test(test_small_batches_are_meant_literally),
		cmocka_unit_test(test_large_jobs_are_claimed_by_the_batch),
		cmocka_unit_test(test_slow_servers_get_smaller_bites),
		cmocka_unit_test(test_huge_jobs_are_claimed_few_at_a_time),
		cmocka_unit_test(test_small_jobs_make_it_forget_a_large_one),
		cmocka_unit_test(test_the_cache_is_left_when_it_costs_more_than_it_spares),
		cmocka_unit_test(test_workers_too_many_stand_back_while_others_get_on),
		cmocka_unit_test(test_memory_goes_back_once),
	};

	return cmocka_run_group_tests_name("claim_size", tests, NULL, NULL);
}
