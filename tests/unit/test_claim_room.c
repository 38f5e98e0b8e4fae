/* claim_room.c: how many jobs a worker has room for. */
#include "worker_parts.h"

static struct claimer_parts with;

static int room(bool deep)
{
	with = (struct claimer_parts){
		.jobs = &jobs, .txn = &txn, .settler = &settler, .dispatch = &dispatch,
		.permits = &permits, .reclaim = &reclaim, .size = &size,
	};
	return claim_room(&ctx, &with, &rater, deep);
}

static void test_calls_in_flight_are_the_limit(void **state)
{
	(void)state;
	assert_int_equal(room(true), 4);
	add_job(1, 901, "a line");
	assert_int_equal(room(true), 3);
	rater.capacity = 2;			/* it has use for fewer */
	assert_int_equal(room(true), 1);
}

/*
 * The next few are looked up while all calls are out, and are replaced when half of them are gone.
 */
static void test_a_backlog_is_claimed_ahead_of_free_calls(void **state)
{
	(void)state;
	config.pool.in_flight = 64;
	assert_int_equal(room(false), 12);	/* one statement brings no more */
	for (int i = 0; i < 64; i++)
		add_job(i + 1, 901, "a line");
	assert_int_equal(room(false), 0);
	assert_int_equal(room(true), 4);
	add_job(65, 901, "a line");
	add_job(66, 901, "a line");
	assert_int_equal(room(true), 0);
	config.pool.in_flight = 63;		/* with so few calls none is claimed early */
	assert_int_equal(room(true), 0);
}

static void test_limits_forbid_claiming_ahead(void **state)
{
	(void)state;
	config.pool.in_flight = 64;
	throttle_set(&sb->throttle, 100, 0, now_ms());
	for (int i = 0; i < 64; i++)
		add_job(i + 1, 901, "a line");
	assert_int_equal(room(true), 0);
}

/* Answered jobs make room, unless so many wait to be settled that the database must be behind. */
static void test_a_database_that_is_behind_gets_no_more_claims(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct grading *g = add_job(i + 1, 901, "a line");

		grading_end_lookup(g);
		grading_release(g, NULL, 0);
	}
	assert_int_equal(dispatch_asked_of(&dispatch, &rater), 0);
	assert_int_equal(room(true), 4);
	for (int i = 10; i < 16; i++)
		grading_release(add_job(i + 1, 901, "a line"), NULL, 0);
	assert_true(room(true) <= 0);		/* four in flight, a batch of twelve behind */
}

static void test_an_instant_rater_is_fed_by_batches(void **state)
{
	(void)state;
	rater.instant = true;
	assert_int_equal(room(true), 64);
	size.factor = 8;
	assert_int_equal(room(true), 512);
	config.pool.claim_batch = 1000;
	assert_int_equal(room(true), WORKER_BATCH_MAX);
	size.factor = 1;
	add_job(1, 901, "a line");
	assert_int_equal(room(true), 999);
	settler.under_way = 1;			/* it is on its way out */
	assert_int_equal(room(true), 1000);
	settler.under_way = 0;
}

static void test_only_workers_before_this_one_crowd_it(void **state)
{
	int64_t many = 2 * sysconf(_SC_NPROCESSORS_ONLN);

	(void)state;
	child.index = (int)many + SLOT_FIRST_WORKER;
	for (int i = SLOT_FIRST_WORKER; i < child.index; i++)
		atomic_store(&sb->slots[i].state, SLOT_BUSY);
	assert_false(claim_room_crowded(&ctx, &size, 5000));	/* its calls cost no processor */
	rater.instant = true;
	atomic_fetch_add(&sb->slots[SLOT_FIRST_WORKER].counters[COUNTER_JOBS_COMPLETED], 1);
	assert_true(claim_room_crowded(&ctx, &size, 5000));
	child.index--;
	assert_false(claim_room_crowded(&ctx, &size, 5000));
	child.index = SLOT_FIRST_WORKER;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_calls_in_flight_are_the_limit),
		PARTS_TEST(test_a_backlog_is_claimed_ahead_of_free_calls),
		PARTS_TEST(test_limits_forbid_claiming_ahead),
		PARTS_TEST(test_a_database_that_is_behind_gets_no_more_claims),
		PARTS_TEST(test_an_instant_rater_is_fed_by_batches),
		PARTS_TEST(test_only_workers_before_this_one_crowd_it),
	};

	return cmocka_run_group_tests_name("claim_room", tests, NULL, NULL);
}
