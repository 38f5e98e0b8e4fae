/* graded_line.c: every step of a line from every state, taken or refused. */
#include "grading_fixture.h"

static const struct settle_line rating = { .rating = "good" };

static bool ask(struct graded_line *gl)
{
	return line_ask(gl);
}

static bool rate(struct graded_line *gl)
{
	return line_rate(gl, &rating);
}

static bool leave_unrated(struct graded_line *gl)
{
	return line_leave_unrated(gl, OUTCOME_EMPTY, "why");
}

static bool find_stored(struct graded_line *gl)
{
	return line_find_stored(gl);
}

static bool end_stored(struct graded_line *gl)
{
	return line_end_sending(gl, true);
}

static bool end_in_doubt(struct graded_line *gl)
{
	return line_end_sending(gl, false);
}

static bool wait_in_flight(struct graded_line *gl)
{
	return line_wait(gl, flight);
}

static bool explain(struct graded_line *gl)
{
	return line_explain(gl, "why");
}

#define X -1	/* refused */

/*
 * From OPEN, WAITING, ASKED, UNRATED, RATED, IN_DOUBT, SENT, STORED each step leads where the row
 * says.
 */
static const struct step {
	bool (*take)(struct graded_line *gl);
	int leads_to[LINE_STATES];
} steps[] = {
	{ ask, { LINE_ASKED, X, X, X, X, X, X, X } },
	{ rate, { LINE_RATED, LINE_RATED, LINE_RATED, X, X, X, X, X } },
	{ leave_unrated, { LINE_UNRATED, X, LINE_UNRATED, X, X, X, X, X } },
	{ line_reopen, { X, X, LINE_OPEN, LINE_OPEN, X, X, X, X } },
	{ line_send, { X, X, X, X, LINE_SENT, LINE_SENT, X, X } },
	{ end_stored, { X, X, X, X, X, X, LINE_STORED, X } },
	{ end_in_doubt, { X, X, X, X, X, X, LINE_IN_DOUBT, X } },
	{ find_stored, { LINE_STORED, X, X, X, LINE_STORED, X, X, X } },
	{ wait_in_flight, { LINE_WAITING, X, X, X, X, X, X, X } },
	{ line_stop_waiting, { X, LINE_OPEN, X, X, X, X, X, X } },
	{ explain, { LINE_OPEN, LINE_WAITING, LINE_ASKED, X, X, X, X, X } },
};

/* A new job's first line, brought to this state. */
static struct graded_line *line_in(enum line_state state)
{
	struct graded_line *gl;

	teardown(NULL);
	keyed = true;
	make(2, 0, 3, 0);
	gl = &g->lines[0];
	if (state == LINE_WAITING)
		wait_in_flight(gl);
	if (state == LINE_ASKED || state == LINE_UNRATED)
		ask(gl);
	if (state == LINE_UNRATED)
		leave_unrated(gl);
	if (state > LINE_UNRATED)
		rate(gl);
	if (state > LINE_RATED)
		line_send(gl);
	if (state == LINE_IN_DOUBT || state == LINE_STORED)
		line_end_sending(gl, state == LINE_STORED);
	assert_int_equal(gl->state, state);
	return gl;
}

static void test_every_step_from_every_state(void **state)
{
	(void)state;
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
		for (int from = LINE_OPEN; from < LINE_STATES; from++) {
			struct graded_line *gl = line_in((enum line_state)from), was = *gl;
			int to = steps[s].leads_to[from];

			assert_int_equal(steps[s].take(gl), to >= 0);
			assert_int_equal(gl->state, to >= 0 ? to : from);
			if (to < 0)
				assert_memory_equal(gl, &was, sizeof(was));
			assert_int_equal(g->flight.nwaiting, gl->state == LINE_WAITING);
			assert_int_equal(g->flight.nlines, gl->flight != NULL);
		}
}

static void test_outcome_and_predicates_follow_the_state(void **state)
{
	(void)state;
	for (int at = LINE_OPEN; at < LINE_STATES; at++) {
		struct graded_line *gl = line_in((enum line_state)at);
		enum outcome outcome = at < LINE_UNRATED ? OUTCOME_PENDING :
				       at == LINE_UNRATED ? OUTCOME_EMPTY : OUTCOME_RATED;

		assert_int_equal(gl->outcome, outcome);
		assert_int_equal(line_is_open(gl), at == LINE_OPEN);
		assert_int_equal(line_is_waiting(gl), at == LINE_WAITING);
		assert_int_equal(line_is_pending(gl), outcome == OUTCOME_PENDING);
		assert_int_equal(line_is_rated(gl), outcome == OUTCOME_RATED);
		assert_int_equal(line_is_to_be_stored(gl), at == LINE_RATED || at == LINE_IN_DOUBT);
		assert_int_equal(line_is_stored(gl), at == LINE_STORED);
	}
}

/* The rater who is asked next knows nothing of what the last one said. */
static void test_a_line_that_is_open_again_is_pending(void **state)
{
	struct graded_line *gl = line_in(LINE_UNRATED);

	(void)state;
	assert_true(line_reopen(gl));
	assert_int_equal(gl->outcome, OUTCOME_PENDING);
	assert_true(line_is_open(gl));
}

static void test_a_line_that_ceases_to_wait_makes_its_job_ready(void **state)
{
	struct graded_line *gl = line_in(LINE_WAITING);

	(void)state;
	assert_false(grading_take_ready(g));
	assert_true(line_stop_waiting(gl));
	assert_true(grading_take_ready(g));
	assert_false(grading_take_ready(g));
	assert_false(wait_in_flight(gl));		/* it is asked about for those who wait */
	assert_int_equal(g->flight.nlines, 1);
	line_leave_flight(gl);
	line_leave_flight(gl);
	assert_int_equal(g->flight.nlines, 0);
	assert_true(wait_in_flight(gl));

	assert_true(rate(gl));				/* by whom it waited for */
	assert_true(grading_take_ready(g));
	assert_false(line_stop_waiting(gl));
	assert_int_equal(g->flight.nwaiting, 0);
	assert_ptr_equal(gl->flight, flight);
	assert_false(g->flight.waited);
	grading_note_wait(g);
	assert_true(g->flight.waited);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_step_from_every_state),
		TEST(test_outcome_and_predicates_follow_the_state),
		TEST(test_a_line_that_is_open_again_is_pending),
		TEST(test_a_line_that_ceases_to_wait_makes_its_job_ready),
	};

	return cmocka_run_group_tests_name("graded_line", tests, NULL, NULL);
}
