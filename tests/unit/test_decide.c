/* decide.c: what becomes of a job when some of its calls bring nothing. */
#include "grading_fixture.h"

static void test_all_rated(void **state)
{
	(void)state;
	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_RATED);
	check_end("completed", false, NULL);
	assert_non_null(strstr(g->settlement.result, "\"outcomes\":{\"rated\":2}"));
	assert_null(strstr(g->settlement.result, "unrated"));
}

static void test_unrated_lines_are_tried_again(void **state)
{
	(void)state;
	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_EMPTY);
	check_end("pending", true, "no rating for lines 0, 1 (the reply is empty); attempt 1 of 3, "
		  "it will be tried again");
	assert_in_range(g->settlement.delay_ms, 1, 2000);
	assert_non_null(strstr(g->settlement.result, "\"outcomes\":{\"empty\":2}"));
}

static void test_at_the_end_the_unrated_are_named_and_the_rated_kept(void **state)
{
	(void)state;
	begin(3, 2, 3);
	answer_all(asked[1], OUTCOME_NOT_JSON);
	answer_all(asked[0], OUTCOME_RATED);
	answer_error(asked[2], ERR_RETRY, 0, "it broke");
	check_end("completed", true, "no rating for lines 1 (the reply is not JSON), 2 (it broke); "
		  "that was attempt 3 of 3");
	assert_int_equal(g->nfailed, 2);
	assert_non_null(strstr(g->settlement.result,
			       "\"unrated\":[{\"line\":1,\"outcome\":\"not_json\",\"why\":"));
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 1);
}

static void test_nothing_rated_fails(void **state)
{
	(void)state;
	begin(1, 2, 3);
	answer_all(asked[0], OUTCOME_MISSING);
	check_end("failed", true, "no rating for line 0 (the reply left the line out); "
		  "that was attempt 3 of 3");
}

/* What was refused alone will be refused again; with neighbours it may have been theirs. */
static void test_only_a_line_alone_is_hopeless(void **state)
{
	static const char words[] = "no rating for line 0 "
				    "(the model or a content filter refused: by policy)";

	(void)state;
	begin(1, 0, 3);
	verdict_refused(asked[0]->verdicts, 1, &g->job.arena, "by policy");
	take(asked[0]);
	check_end("failed", true, words);
	teardown(NULL);

	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_REFUSED);
	check_end("pending", true, "no rating for lines 0, 1 (the model or a content filter "
		  "refused); attempt 1 of 3, it will be tried again");
	teardown(NULL);

	begin(2, 0, 3);
	answer_error(asked[0], ERR_PERMANENT, 0, "it is bad");
	check_end("pending", true, "no rating for lines 0, 1 (it is bad); attempt 1 of 3, "
		  "it will be tried again");
	teardown(NULL);

	config.rater.lines_per_call = 1;
	begin(2, 0, 3);
	answer_error(asked[0], ERR_PERMANENT, 0, "it is bad");
	answer_all(asked[1], OUTCOME_RATED);
	check_end("completed", true, "no rating for line 0 (it is bad)");
	config.rater.lines_per_call = 20;
}

static void test_what_is_outside_the_job_costs_nothing(void **state)
{
	static const enum err_kind kinds[] = { ERR_UNAVAILABLE, ERR_LIMITED, ERR_DENIED };

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		begin(2, 2, 3);
		answer_all(asked[0], OUTCOME_NOT_JSON);
		answer_error(asked[1], kinds[i], 0, "away");
		check_end("pending", false, "away; put back, no attempt counted");
		teardown(NULL);
	}
	begin(1, 2, 3);
	answer_error(asked[0], ERR_UNCLEAR, 0, "odd");
	check_end("pending", false, "odd; put back, no attempt counted");
}

