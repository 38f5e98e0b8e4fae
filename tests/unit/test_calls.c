/* calls.c: how a job is split into calls, and which of them go out when. */
#include "grading_fixture.h"

static void check_calls(int n, int attempts, int max_attempts, size_t calls, size_t first)
{
	begin(n, attempts, max_attempts);
	assert_int_equal(g->calls.n, calls);
	assert_int_equal(asked[0]->nlines, first);
	teardown(NULL);
}

static void test_the_last_attempt_asks_line_by_line(void **state)
{
	(void)state;
	check_calls(5, 0, 3, 1, 5);
	check_calls(5, 1, 3, 2, 3);
	check_calls(5, 2, 3, 5, 1);
	check_calls(5, 7, 3, 5, 1);
	check_calls(5, 0, 1, 1, 5);
	check_calls(5, 0, 0, 1, 5);
	check_calls(5, 1, 2, 5, 1);
	check_calls(40, 0, 10, 2, 20);
	check_calls(40, 1, 10, 4, 10);
	check_calls(40, 4, 10, 20, 2);
	check_calls(40, 5, 10, 40, 1);
	check_calls(199, 2, 3, 199, 1);
	check_calls(1000, 0, 3, 50, 20);
	check_calls(1000, 2, 3, 100, 10);
	check_calls(5000, 2, 3, 250, 20);	/* lines_per_call stays the limit */
}

static void test_calls_not_sent_yet_stay_unsent_when_the_provider_is_away(void **state)
{
	(void)state;
	config.rater.lines_per_call = 1;
	begin(10, 0, 3);
	assert_int_equal(nasked, 4);
	answer_all(asked[0], OUTCOME_RATED);
	assert_int_equal(nasked, 5);
	answer_error(asked[1], ERR_LIMITED, 1000, "slow down");
	answer_all(asked[2], OUTCOME_RATED);
	answer_all(asked[3], OUTCOME_RATED);
	assert_false(grading_is_decided(g));
	answer_all(asked[4], OUTCOME_RATED);
	assert_int_equal(nasked, 5);
	check_end("pending", false, "slow down; put back, no attempt counted");
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 4);
	config.rater.lines_per_call = 20;
}

static int let_out;

static bool gate(void *arg, struct ask *ask)
{
	assert_ptr_equal(arg, &let_out);
	assert_non_null(ask);
	assert_ptr_equal(ask->owner, g);
	return let_out-- > 0;
}

/* Whatever line spoils the first call, the others come first at another time. */
static void test_calls_wait_to_be_let_out_and_take_turns(void **state)
{
	(void)state;
	config.rater.lines_per_call = 1;
	rater.gate = gate;
	rater.gate_arg = &let_out;
	for (int put_back = 0; put_back < 6; put_back++) {
		let_out = 1;
		begin_again(3, 0, 3, put_back);
		assert_int_equal(nasked, 1);
		assert_int_equal(asked[0]->lines[0]->index, (3 - put_back % 3) % 3);
		assert_int_equal(grading_calls_open(g), 1);
		assert_false(grading_got_on(g));
		let_out = 0;
		answer_all(asked[0], OUTCOME_RATED);
		assert_int_equal(grading_calls_open(g), 0);
		assert_int_equal(g->calls.nopen, 2);
		assert_true(grading_got_on(g));
		let_out = 2;
		grading_ask_more(g, &rater);
		assert_int_equal(nasked, 3);
		assert_int_equal(grading_calls_open(g), 2);
		teardown(NULL);
	}
	rater.gate = NULL;
	config.rater.lines_per_call = 20;
}

/*
 * Lines that wait for others are left out, and asked about in a call of their own once they wait
 * no more.
 */
static void test_waiting_lines_are_not_asked(void **state)
{
	(void)state;
	start_with_waiting(5, 1, 3);
	assert_int_equal(nasked, 1);
	assert_int_equal(asked[0]->nlines, 3);
	assert_int_equal(grading_open_lines(g), 0);
	assert_true(line_stop_waiting(&g->lines[1]));
	assert_true(line_stop_waiting(&g->lines[3]));
	assert_int_equal(grading_open_lines(g), 2);
	grading_ask(g, &rater);
	assert_int_equal(g->calls.n, 2);
	assert_int_equal(g->calls.nopen, 2);
	assert_int_equal(asked[1]->nlines, 2);
	assert_int_equal(asked[1]->lines[0]->index, 1);
	assert_int_equal(asked[1]->lines[1]->index, 3);
	grading_ask(g, &rater);
	assert_int_equal(nasked, 2);
	answer_all(asked[1], OUTCOME_RATED);
	assert_false(grading_is_decided(g));
	answer_all(asked[0], OUTCOME_RATED);
	check_end("completed", false, NULL);
}

