/*
 * grading_check.c: each thing that must be true of a job is missed when it is not. The file is
 * compiled in here, with invariants on; a child dies of each fault.
 */
#ifndef CHECK_INVARIANTS
#define CHECK_INVARIANTS
#endif
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "grading/grading_check.c"

#include "grading_fixture.h"

/* Whether the job as it is now is found at fault. */
static bool is_at_fault(void)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		grading_check(g);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == 1;
}

/* The fault is planted, seen, and taken back. */
#define IS_FAULT(field, value) do { \
	__typeof__(field) was = (field); \
	(field) = (value); \
	assert_true(is_at_fault()); \
	(field) = was; \
	assert_false(is_at_fault()); \
} while (0)

/* Five lines: one waits, one is rated, the others are in calls. */
static void begin_mixed(void)
{
	config.rater.lines_per_call = 1;
	start_with_waiting(5, 1, 1);
	answer_all(asked[0], OUTCOME_RATED);
	config.rater.lines_per_call = 20;
	assert_false(is_at_fault());
}

static void test_faults_of_lines(void **state)
{
	(void)state;
	begin_mixed();
	IS_FAULT(g->lines[0].owner, NULL);
	IS_FAULT(g->lines[0].line, NULL);
	IS_FAULT(g->lines[0].outcome, OUTCOME_PENDING);
	IS_FAULT(g->lines[0].outcome, OUTCOME_EMPTY);
	IS_FAULT(g->lines[0].store.rating, NULL);
	IS_FAULT(g->lines[2].outcome, OUTCOME_RATED);
	IS_FAULT(g->lines[2].state, LINE_UNRATED);
	IS_FAULT(g->lines[2].state, LINE_STATES);
	IS_FAULT(g->lines[1].flight, NULL);
	IS_FAULT(g->lines[2].flight, flight);
	IS_FAULT(g->flight.nlines, 2);
	IS_FAULT(g->flight.nwaiting, 0);
	IS_FAULT(g->cached, 6);
	IS_FAULT(g->keyed, false);
}

static void test_faults_of_calls(void **state)
{
	(void)state;
	begin_mixed();
	IS_FAULT(g->calls.nopen, 2);
	IS_FAULT(g->calls.n, 3);
	IS_FAULT(g->calls.nstarted, 5);
	IS_FAULT(g->calls.asks[1], NULL);
	IS_FAULT(g->calls.asks[0], g->calls.asks[1]);
	IS_FAULT(g->lines[2].state, LINE_OPEN);		/* though a call is about it */
}

static void test_faults_of_the_phase(void **state)
{
	(void)state;
	begin_mixed();
	IS_FAULT(g->phase, GRADING_LOOKUP);
	IS_FAULT(g->phase, GRADING_HELD_BACK);
	IS_FAULT(g->phase, GRADING_DECIDED);
	answer_all(asked[1], OUTCOME_RATED);
	answer_all(asked[2], OUTCOME_RATED);
	answer_all(asked[3], OUTCOME_RATED);
	assert_true(grading_is_decided(g));
	assert_false(is_at_fault());
	IS_FAULT(g->settlement.status, NULL);
}

static void test_faults_of_the_settlement(void **state)
{
	(void)state;
	begin_mixed();
	IS_FAULT(g->lines[0].state, LINE_SENT);
	assert_true(grading_attach(g));
	assert_false(is_at_fault());
	IS_FAULT(g->settle.under_way, false);
	IS_FAULT(g->settlement.nlines, 2);
	IS_FAULT(g->lines[0].state, LINE_STORED);
	IS_FAULT(g->settle.last, true);
	IS_FAULT(g->settle.refused, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_faults_of_lines),
		TEST(test_faults_of_calls),
		TEST(test_faults_of_the_phase),
		TEST(test_faults_of_the_settlement),
	};

	return cmocka_run_group_tests_name("grading_check", tests, NULL, NULL);
}