static void test_a_pause_asked_for_is_never_undercut(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		begin(2, 2, 3);
		answer_error(asked[0], ERR_LIMITED, i % 2 ? 20000 : 5000, "slow down");
		answer_error(asked[1], ERR_LIMITED, i % 2 ? 5000 : 20000, "slow down");
		least = g->settlement.delay_ms < least ? g->settlement.delay_ms : least;
		most = g->settlement.delay_ms > most ? g->settlement.delay_ms : most;
		teardown(NULL);
	}
	assert_in_range(least, 20000, 22000);
	assert_in_range(most, 27000, 30000);
	begin(1, 0, 3);
	answer_error(asked[0], ERR_RETRY, 3600000, "later");
	assert_in_range(g->settlement.delay_ms, 120000, 180000);
}

static void test_backoff_grows_with_full_jitter(void **state)
{
	int64_t least, most;

	(void)state;
	for (int attempts = 0; attempts < 12; attempts++) {
		int64_t limit = attempts < 8 ? INT64_C(2000) << attempts : 300000;

		least = INT64_MAX;
		most = 0;
		for (int i = 0; i < 300; i++) {
			begin(1, attempts, 100);
			answer_all(asked[0], OUTCOME_EMPTY);
			least = g->settlement.delay_ms < least ? g->settlement.delay_ms : least;
			most = g->settlement.delay_ms > most ? g->settlement.delay_ms : most;
			teardown(NULL);
		}
		assert_in_range(least, 1, limit / 10);
		assert_in_range(most, limit * 9 / 10, limit);
	}
}

static void test_a_deadline_leaves_what_is_rated(void **state)
{
	struct err err;

	(void)state;
	begin(2, 2, 3);
	answer_all(asked[0], OUTCOME_RATED);
	grading_cancel(g, &rater);
	err_set(&err, ERR_RETRY, "too late");
	grading_decide_for(g, &err, &rater);
	check_end("completed", true, "no rating for line 1 (too late); that was attempt 3 of 3");
}

static void test_a_released_job_goes_back_as_it_was(void **state)
{
	(void)state;
	begin(2, 1, 3);
	g->rater = &rater;
	grading_cancel(g, &rater);
	grading_release(g, NULL, 0);
	grading_check(g);
	check_end("pending", false, NULL);
	assert_null(g->settlement.result);	/* nothing was answered: it stays as it was */
	teardown(NULL);

	begin(2, 1, 3);
	g->rater = &rater;
	answer_all(asked[0], OUTCOME_RATED);
	grading_cancel(g, &rater);
	grading_release(g, "stopping", 500);
	check_end("pending", false, "stopping");
	assert_int_equal(g->settlement.delay_ms, 500);
	assert_non_null(strstr(g->settlement.result, "\"rated\":1"));
}

static void test_what_the_database_refuses_ends_without_ratings(void **state)
{
	(void)state;
	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_RATED);
	assert_true(grading_attach(g));
	grading_attached_done(g, false);
	grading_end_unstorable(g, "value out of range");
	grading_check(g);
	check_end("failed", true, "value out of range");
	assert_null(g->settlement.result);
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 0);
	assert_false(grading_is_first(g));
}

static void test_a_free_retry_is_said(void **state)
{
	(void)state;
	begin(1, 0, 3);
	grading_use_free_retry(g);
	answer_error(asked[0], ERR_UNCLEAR, 0, "odd");
	check_end("pending", false, "odd; put back, no attempt counted");
	assert_non_null(strstr(g->settlement.result, "\"unclear\":1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_rated),
		TEST(test_unrated_lines_are_tried_again),
		TEST(test_at_the_end_the_unrated_are_named_and_the_rated_kept),
		TEST(test_nothing_rated_fails),
		TEST(test_only_a_line_alone_is_hopeless),
		TEST(test_what_is_outside_the_job_costs_nothing),
		TEST(test_a_pause_asked_for_is_never_undercut),
		TEST(test_backoff_grows_with_full_jitter),
		TEST(test_a_deadline_leaves_what_is_rated),
		TEST(test_a_released_job_goes_back_as_it_was),
		TEST(test_what_the_database_refuses_ends_without_ratings),
		TEST(test_a_free_retry_is_said),
	};

	return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