static void test_lines_put_off_cost_nothing_and_leave_calls_alone(void **state)
{
	struct err err;

	(void)state;
	start_with_waiting(3, 2, 2);
	assert_true(line_stop_waiting(&g->lines[2]));
	err_set(&err, ERR_UNAVAILABLE, "nobody there");
	err.after_ms = 1000;
	grading_put_off(g, &err);
	assert_int_equal(grading_open_lines(g), 0);
	assert_int_equal(g->calls.nopen, 1);
	assert_false(grading_is_decided(g));
	answer_all(asked[0], OUTCOME_RATED);
	check_end("pending", false, "nobody there; put back, no attempt counted");
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 2);
}

static void test_one_by_one_lets_one_call_out(void **state)
{
	(void)state;
	config.rater.lines_per_call = 1;
	make(6, 0, 3, 0);
	grading_ask_one_by_one(g, true);
	grading_ask(g, &rater);
	assert_int_equal(nasked, 1);
	answer_all(asked[0], OUTCOME_RATED);
	assert_int_equal(nasked, 2);
	grading_ask_one_by_one(g, false);
	grading_ask_more(g, &rater);
	assert_int_equal(grading_calls_open(g), GRADING_CALLS_AT_ONCE);
	config.rater.lines_per_call = 20;
}

/* What the first rater could not be asked about another one is, as if nobody had been. */
static void test_what_is_open_is_handed_over(void **state)
{
	struct rater other = rater;

	(void)state;
	config.rater.lines_per_call = 1;
	make(7, 0, 3, 0);
	grading_ask(g, &rater);
	answer_all(asked[0], OUTCOME_RATED);
	ask_fail(asked[1], ERR_UNAVAILABLE, "away");
	grading_take_answer(g, asked[1], &rater, false);
	for (int i = 2; i < 5; i++) {
		verdict_all(asked[i]->verdicts, 1, OUTCOME_MISSING);
		grading_take_answer(g, asked[i], &rater, false);
	}
	assert_int_equal(g->calls.nopen, 0);
	assert_int_equal(grading_open_lines(g), 0);
	nasked = 0;
	grading_hand_over(g, &other);
	grading_check(g);
	assert_ptr_equal(g->rater, &other);
	assert_null(g->err);
	assert_int_equal(grading_open_lines(g), 6);
	grading_ask(g, &other);
	assert_int_equal(nasked, 4);
	assert_ptr_equal(asked[0]->lines[0], g->lines[1].line);
	config.rater.lines_per_call = 20;
}

static void test_a_control_is_about_no_line_of_the_job(void **state)
{
	(void)state;
	make(2, 0, 3, 0);
	grading_ask_control(g, &rater);
	grading_check(g);
	assert_int_equal(nasked, 1);
	assert_true(asked[0]->control);
	assert_int_equal(ask_job_lines(asked[0]), 0);
	assert_int_equal(grading_open_lines(g), 2);
	verdict_all(asked[0]->verdicts, 1, OUTCOME_EMPTY);
	grading_take_answer(g, asked[0], &rater, false);
	assert_int_equal(grading_open_lines(g), 2);
	assert_null(g->err);

	grading_ask_control(g, &rater);
	ask_fail(asked[1], ERR_UNCLEAR, "odd");
	grading_take_answer(g, asked[1], &rater, false);
	grading_check(g);
	assert_int_equal(grading_open_lines(g), 0);
	assert_int_equal(g->lines[0].state, LINE_UNRATED);
	assert_int_equal(g->err->kind, ERR_UNCLEAR);
}

static void test_cancelled_calls_are_readable_and_count(void **state)
{
	(void)state;
	config.rater.lines_per_call = 1;
	begin(5, 0, 3);
	asked[0]->used.calls = 1;
	asked[1]->used.calls = 1;
	answer_all(asked[0], OUTCOME_RATED);
	grading_cancel(g, &rater);
	assert_int_equal(grading_calls_open(g), 0);
	assert_int_equal(g->calls.nopen, 0);
	assert_null(g->calls.asks[0]);
	assert_int_equal(g->calls.asks[1]->err->kind, ERR_RETRY);
	assert_null(g->calls.asks[2]->err);
	assert_int_equal(g->used.calls, 2);
	assert_int_equal(g->outcomes[OUTCOME_FAILED], 1);
	assert_int_equal(grading_open_lines(g), 0);	/* this claim does not ask again */
	grading_check(g);
	config.rater.lines_per_call = 20;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_last_attempt_asks_line_by_line),
		TEST(test_calls_not_sent_yet_stay_unsent_when_the_provider_is_away),
		TEST(test_calls_wait_to_be_let_out_and_take_turns),
		TEST(test_waiting_lines_are_not_asked),
		TEST(test_lines_put_off_cost_nothing_and_leave_calls_alone),
		TEST(test_one_by_one_lets_one_call_out),
		TEST(test_what_is_open_is_handed_over),
		TEST(test_a_control_is_about_no_line_of_the_job),
		TEST(test_cancelled_calls_are_readable_and_count),
	};

	return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
