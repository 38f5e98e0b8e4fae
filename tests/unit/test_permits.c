/* permits.c: a worker's part in the host's limits. */
#include "worker_parts.h"

#define MINUTE 60000

static void limit(int64_t requests)
{
	rater.metered = true;
	make_parts();
	throttle_set(&sb->throttle, requests, 0, now_ms() - 2 * MINUTE);
	atomic_store(&sb->workers, 1);
}

static int reserve(int wanted, int64_t *wait)
{
	*wait = -1;
	return permits_reserve(&permits, &rater, wanted, false, now_ms(), wait);
}

/* A claimed job with one of the permits reserved last. */
static struct grading *add_permitted(int n)
{
	struct grading *g = add_job(n, 900, "a line");

	permits_give(&permits, g);
	grading_end_lookup(g);
	return g;
}

static void test_without_limits_everything_goes(void **state)
{
	int64_t wait;

	(void)state;
	assert_null(permits.metered);
	assert_int_equal(reserve(7, &wait), 7);
	assert_int_equal(permits.held, 0);
	rater.metered = true;
	make_parts();
	assert_ptr_equal(permits.metered, &rater);
	assert_int_equal(reserve(7, &wait), 7);		/* metered, and nothing to keep to */
	assert_int_equal(permits.held, 0);
}

static void test_the_fallback_may_be_the_metered_one(void **state)
{
	int64_t wait;

	(void)state;
	ctx.fallback = &fallback;
	fallback.metered = true;
	make_parts();
	throttle_set(&sb->throttle, 1, 0, now_ms() - 2 * MINUTE);
	assert_ptr_equal(permits.metered, &fallback);
	/* for the first rater there is nothing to pay */
	assert_int_equal(reserve(7, &wait), 7);
}

static void test_permits_go_with_their_jobs(void **state)
{
	struct grading *g;
	int64_t wait;
	int n;

	(void)state;
	limit(600);
	n = reserve(4, &wait);
	assert_in_range(n, 1, 4);
	assert_int_equal(permits.held, n);
	assert_int_equal(permits.claim_held, n);
	g = add_permitted(1);
	assert_int_equal(permits.claim_held, n - 1);
	permits_check(&permits);
	permits_unreserve(&permits, n - 1);	/* the claim brought one job */
	assert_int_equal(permits.held, 1);
	permits_drop(&permits, g);
	permits_drop(&permits, g);
	assert_int_equal(permits.held, 0);
	permits_check(&permits);
}

static void test_an_exhausted_limit_says_when_to_come_again(void **state)
{
	int64_t wait;

	(void)state;
	limit(1);
	assert_int_equal(reserve(4, &wait), 1);
	permits_give(&permits, add_job(1, 900, "a line"));
	atomic_store(&child.slot->demand, DEMAND_WAITING);
	assert_int_equal(reserve(4, &wait), 0);
	assert_in_range(wait, 1, 2301);
	assert_int_equal(atomic_load(&child.slot->demand), DEMAND_NONE);
}

static void test_a_call_goes_out_with_its_permit(void **state)
{
	struct grading *g;
	int64_t wait;

	(void)state;
	limit(600);
	reserve(1, &wait);
	g = add_permitted(1);
	rater_start(&rater, NULL);	/* another call is open */
	nasked = 0;
	grading_ask(g, &rater);
	assert_int_equal(nasked, 1);
	assert_true(asked[0]->permit.held);
	assert_false(g->permit.held);
	assert_int_equal(permits.held, 0);
	assert_true(asked[0]->bytes > strlen("a line"));
	permits_publish(&permits);
	assert_int_equal(atomic_load(&sb->throttle.calls_open[child.index]), 2);
	call_rated(&rater, asked[0], OUTCOME_RATED);
	permits_settle_call(&permits, &rater, rater_next_done(&rater));
	assert_int_equal(atomic_load(&sb->throttle.calls_open[child.index]), 1);
	asked[0] = NULL;
}

/*
 * Its next call could not go out for a while: it goes back to the queue with what it has, no
 * attempt counted.
 */
static void test_a_job_without_a_permit_goes_back(void **state)
{
	struct grading *g;
	int64_t wait;

	(void)state;
	limit(1);
	assert_int_equal(reserve(1, &wait), 1);
	permits_give(&permits, add_job(1, 900, "another"));
	g = add_job(2, 901, "a line");
	grading_end_lookup(g);
	grading_ask(g, &rater);
	assert_int_equal(nasked, 0);
	permits_keep_pace(&permits, g);
	assert_true(grading_is_decided(g));
	assert_string_equal(g->settlement.status, "pending");
	assert_false(g->settlement.attempt);
	assert_true(g->settlement.delay_ms > 0);
	assert_non_null(strstr(g->settlement.error, "openai.requests_per_minute"));
}

static void test_a_job_that_needs_no_call_gives_its_permit_back(void **state)
{
	struct grading *g;
	int64_t wait;

	(void)state;
	limit(600);
	assert_int_equal(reserve(1, &wait), 1);
	g = add_permitted(1);
	permits_keep_pace(&permits, g);
	assert_false(g->permit.held);
	assert_int_equal(permits.held, 0);
}

/* While it is not known whose call it is, it keeps what it has. */
static void test_a_job_that_may_need_a_call_keeps_its_permit(void **state)
{
	struct grading *g;
	int64_t wait;

	(void)state;
	limit(600);
	assert_int_equal(reserve(1, &wait), 1);
	g = add_permitted(1);
	flights_join(&flights, g);
	permits_keep_pace(&permits, g);
	assert_true(g->permit.held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_without_limits_everything_goes),
		PARTS_TEST(test_the_fallback_may_be_the_metered_one),
		PARTS_TEST(test_permits_go_with_their_jobs),
		PARTS_TEST(test_an_exhausted_limit_says_when_to_come_again),
		PARTS_TEST(test_a_call_goes_out_with_its_permit),
		PARTS_TEST(test_a_job_without_a_permit_goes_back),
		PARTS_TEST(test_a_job_that_needs_no_call_gives_its_permit_back),
		PARTS_TEST(test_a_job_that_may_need_a_call_keeps_its_permit),
	};

	return cmocka_run_group_tests_name("permits", tests, NULL, NULL);
}
