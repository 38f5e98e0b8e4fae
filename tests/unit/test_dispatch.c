/* dispatch.c: from jobs looked up to verdicts, and what the breaker is told on the way. */
#include "worker_parts.h"

/* A job that has been looked up, in vain. */
static struct grading *dispatched(int n, const char *text)
{
	struct grading *g = add_job(n, 900 + n, text);

	g->keyed = false;		/* no other worker asks about it */
	dispatch_looked_up(&dispatch, &g, 1);
	check_parts();
	return g;
}

static void answer(struct ask *ask, enum outcome outcome)
{
	call_rated(&rater, ask, outcome);
	dispatch_take_answers(&dispatch);
	check_parts();
}

static void answer_failure(struct ask *ask, enum err_kind kind)
{
	call_failed(&rater, ask, kind);
	dispatch_take_answers(&dispatch);
	check_parts();
}

static void test_a_rated_job_is_completed(void **state)
{
	struct grading *g = dispatched(1, "a line");

	(void)state;
	assert_int_equal(nasked, 1);
	assert_int_equal(counted(COUNTER_CACHE_MISSES), 0);
	answer(asked[0], OUTCOME_RATED);
	assert_true(grading_is_decided(g));
	assert_string_equal(g->settlement.status, "completed");
	assert_int_equal(counted(COUNTER_RATER_CALLS), 1);
	assert_true(breaker_answered_lately(&sb->breaker, 0, now_ms()));
}

static void test_a_job_that_is_all_cached_needs_no_call(void **state)
{
	struct grading *g = add_job(1, 901, "a line");
	struct cached_row row = { .key = g->lines[0].key, .rating = "good", .alternatives = "{}",
				  .reason = "" };

	(void)state;
	grading_give_cached(&g->lines[0], &config, &row);
	dispatch_looked_up(&dispatch, &g, 1);
	assert_int_equal(nasked, 0);
	assert_string_equal(g->settlement.status, "completed");
	assert_int_equal(counted(COUNTER_CACHE_HITS), 1);
	assert_int_equal(counted(COUNTER_CACHE_MISSES), 0);
}

/* pool.in_flight is 4: the fifth and sixth wait for a free call, and have it in the same turn. */
static void test_no_more_calls_than_in_flight(void **state)
{
	struct grading *g[6];

	(void)state;
	for (int i = 0; i < 6; i++)
		g[i] = dispatched(i + 1, "a line");
	assert_int_equal(nasked, 4);
	assert_int_equal(g[4]->phase, GRADING_HELD_BACK);
	assert_int_equal(dispatch_asked_of(&dispatch, &rater), 6);
	answer(asked[1], OUTCOME_RATED);
	assert_int_equal(nasked, 5);
	assert_int_equal(g[4]->phase, GRADING_ASKING);
	assert_int_equal(g[5]->phase, GRADING_HELD_BACK);
	assert_int_equal(dispatch_asked_of(&dispatch, &rater), 5);
}

static void test_an_outage_opens_the_breaker_and_charges_nobody(void **state)
{
	struct grading *g[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		g[i] = dispatched(i + 1, "a line");
	for (int i = 0; i < 3; i++)
		answer_failure(asked[i], ERR_UNAVAILABLE);
	assert_int_equal(breaker_state(&sb->breaker, now_ms()), BREAKER_OPEN);
	assert_true(dispatch.provider_away);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(g[i]->settlement.status, "pending");
		assert_false(g[i]->settlement.attempt);
	}
	g[0] = dispatched(4, "another");	/* its look-up ended while the breaker was open */
	assert_int_equal(nasked, 3);
	assert_string_equal(g[0]->settlement.status, "pending");
	assert_false(g[0]->settlement.attempt);
}

/* Nobody had an answer yet, and nobody can tell what is refused. */
static struct grading *refused_job(enum err_kind kind, bool unplaced)
{
	struct grading *g;

	rater.metered = true;
	g = dispatched(1, "a line");
	asked[nasked - 1]->unplaced = unplaced;
	answer_failure(asked[nasked - 1], kind);
	return g;
}

