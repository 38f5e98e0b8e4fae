/* claimer.c: when a worker claims, for how many jobs, and what it makes of the answers. */
#include "worker_parts.h"

#include "scoreboard/pass.h"

static bool told_to_stop;

static void note_stop(void *arg, bool at_once)
{
	(void)arg;
	assert_false(at_once);
	told_to_stop = true;
}

/* The one claim on its way is for so many jobs. */
static void assert_claims(enum statement_id id, int n)
{
	uint32_t wire = htonl((uint32_t)n);

	assert_int_equal(fake_pg.n, 1);
	assert_sent(0, id);
	assert_memory_equal(fake_pg.sent[0].params[0].data, &wire, sizeof(wire));
}

static uint32_t demand(void)
{
	return atomic_load(&child.slot->demand);
}

static void claim_and_answer(PGresult *result)
{
	assert_int_equal(claimer_turn(&claimer), -1);
	assert_true(claimer_is_claiming(&claimer));
	answer_with(result, NULL);
	assert_false(claimer_is_claiming(&claimer));
}

static void test_a_claim_is_for_as_many_jobs_as_there_is_room_for(void **state)
{
	(void)state;
	add_job(1, 999, "in hand");
	assert_int_equal(claimer_turn(&claimer), -1);
	assert_claims(STATEMENT_CLAIM, 3);
	assert_int_equal(demand(), DEMAND_CLAIMING);
	assert_int_equal(claimer_turn(&claimer), -1);
	assert_int_equal(fake_pg.n, 1);		/* one on its way at a time */
	answer_with(rows_claimed(2, 3, 1), NULL);
	assert_int_equal(jobs.n, 4);
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 3);
	assert_int_equal(demand(), DEMAND_NONE);
	assert_sent(0, STATEMENT_LOOKUP);
	assert_int_equal(claimer_turn(&claimer), -1);
	assert_int_equal(fake_pg.n, 1);		/* no room: only the look-up is out */
}

static void test_an_empty_queue_is_asked_again_when_woken(void **state)
{
	(void)state;
	was_woken(SLOT_JANITOR);
	claim_and_answer(rows_claimed(1, 1, 1));
	assert_true(claimer_is_exhausted(&claimer));
	assert_int_equal(demand(), DEMAND_WAITING);
	assert_true(was_woken(SLOT_JANITOR));	/* to count anew, and to listen */
	answer_lookups(1);
	atomic_store(&sb->gauges_ms, now_ms());
	claimer_turn(&claimer);
	assert_int_equal(fake_pg.n, 0);
	claimer_wake(&claimer);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 3);
}

static void test_woken_while_it_asks_it_looks_again(void **state)
{
	(void)state;
	claimer_turn(&claimer);
	claimer_wake(&claimer);
	answer_with(rows_claimed(1, 0, 1), NULL);
	assert_false(claimer_is_exhausted(&claimer));
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 4);
}

static void test_without_a_janitor_it_looks_by_itself(void **state)
{
	(void)state;
	claim_and_answer(rows_claimed(1, 0, 1));
	assert_true(claimer_is_exhausted(&claimer));
	claimer.exhausted_since_ms = now_ms() - 3 * config.queue.poll_ms - 1;
	atomic_store(&sb->gauges_ms, now_ms());
	claimer_turn(&claimer);
	assert_int_equal(fake_pg.n, 0);
	atomic_store(&sb->gauges_ms, now_ms() - 3 * config.queue.poll_ms - 1);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 4);
}

static void test_max_jobs_of_the_pool_bounds_claims(void **state)
{
	(void)state;
	atomic_store(&sb->job_budget, 3);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 3);
	assert_int_equal(atomic_load(&sb->job_budget), 0);
	answer_with(rows_claimed(1, 1, 1), NULL);
	assert_int_equal(atomic_load(&sb->job_budget), 2);	/* what was not claimed goes back */
	answer_lookups(1);
	claimer_wake(&claimer);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 2);
	answer_error(ERR_LOST, "");
	assert_int_equal(atomic_load(&sb->job_budget), 2);
	atomic_store(&sb->job_budget, 0);
	claimer_turn(&claimer);
	assert_int_equal(fake_pg.n, 0);
}

