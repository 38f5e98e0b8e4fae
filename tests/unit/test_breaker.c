/* breaker.c: what opens it, what closes it, and that a pause asked for is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "scoreboard/breaker.h"
#include "scoreboard/scoreboard.h"

#define NOW 1000000

static struct scoreboard *sb;

static int setup(void **state)
{
	(void)state;
	if (!sb)
		sb = scoreboard_new();
	breaker_release(&sb->breaker);
	atomic_store(&sb->breaker.answered_ms, 0);
	atomic_store(&sb->breaker.unclear, 0);
	return sb ? 0 : -1;
}

static void failure(enum err_kind kind, int64_t after_ms, int64_t now)
{
	struct err err = { .kind = kind, .after_ms = after_ms, .text = "why" };

	breaker_failure(&sb->breaker, &err, true, now);
}

static int allowed(int64_t now)
{
	int64_t wait;

	return breaker_allow(&sb->breaker, 10, now, &wait);
}

static bool unclear(int job, int64_t now)
{
	char id[8];

	snprintf(id, sizeof(id), "%d", job);
	return breaker_unclear(&sb->breaker, id, 0, now);
}

static void test_many_jobs_in_a_row_are_not_all_to_blame(void **state)
{
	(void)state;
	breaker_success(&sb->breaker, NOW);
	for (int i = 1; i < BREAKER_UNCLEAR_IN_A_ROW; i++)
		assert_false(unclear(i, NOW + 1));
	breaker_success(&sb->breaker, NOW + 1);
	for (int i = 1; i < BREAKER_UNCLEAR_IN_A_ROW; i++)
		assert_false(unclear(i, NOW + 2));
	assert_true(unclear(0, NOW + 2));
	breaker_success(&sb->breaker, NOW + 2);
	for (int i = 0; i < 2 * BREAKER_UNCLEAR_IN_A_ROW; i++)	/* one job, over and again */
		assert_false(unclear(7, NOW + 3));
	assert_true(unclear(7, NOW + 2 + BREAKER_RECENT_MS));
}

static bool useless(int job, int64_t now)
{
	char id[8];

	snprintf(id, sizeof(id), "%d", job);
	return breaker_useless(&sb->breaker, id, now);
}

static void test_answers_of_no_use_to_many_jobs_are_the_raters_fault(void **state)
{
	(void)state;
	for (int i = 1; i < BREAKER_UNCLEAR_IN_A_ROW; i++)
		assert_false(useless(i, NOW));
	assert_true(breaker_answered_lately(&sb->breaker, 0, NOW));
	for (int i = 1; i < BREAKER_UNCLEAR_IN_A_ROW; i++)	/* the same ones, tried again */
		assert_false(useless(i, NOW));
	assert_true(useless(0, NOW));
	assert_true(useless(1, NOW));
	breaker_release(&sb->breaker);
	assert_true(useless(11, NOW));	/* an operator's word is no answer */
	breaker_success(&sb->breaker, NOW);
	assert_false(useless(12, NOW));
}

/* Asked about in turns, in calls that grow smaller and at each attempt again. */
static void test_a_few_bad_jobs_do_not_stop_the_others(void **state)
{
	(void)state;
	breaker_success(&sb->breaker, NOW);
	for (int i = 0; i < 5 * BREAKER_UNCLEAR_IN_A_ROW; i++)
		assert_false(i % 2 ? useless(i % 9, NOW) : unclear(i % 9, NOW));
}

static void test_three_in_a_row_open_it(void **state)
{
	(void)state;
	breaker_success(&sb->breaker, NOW);
	failure(ERR_UNAVAILABLE, 0, NOW);
	failure(ERR_UNAVAILABLE, 0, NOW);
	breaker_success(&sb->breaker, NOW);
	failure(ERR_UNAVAILABLE, 0, NOW);
	failure(ERR_LIMITED, 0, NOW);
	assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_CLOSED);
	assert_int_equal(breaker_wait_ms(&sb->breaker, NOW), 0);
	failure(ERR_LIMITED, 0, NOW);
	assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_OPEN);
	assert_int_equal(atomic_load(&sb->breaker.kind), ERR_LIMITED);
	assert_int_equal(breaker_wait_ms(&sb->breaker, NOW), BREAKER_FIRST_MS);
	assert_int_equal(allowed(NOW + BREAKER_FIRST_MS - 1), 0);
	assert_int_equal(allowed(NOW + BREAKER_FIRST_MS), 1);
	assert_int_equal(breaker_state(&sb->breaker, NOW + BREAKER_FIRST_MS), BREAKER_PROBING);
	assert_true(breaker_wait_ms(&sb->breaker, NOW + BREAKER_FIRST_MS) > 0);
	breaker_success(&sb->breaker, NOW + BREAKER_FIRST_MS);
	assert_int_equal(allowed(NOW + BREAKER_FIRST_MS), 10);
}

static void test_one_opens_it_when_nobody_had_an_answer_lately(void **state)
{
	(void)state;
	failure(ERR_UNAVAILABLE, 0, NOW);
	assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_OPEN);
	breaker_success(&sb->breaker, NOW + BREAKER_FIRST_MS);
	failure(ERR_LIMITED, 0, NOW + BREAKER_FIRST_MS + BREAKER_RECENT_MS - 1);
	assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_CLOSED);
	failure(ERR_LIMITED, 0, NOW + BREAKER_FIRST_MS + BREAKER_RECENT_MS);
	assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_OPEN);
}