static void test_a_refusal_is_followed_by_a_control(void **state)
{
	struct grading *g = refused_job(ERR_PERMANENT, true);

	(void)state;
	assert_int_equal(nasked, 2);
	assert_true(asked[1]->control);
	assert_false(grading_is_decided(g));
	answer(asked[1], OUTCOME_RATED);
	assert_true(grading_is_decided(g));	/* so it is the job's: one line, beyond help */
	assert_string_equal(g->settlement.status, "failed");
	assert_true(g->settlement.attempt);
	assert_int_equal(nasked, 2);
	assert_true(breaker_is_closed(&sb->breaker, now_ms()));
}

static void test_a_control_refused_too_charges_nobody(void **state)
{
	struct grading *g = refused_job(ERR_PERMANENT, true);

	(void)state;
	asked[1]->unplaced = true;
	answer_failure(asked[1], ERR_PERMANENT);
	assert_true(grading_is_decided(g));
	assert_string_equal(g->settlement.status, "pending");
	assert_false(g->settlement.attempt);
	assert_non_null(strstr(g->settlement.error, "refuses a harmless line, too"));
	assert_false(breaker_is_closed(&sb->breaker, now_ms()));
}

static void test_a_control_without_an_answer_charges_nobody(void **state)
{
	struct grading *g = refused_job(ERR_PERMANENT, true);

	(void)state;
	answer_failure(asked[1], ERR_UNCLEAR);
	assert_string_equal(g->settlement.status, "pending");
	assert_false(g->settlement.attempt);
}

static void test_a_refusal_that_says_of_what_needs_no_control(void **state)
{
	struct grading *g = refused_job(ERR_PERMANENT, false);

	(void)state;
	assert_int_equal(nasked, 1);
	assert_string_equal(g->settlement.status, "failed");
}

/* They may have had them a moment before the credit ended. */
static void test_while_others_get_answers_a_control_tells_all_the_same(void **state)
{
	struct grading *g;

	(void)state;
	breaker_success(&sb->breaker, now_ms());
	g = refused_job(ERR_PERMANENT, true);
	assert_int_equal(nasked, 2);
	assert_true(asked[1]->control);
	asked[1]->unplaced = true;
	answer_failure(asked[1], ERR_PERMANENT);
	assert_string_equal(g->settlement.status, "pending");
	assert_false(g->settlement.attempt);
}

static void test_the_first_answer_that_tells_of_an_outage_opens_the_breaker(void **state)
{
	struct grading *g = refused_job(ERR_UNAVAILABLE, false);

	(void)state;
	assert_string_equal(g->settlement.status, "pending");
	assert_false(g->settlement.attempt);
	assert_false(breaker_is_closed(&sb->breaker, now_ms()));
}

static void test_the_fallback_is_asked_what_the_first_could_not_be(void **state)
{
	struct grading *g;

	(void)state;
	ctx.fallback = &fallback;
	make_parts();
	g = dispatched(1, "a line");
	call_failed(&rater, asked[0], ERR_DENIED);
	dispatch_take_answers(&dispatch);
	assert_ptr_equal(g->rater, &fallback);
	assert_int_equal(nasked, 2);
	call_rated(&fallback, asked[1], OUTCOME_RATED);
	dispatch_take_answers(&dispatch);
	assert_string_equal(g->settlement.status, "completed");
	assert_int_equal(counted(COUNTER_FALLBACK_LINES), 1);
	/* nobody else takes its rating for the first's */
	assert_null(g->lines[0].store.cache_key);
}

static void test_a_fallback_that_fails_too_is_left_alone_for_a_while(void **state)
{
	struct grading *g;

	(void)state;
	ctx.fallback = &fallback;
	make_parts();
	g = dispatched(1, "a line");
	call_failed(&rater, asked[0], ERR_DENIED);
	dispatch_take_answers(&dispatch);
	call_failed(&fallback, asked[1], ERR_UNCLEAR);
	dispatch_take_answers(&dispatch);
	assert_true(dispatch.provider_away);
	assert_in_range(dispatch_fallback_wait(&dispatch, now_ms()), 1000, 2000);
	assert_string_equal(g->settlement.status, "pending");
	assert_false(g->settlement.attempt);
}

static void test_ten_useless_answers_are_the_raters_fault(void **state)
{
	(void)state;
	config.pool.in_flight = 20;
	for (int i = 0; i < 10; i++) {
		struct grading *g = dispatched(i + 1, "a line");

		answer(asked[i], OUTCOME_NOT_JSON);
		assert_int_equal(g->settlement.attempt, i < 9);
	}
	assert_int_equal(breaker_state(&sb->breaker, now_ms()), BREAKER_OPEN);
}