static void test_nothing_is_claimed_while(const char *what, void (*begin)(void), void (*end)(void))
{
	begin();
	claimer_turn(&claimer);
	if (fake_pg.n != 0)
		fail_msg("a claim went out while %s", what);
	end();
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 4);
	answer_error(ERR_LOST, "");
}

static void pause_pool(void) { atomic_store(&sb->paused, 1); }
static void resume_pool(void) { atomic_store(&sb->paused, 0); }
static void stop(void) { ctx.stopping = true; }
static void go_on(void) { ctx.stopping = false; }
static void disconnect(void) { fake_pg.ready = false; }
static void reconnect(void) { fake_pg.ready = true; }
static void begin_reclaim(void) { reclaim.under_way = true; }
static void end_reclaim(void) { reclaim.under_way = false; }

static void test_what_keeps_it_from_claiming(void **state)
{
	(void)state;
	test_nothing_is_claimed_while("an operator has paused the pool", pause_pool, resume_pool);
	test_nothing_is_claimed_while("the worker is stopping", stop, go_on);
	test_nothing_is_claimed_while("the database is away", disconnect, reconnect);
	test_nothing_is_claimed_while("a lost claim is being released", begin_reclaim, end_reclaim);
}

static void test_an_open_breaker_leaves_the_wake_to_others(void **state)
{
	struct slot *other = &sb->slots[SLOT_FIRST_WORKER + 1];
	int64_t wait;

	(void)state;
	atomic_store(&other->pid, 1);
	atomic_store(&other->demand, DEMAND_WAITING);
	atomic_store(&child.slot->demand, DEMAND_WAITING);
	breaker_failure(&sb->breaker, &(struct err){ .kind = ERR_DENIED, .after_ms = 1500 },
			true, now_ms());
	wait = claimer_turn(&claimer);
	assert_in_range(wait, 1000, 1500);
	assert_int_equal(fake_pg.n, 0);
	assert_int_equal(demand(), DEMAND_NONE);
	assert_true(was_woken(SLOT_FIRST_WORKER + 1));
}

static void test_a_probe_is_one_job(void **state)
{
	(void)state;
	breaker_failure(&sb->breaker, &(struct err){ .kind = ERR_DENIED, .after_ms = 1 },
			true, now_ms() - BREAKER_MAX_MS);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 1);
	assert_true(dispatch.probing);
	answer_with(rows_claimed(1, 0, 1), NULL);
	assert_int_equal(breaker_state(&sb->breaker, now_ms()), BREAKER_PROBING);
	claimer_turn(&claimer);		/* no job came: another worker may try */
	assert_false(dispatch.probing);
	assert_int_equal(breaker_state(&sb->breaker, now_ms()), BREAKER_OPEN);
}

static void test_the_fallback_takes_what_the_breaker_keeps_back(void **state)
{
	(void)state;
	ctx.fallback = &fallback;
	make_parts();
	breaker_failure(&sb->breaker, &(struct err){ .kind = ERR_DENIED, .after_ms = 5000 },
			true, now_ms());
	claim_and_answer(rows_claimed(1, 2, 1));
	assert_int_equal(jobs.n, 2);
	assert_ptr_equal(jobs.head->rater, &fallback);
}

static void test_trouble_of_the_whole_makes_a_pause(void **state)
{
	(void)state;
	claimer_turn(&claimer);
	answer_error(ERR_RETRY, "53100");
	assert_in_range(claimer_turn(&claimer), 500, 1000);
	assert_int_equal(fake_pg.n, 0);
}

/* After trouble that passed, claims are as large as before at once. */
static void test_errors_that_pass_do_not_make_claims_smaller(void **state)
{
	static const char *const errors[] = { "53100", "40P01", "40001", "08006" };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		claimer.not_before_ms = 0;
		claimer_turn(&claimer);
		assert_claims(STATEMENT_CLAIM, 4);
		answer_error(i == 3 ? ERR_LOST : ERR_RETRY, errors[i]);
	}
	assert_false(pass_is_on(sb));
	claimer.not_before_ms = 0;
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 4);
}

