/* context.c: what the parts of a worker share. */
#include "worker_fixture.h"

static void test_small_batches_beside_calls_that_take_time(void **state)
{
	(void)state;
	assert_int_equal(context_batch(&ctx, &rater), 12);
	config.pool.claim_batch = 5;		/* who asks for fewer gets fewer */
	assert_int_equal(context_batch(&ctx, &rater), 5);
	config.pool.claim_batch = 64;
	rater.instant = true;
	assert_int_equal(context_batch(&ctx, &rater), 64);
}

/* --max-jobs is the whole pool's: what one worker takes is not there for the next. */
static void test_the_budget_is_shared(void **state)
{
	(void)state;
	assert_int_equal(context_take_budget(&ctx, 1000), 1000);	/* without --max-jobs */
	atomic_store(&sb->job_budget, 10);
	assert_int_equal(context_take_budget(&ctx, 4), 4);
	assert_int_equal(context_take_budget(&ctx, 40), 6);
	assert_int_equal(context_take_budget(&ctx, 1), 0);
	context_give_back_budget(&ctx, 2);
	assert_int_equal(context_take_budget(&ctx, 40), 2);
	atomic_store(&sb->job_budget, -3);
	assert_int_equal(context_take_budget(&ctx, 1), 0);
}

static void test_counts_are_the_slots(void **state)
{
	(void)state;
	context_count(&ctx, COUNTER_JOBS_COMPLETED, 0);
	context_count(&ctx, COUNTER_JOBS_COMPLETED, 3);
	context_count(&ctx, COUNTER_JOBS_COMPLETED, 2);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 5);
}

static void test_the_sooner_of_two_waits(void **state)
{
	(void)state;
	assert_int_equal(wait_sooner(-1, -1), -1);
	assert_int_equal(wait_sooner(-1, 7), 7);
	assert_int_equal(wait_sooner(7, -1), 7);
	assert_int_equal(wait_sooner(7, 3), 3);
	assert_int_equal(wait_sooner(0, 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORKER_TEST(test_small_batches_beside_calls_that_take_time),
		WORKER_TEST(test_the_budget_is_shared),
		WORKER_TEST(test_counts_are_the_slots),
		WORKER_TEST(test_the_sooner_of_two_waits),
	};

	return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