static void test_one_that_nobody_explained_does_not(void **state)
{
	struct err err = { .kind = ERR_UNAVAILABLE, .text = "why" };

	(void)state;
	for (int i = 0; i < BREAKER_AFTER_FAILURES; i++) {
		assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_CLOSED);
		breaker_failure(&sb->breaker, &err, false, NOW);
	}
	assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_OPEN);
}

/* One that nobody can place may be what everybody meets with: it shows no sign of life. */
static void test_refusals_are_no_sign_of_life(void **state)
{
	char job[8];

	(void)state;
	for (int i = 1; i < BREAKER_UNCLEAR_IN_A_ROW; i++) {
		snprintf(job, sizeof(job), "%d", i);
		assert_false(breaker_refused(&sb->breaker, job));
		assert_false(breaker_refused(&sb->breaker, job));
	}
	assert_false(breaker_answered_lately(&sb->breaker, 0, NOW));
	assert_true(breaker_refused(&sb->breaker, "0"));
}

static void test_calls_in_flight_make_no_pause_longer(void **state)
{
	(void)state;
	breaker_success(&sb->breaker, NOW);
	for (int i = 0; i < 50; i++)
		failure(ERR_UNAVAILABLE, 0, NOW);
	assert_int_equal(allowed(NOW + BREAKER_FIRST_MS), 1);
	failure(ERR_UNAVAILABLE, 0, NOW + BREAKER_FIRST_MS);
	assert_int_equal(breaker_wait_ms(&sb->breaker, NOW + BREAKER_FIRST_MS),
			 2 * BREAKER_FIRST_MS);
}

static void test_one_denial_opens_it(void **state)
{
	(void)state;
	failure(ERR_DENIED, 0, NOW);
	assert_int_equal(breaker_state(&sb->breaker, NOW), BREAKER_OPEN);
}

/* Other calls were in flight when the limit came; their success is older news. */
static void test_a_pause_asked_for_is_not_cut_short(void **state)
{
	(void)state;
	failure(ERR_LIMITED, 20000, NOW);
	assert_int_equal(breaker_wait_ms(&sb->breaker, NOW), 20000);
	breaker_success(&sb->breaker, NOW + 10);
	failure(ERR_UNAVAILABLE, 0, NOW + 20);
	failure(ERR_LIMITED, 5000, NOW + 30);
	assert_int_equal(breaker_wait_ms(&sb->breaker, NOW + 30), 19970);
	failure(ERR_LIMITED, 30000, NOW + 40);
	assert_int_equal(allowed(NOW + 30039), 0);
	assert_int_equal(allowed(NOW + 30040), 1);
	breaker_success(&sb->breaker, NOW + 30050);
	assert_int_equal(breaker_state(&sb->breaker, NOW + 30050), BREAKER_CLOSED);
}

static void test_an_answer_is_recent_for_as_long_as_one_waited(void **state)
{
	(void)state;
	assert_false(breaker_answered_lately(&sb->breaker, 30000, NOW));
	breaker_success(&sb->breaker, NOW);
	assert_true(breaker_answered_lately(&sb->breaker, 0, NOW + BREAKER_RECENT_MS - 1));
	assert_false(breaker_answered_lately(&sb->breaker, 0, NOW + BREAKER_RECENT_MS));
	assert_true(breaker_answered_lately(&sb->breaker, 30000, NOW + 29999));
	assert_false(breaker_answered_lately(&sb->breaker, 30000, NOW + 30000));
}

static void test_an_operator_may_cut_it_short(void **state)
{
	(void)state;
	failure(ERR_LIMITED, 20000, NOW);
	breaker_release(&sb->breaker);
	assert_int_equal(allowed(NOW + 1), 10);
	breaker_success(&sb->breaker, NOW + 2);
	assert_int_equal(breaker_state(&sb->breaker, NOW + 2), BREAKER_CLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_many_jobs_in_a_row_are_not_all_to_blame, setup),
		cmocka_unit_test_setup(test_answers_of_no_use_to_many_jobs_are_the_raters_fault,
				       setup),
		cmocka_unit_test_setup(test_a_few_bad_jobs_do_not_stop_the_others, setup),
		cmocka_unit_test_setup(test_three_in_a_row_open_it, setup),
		cmocka_unit_test_setup(test_one_opens_it_when_nobody_had_an_answer_lately, setup),
		cmocka_unit_test_setup(test_one_that_nobody_explained_does_not, setup),
		cmocka_unit_test_setup(test_refusals_are_no_sign_of_life, setup),
		cmocka_unit_test_setup(test_calls_in_flight_make_no_pause_longer, setup),
		cmocka_unit_test_setup(test_one_denial_opens_it, setup),
		cmocka_unit_test_setup(test_a_pause_asked_for_is_not_cut_short, setup),
		cmocka_unit_test_setup(test_an_answer_is_recent_for_as_long_as_one_waited, setup),
		cmocka_unit_test_setup(test_an_operator_may_cut_it_short, setup),
	};

	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