static void test_a_probe_decides_about_the_breaker(void **state)
{
	int64_t wait;

	(void)state;
	breaker_failure(&sb->breaker, &(struct err){ .kind = ERR_DENIED, .after_ms = 1 },
			true, now_ms() - BREAKER_MAX_MS);
	assert_int_equal(breaker_allow(&sb->breaker, 4, now_ms(), &wait), 1);
	dispatch_begin_probe(&dispatch);
	dispatched(1, "a line");
	assert_int_equal(nasked, 1);
	dispatch_check_probe(&dispatch);
	assert_true(dispatch.probing);		/* it is out */
	answer(asked[0], OUTCOME_RATED);
	assert_false(dispatch.probing);
	assert_int_equal(breaker_state(&sb->breaker, now_ms()), BREAKER_CLOSED);
}

static void test_a_probe_that_comes_to_nothing_is_given_up(void **state)
{
	int64_t wait;

	(void)state;
	breaker_failure(&sb->breaker, &(struct err){ .kind = ERR_DENIED, .after_ms = 1 },
			true, now_ms() - BREAKER_MAX_MS);
	breaker_allow(&sb->breaker, 4, now_ms(), &wait);
	dispatch_begin_probe(&dispatch);
	dispatch_check_probe(&dispatch);
	assert_false(dispatch.probing);
	assert_int_equal(breaker_state(&sb->breaker, now_ms()), BREAKER_OPEN);
	assert_int_equal(breaker_allow(&sb->breaker, 4, now_ms(), &wait), 1);	/* another's turn */
}

/* Calls that are given up have gone out, and count. */
static void test_a_job_that_is_dropped_leaves_nothing_behind(void **state)
{
	struct grading *g = dispatched(1, "a line");

	(void)state;
	asked[0]->used.calls = 1;
	dispatch_drop(&dispatch, g);
	assert_int_equal(jobs.n, 0);
	assert_null(asked[0]);			/* the rater was told */
	assert_int_equal(counted(COUNTER_RATER_CALLS), 1);
	assert_int_equal(counted(COUNTER_RATER_FAILURES), 1);
	assert_int_equal(rater.in_flight, 0);
}

/* Equal lines of two jobs: one call, when the lease is ours. */
static void test_equal_lines_wait_for_one_call(void **state)
{
	struct grading *one = add_job(1, 901, "same"), *two = add_job(2, 902, "same");
	struct grading *both[] = { one, two };

	(void)state;
	dispatch_looked_up(&dispatch, both, 2);
	assert_int_equal(nasked, 0);
	flights_lead(&flights, one->lines[0].flight);
	flights_next_asker(&flights, one->lines[0].flight);
	dispatch_take_answers(&dispatch);
	assert_int_equal(nasked, 1);
	answer(asked[0], OUTCOME_RATED);
	assert_string_equal(one->settlement.status, "completed");
	assert_string_equal(two->settlement.status, "completed");
	assert_int_equal(nasked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_a_rated_job_is_completed),
		PARTS_TEST(test_a_job_that_is_all_cached_needs_no_call),
		PARTS_TEST(test_no_more_calls_than_in_flight),
		PARTS_TEST(test_an_outage_opens_the_breaker_and_charges_nobody),
		PARTS_TEST(test_a_refusal_is_followed_by_a_control),
		PARTS_TEST(test_a_control_refused_too_charges_nobody),
		PARTS_TEST(test_a_control_without_an_answer_charges_nobody),
		PARTS_TEST(test_a_refusal_that_says_of_what_needs_no_control),
		PARTS_TEST(test_while_others_get_answers_a_control_tells_all_the_same),
		PARTS_TEST(test_the_first_answer_that_tells_of_an_outage_opens_the_breaker),
		PARTS_TEST(test_the_fallback_is_asked_what_the_first_could_not_be),
		PARTS_TEST(test_a_fallback_that_fails_too_is_left_alone_for_a_while),
		PARTS_TEST(test_ten_useless_answers_are_the_raters_fault),
		PARTS_TEST(test_a_probe_decides_about_the_breaker),
		PARTS_TEST(test_a_probe_that_comes_to_nothing_is_given_up),
		PARTS_TEST(test_a_job_that_is_dropped_leaves_nothing_behind),
		PARTS_TEST(test_equal_lines_wait_for_one_call),
	};

	return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