/* Others go on without it. */
static void test_what_always_loses_to_others_is_a_row(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_false(pass_is_on(sb));
		claimer.not_before_ms = 0;
		claimer_turn(&claimer);
		assert_claims(STATEMENT_CLAIM, 4);
		answer_error(ERR_RETRY, "40001");
	}
	assert_sent(0, STATEMENT_PEEK);		/* which places are to be passed */
}

static PGresult *rows_places(int first, int n)
{
	PGresult *result = rows_of(5);

	for (int i = 0; i < n; i++) {
		cell_uuid(result, i, 0, id_of(first + i));
		cell_int4(result, i, 1, 0);
		cell_int8(result, i, 2, 1000 + first + i);
		cell_int4(result, i, 3, 0);
		cell_bytes(result, i, 4, "", 1);	/* false */
	}
	return result;
}

/* Jobs that were locked for a claim and that a trigger passed over. */
static PGresult *rows_passed_over(int first, int n)
{
	PGresult *result = rows_claimed(first, n, 1);

	for (int i = 0; i < n; i++)
		cell_text(result, i, 2, NULL);
	return result;
}

/* Where claims of this priority begin at the earliest, as the statement on its way has it. */
static void assert_begins_behind(int n)
{
	struct floor behind;
	struct floors passes;

	pass_read(sb, &passes);
	assert_int_equal(passes.n, 1);
	behind = passes.at[0];
	assert_int_equal(behind.available_at, 1000 + n);
	assert_non_null(memmem(fake_pg.sent[0].params[9].data, fake_pg.sent[0].params[9].len,
			       behind.id, UUID_BYTES));
}

/* A claim of four is refused, and what it would have brought is passed. */
static void refuse_claim(const char *sqlstate)
{
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 4);
	answer_error(ERR_RETRY, sqlstate);
	assert_sent(0, STATEMENT_PEEK);
	assert_true(claimer_is_claiming(&claimer));
	answer_with(rows_places(1, 4), NULL);
	assert_true(pass_is_on(sb));
}

static void test_claims_pass_what_is_refused_and_the_walk_tries_it(void **state)
{
	(void)state;
	refuse_claim("55000");
	claimer_turn(&claimer);
	assert_sent(0, STATEMENT_WALK);
	answer_with(rows_places(1, 4), NULL);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM_THESE, 4);
	answer_with(rows_claimed(1, 2, 1), NULL);	/* the others are somebody else's */
	assert_int_equal(jobs.n, 2);
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 2);
	answer_lookups(1);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 2);
	assert_begins_behind(4);
}

/* A connection that is lost in between teaches nothing, and the budget is whole again. */
static void test_a_lost_connection_ends_a_step(void **state)
{
	(void)state;
	atomic_store(&sb->job_budget, 10);
	refuse_claim("PT403");
	claimer_turn(&claimer);
	answer_with(rows_places(1, 4), NULL);
	claimer_turn(&claimer);
	assert_sent(0, STATEMENT_CLAIM_THESE);
	answer_error(ERR_LOST, "");
	assert_false(claimer_is_claiming(&claimer));
	assert_int_equal(atomic_load(&sb->job_budget), 10);
	assert_int_equal(aside_count(&sb->asides), 0);
}

static void test_what_a_trigger_passes_over_is_passed(void **state)
{
	(void)state;
	claimer_turn(&claimer);
	answer_with(rows_passed_over(1, 4), NULL);
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 0);
	assert_false(claimer_is_exhausted(&claimer));
	claimer_turn(&claimer);
	assert_sent(0, STATEMENT_WALK);
	answer_with(rows_places(1, 4), NULL);
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM_THESE, 4);
	answer_with(rows_passed_over(1, 4), NULL);
	assert_int_equal(aside_count(&sb->asides), 4);	/* each was named by what it did alone */
	claimer_turn(&claimer);
	assert_claims(STATEMENT_CLAIM, 4);
	assert_begins_behind(4);
}

