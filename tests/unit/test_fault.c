/* fault.c: whose fault it is that a call brought nothing. */
#include "worker_parts.h"

#include "worker/fault.h"

static struct grading *g;

/* A call about a line of a new job, as it went out. */
static struct ask *call(void)
{
	g = add_job(jobs.n + 1, 900, "a line");
	grading_end_lookup(g);
	grading_ask(g, &rater);
	return asked[nasked - 1];
}

static struct ask *answered(enum outcome outcome)
{
	struct ask *ask = call();

	verdict_all(ask->verdicts, ask->nlines, outcome);
	ask->used.calls = 1;
	return ask;
}

static struct ask *failed(enum err_kind kind)
{
	struct ask *ask = call();

	ask_fail(ask, kind, "it broke");
	ask->used.calls = 1;
	return ask;
}

static void others_got_answers(void)
{
	breaker_success(&sb->breaker, now_ms());
}

static void test_answers_show_that_the_rater_works(void **state)
{
	struct ask *ask = answered(OUTCOME_REFUSED);

	(void)state;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_NONE);
	ask = failed(ERR_PERMANENT);
	ask->about_lines = true;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_NONE);
	assert_int_equal(ask->err->kind, ERR_PERMANENT);
}

static void test_answers_of_no_use(void **state)
{
	struct ask *ask = answered(OUTCOME_NOT_JSON);

	(void)state;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_USELESS);
	g->job.attempts = 1;		/* it has met with such before: that tells nothing new */
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_ALIVE);
	assert_int_equal(fault_of_rater(&ctx, ask, true), FAULT_USELESS);
}

static void test_what_was_not_asked_says_nothing(void **state)
{
	struct ask *ask = answered(OUTCOME_EMPTY);

	(void)state;
	ask->used.calls = 0;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
	ask->used.calls = 1;
	ask->silent = true;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
}

static void test_the_providers_condition_is_outside(void **state)
{
	static const enum err_kind kinds[] = { ERR_UNAVAILABLE, ERR_LIMITED, ERR_DENIED };

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct ask *ask = failed(kinds[i]);

		assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_OUTSIDE);
		assert_int_equal(ask->err->kind, kinds[i]);
	}
}

static void test_unclear_while_nobody_gets_answers_is_outside(void **state)
{
	struct ask *ask = failed(ERR_UNCLEAR);

	(void)state;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_SILENCE);
	assert_int_equal(ask->err->kind, ERR_UNAVAILABLE);
	assert_false(g->used_free_retry);
}

static struct ask *refused(void)
{
	struct ask *ask = failed(ERR_PERMANENT);

	rater.metered = true;
	ask->unplaced = true;
	return ask;
}

/* Everybody may meet with it, so a control is to tell before an attempt counts. */
static void test_a_refusal_that_nobody_can_place(void **state)
{
	struct ask *ask = refused();

	(void)state;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNPLACED);
	assert_int_equal(fault_of_rater(&ctx, ask, true), FAULT_UNPLACED);
	g->job.attempts = 1;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNPLACED);
	assert_int_equal(ask->err->kind, ERR_PERMANENT);
	g->calls.controlled = true;	/* which was well: so it is about these lines */
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_REFUSED);
	ask = refused();
	others_got_answers();		/* before the credit ended, perhaps */
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNPLACED);
	assert_int_equal(ask->err->kind, ERR_PERMANENT);
}

static void test_a_control_that_is_refused_blames_no_job(void **state)
{
	struct ask *ask = refused();

	(void)state;
	ask->control = true;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_OUTSIDE);
	assert_int_equal(ask->err->kind, ERR_DENIED);
	assert_non_null(strstr(ask->err->text, "it broke; it refuses a harmless line, too"));
}

static struct ask *denied_by_a_filter(void)
{
	struct ask *ask = failed(ERR_DENIED);

	rater.metered = true;
	ask->filtered = true;
	return ask;
}

/* A firewall refuses what a line says with the status of an account that is denied. */
static void test_a_denial_that_others_do_not_meet_is_doubted(void **state)
{
	struct ask *ask = denied_by_a_filter();

	(void)state;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_OUTSIDE);
	assert_int_equal(ask->err->kind, ERR_DENIED);
	others_got_answers();
	ask = failed(ERR_DENIED);	/* one that says what is wrong with the account */
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_OUTSIDE);
	ask = denied_by_a_filter();
	ask->control = true;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_OUTSIDE);
	ask = denied_by_a_filter();
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
	assert_int_equal(ask->err->kind, ERR_UNCLEAR);
	assert_non_null(strstr(ask->err->text, "it broke; others get answers"));
	ask = denied_by_a_filter();
	g->free_retries = GRADING_FREE_DOUBTS;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
	assert_int_equal(ask->err->kind, ERR_RETRY);
}

/* Since an answer, ten different jobs: then it is the key after all. */
static void test_a_denial_of_ten_jobs_is_everybodys(void **state)
{
	struct ask *ask = NULL;

	(void)state;
	others_got_answers();
	for (int i = 0; i < BREAKER_UNCLEAR_IN_A_ROW; i++) {
		assert_true(!ask || ask->err->kind == ERR_UNCLEAR);
		ask = denied_by_a_filter();
		fault_of_rater(&ctx, ask, false);
	}
	assert_int_equal(ask->err->kind, ERR_DENIED);
}

/* Twice free of charge; then, while others get answers, its attempts count. */
static void test_unclear_while_others_get_answers_is_doubted(void **state)
{
	struct ask *ask;

	(void)state;
	others_got_answers();
	ask = failed(ERR_UNCLEAR);
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
	assert_int_equal(ask->err->kind, ERR_UNCLEAR);
	assert_true(g->used_free_retry);
	ask = failed(ERR_UNCLEAR);
	g->free_retries = GRADING_FREE_DOUBTS;
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
	assert_int_equal(ask->err->kind, ERR_RETRY);
}

static void test_a_call_that_its_deadline_ended_says_nothing_of_the_rater(void **state)
{
	struct ask *ask;

	(void)state;
	others_got_answers();
	ask = failed(ERR_UNCLEAR);
	ask->deadline_ms = now_ms();
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
	assert_int_equal(ask->err->kind, ERR_RETRY);
	assert_non_null(strstr(ask->err->text, "within 1m of the claim"));
	ask = failed(ERR_UNCLEAR);
	ask->deadline_ms = now_ms();
	g->flight.waited = true;	/* much of its time went by in waiting */
	assert_int_equal(fault_of_rater(&ctx, ask, false), FAULT_UNSAID);
	assert_int_equal(ask->err->kind, ERR_UNCLEAR);
}

static void test_the_fallback(void **state)
{
	struct ask *ask = answered(OUTCOME_EMPTY);

	(void)state;
	ctx.fallback = &fallback;
	assert_int_equal(fault_of_fallback(&ctx, ask), FAULT_NONE);
	ask = failed(ERR_UNCLEAR);
	assert_int_equal(fault_of_fallback(&ctx, ask), FAULT_OUTSIDE);
	assert_int_equal(ask->err->kind, ERR_UNAVAILABLE);
	ask = failed(ERR_UNCLEAR);
	ask->deadline_ms = now_ms();
	assert_int_equal(fault_of_fallback(&ctx, ask), FAULT_UNSAID);
	assert_int_equal(fault_of_fallback(&ctx, failed(ERR_PERMANENT)), FAULT_NONE);
}

static void test_the_rater_is_blamed_with_its_last_words(void **state)
{
	struct ask *ask = answered(OUTCOME_NOT_JSON);

	(void)state;
	fault_blame_rater(&rater, ask);
	assert_int_equal(ask->err->kind, ERR_DENIED);
	assert_non_null(strstr(ask->err->text, "10 jobs in a row"));
	assert_non_null(strstr(ask->err->text, outcome_words(OUTCOME_NOT_JSON)));
	assert_non_null(strstr(ask->err->text, fake_ops.advice));
}

/*
 * A job that was put back three times without an attempt counted, and no answer to anybody since.
 */
static void test_a_suspect_is_preceded_by_a_control(void **state)
{
	(void)state;
	rater.metered = true;
	g = add_job(1, 900, "a line");
	grading_end_lookup(g);
	assert_false(fault_needs_control(&ctx, g, false));
	g->job.times_claimed = GRADING_FREE_CLAIMS + 1;
	assert_true(fault_needs_control(&ctx, g, false));
	others_got_answers();
	assert_false(fault_needs_control(&ctx, g, false));
	breaker_unclear(&sb->breaker, "another job", 0, now_ms());
	assert_true(fault_needs_control(&ctx, g, true));
	g->rater = &fallback;
	assert_false(fault_needs_control(&ctx, g, true));
	g->rater = &rater;
	grading_ask_control(g, &rater);
	assert_false(fault_needs_control(&ctx, g, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_answers_show_that_the_rater_works),
		PARTS_TEST(test_answers_of_no_use),
		PARTS_TEST(test_what_was_not_asked_says_nothing),
		PARTS_TEST(test_the_providers_condition_is_outside),
		PARTS_TEST(test_unclear_while_nobody_gets_answers_is_outside),
		PARTS_TEST(test_a_refusal_that_nobody_can_place),
		PARTS_TEST(test_a_control_that_is_refused_blames_no_job),
		PARTS_TEST(test_a_denial_that_others_do_not_meet_is_doubted),
		PARTS_TEST(test_a_denial_of_ten_jobs_is_everybodys),
		PARTS_TEST(test_unclear_while_others_get_answers_is_doubted),
		PARTS_TEST(test_a_call_that_its_deadline_ended_says_nothing_of_the_rater),
		PARTS_TEST(test_the_fallback),
		PARTS_TEST(test_the_rater_is_blamed_with_its_last_words),
		PARTS_TEST(test_a_suspect_is_preceded_by_a_control),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