static void test_once_is_over_when_what_is_passed_was_tried(void **state)
{
	(void)state;
	claimer_turn(&claimer);
	answer_with(rows_passed_over(1, 4), NULL);
	claimer_turn(&claimer);
	answer_with(rows_places(1, 4), NULL);
	claimer_turn(&claimer);
	answer_with(rows_passed_over(1, 4), NULL);
	claim_and_answer(rows_claimed(9, 0, 1));
	assert_true(claimer_is_exhausted(&claimer));
	claimer_turn(&claimer);
	assert_true(claimer_is_through(&claimer));
	assert_int_equal(fake_pg.n, 0);
}

static void test_a_worker_retires_after_its_jobs(void **state)
{
	(void)state;
	config.pool.max_jobs = 4;
	told_to_stop = false;
	child.on_stop = note_stop;
	claim_and_answer(rows_claimed(1, 3, 1));
	assert_false(told_to_stop);
	answer_lookups(1);
	claimer_wake(&claimer);
	claim_and_answer(rows_claimed(4, 1, 1));
	assert_true(told_to_stop);
}

/* Two full claims in a row; then lines are rated faster than they could be looked up. */
static void test_a_deep_queue_and_an_instant_rater_hold_claims(void **state)
{
	(void)state;
	config.pool.claim_batch = 16;
	rater.instant = true;
	config.cache.ttl_ms = 0;
	claimer.deep = true;
	claimer_turn(&claimer);
	assert_int_equal(fake_pg.n, 2);
	assert_sent(0, STATEMENT_BEGIN);
	assert_sent(1, STATEMENT_HOLD);
	assert_true(txn.open);
	answer_with(rows_of(0), NULL);
	answer_with(rows_claimed(1, 2, 0), NULL);
	assert_int_equal(jobs.n, 2);
	assert_true(jobs.head->held);
	/* they count when they are committed */
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 0);
	claimer_turn(&claimer);
	assert_int_equal(fake_pg.n, 0);		/* while it is open nothing else is sent */
}

/* What a held claim cannot complete is left to an ordinary one, which follows at once. */
static void test_what_a_held_claim_leaves_is_claimed_in_the_ordinary_way(void **state)
{
	(void)state;
	rater.instant = true;
	config.cache.ttl_ms = 0;
	claimer.deep = true;
	claimer_turn(&claimer);
	answer_with(rows_of(0), NULL);
	answer_with(rows_claimed(1, 2, 5), NULL);	/* claimed before */
	assert_int_equal(jobs.n, 0);
	claim_txn_end(&txn);
	assert_sent(0, STATEMENT_COMMIT);
	claimer_turn(&claimer);
	assert_int_equal(fake_pg.n, 2);
	assert_sent(1, STATEMENT_CLAIM_BRIEFLY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_a_claim_is_for_as_many_jobs_as_there_is_room_for),
		PARTS_TEST(test_an_empty_queue_is_asked_again_when_woken),
		PARTS_TEST(test_woken_while_it_asks_it_looks_again),
		PARTS_TEST(test_without_a_janitor_it_looks_by_itself),
		PARTS_TEST(test_max_jobs_of_the_pool_bounds_claims),
		PARTS_TEST(test_what_keeps_it_from_claiming),
		PARTS_TEST(test_an_open_breaker_leaves_the_wake_to_others),
		PARTS_TEST(test_a_probe_is_one_job),
		PARTS_TEST(test_the_fallback_takes_what_the_breaker_keeps_back),
		PARTS_TEST(test_trouble_of_the_whole_makes_a_pause),
		PARTS_TEST(test_errors_that_pass_do_not_make_claims_smaller),
		PARTS_TEST(test_what_always_loses_to_others_is_a_row),
		PARTS_TEST(test_claims_pass_what_is_refused_and_the_walk_tries_it),
		PARTS_TEST(test_a_lost_connection_ends_a_step),
		PARTS_TEST(test_what_a_trigger_passes_over_is_passed),
		PARTS_TEST(test_once_is_over_when_what_is_passed_was_tried),
		PARTS_TEST(test_a_worker_retires_after_its_jobs),
		PARTS_TEST(test_a_deep_queue_and_an_instant_rater_hold_claims),
		PARTS_TEST(test_what_a_held_claim_leaves_is_claimed_in_the_ordinary_way),
	};

	return cmocka_run_group_tests_name("claimer", tests, NULL, NULL);
}
