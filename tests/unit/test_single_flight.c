/* single_flight.c: which of a worker's equal lines is asked about, and which wait for it. */
#include "worker_parts.h"

/* The look has found that this worker leads; the first of those who wait is asked about. */
static struct grading *lead(struct grading *g)
{
	flights_lead(&flights, flight_of(g));
	flights_next_asker(&flights, flight_of(g));
	grading_ask(g, &rater);
	g->flight.ready = false;
	return g;
}

static void answer(struct grading *g, enum outcome outcome)
{
	struct ask *ask;

	call_rated(&rater, asked[nasked - 1], outcome);
	ask = rater_next_done(&rater);
	grading_take_answer(g, ask, &rater, true);
	flights_answered(&flights, g, ask->err);
}

static void test_nobody_is_asked_about_before_it_is_known_who_leads(void **state)
{
	struct grading *g = join(1, "same");

	(void)state;
	assert_int_equal(flights.nwaiting, 1);
	assert_int_equal(flights.nothers, 1);
	assert_true(flights_undecided(g));
	assert_int_equal(grading_open_lines(g), 0);
	lead(g);
	assert_false(flights_undecided(g));
	assert_int_equal(flights.nothers, 0);
	assert_int_equal(nasked, 1);
}

static void test_equal_lines_share_one_flight_and_one_call(void **state)
{
	struct grading *one = join(1, "same"), *two = join(2, "same"),
		       *other = join(3, "different");

	(void)state;
	assert_ptr_equal(flight_of(one), flight_of(two));
	assert_ptr_not_equal(flight_of(one), flight_of(other));
	lead(one);
	assert_int_equal(flights.nwaiting, 2);
	flights_take_ready(&flights);
	answer(one, OUTCOME_RATED);
	assert_true(line_is_rated(&two->lines[0]));
	assert_string_equal(two->lines[0].store.rating, "good");
	assert_true(two->lines[0].store.cached);
	assert_true(two->flight.ready);
	assert_true(flights_take_ready(&flights));
	assert_false(flights_take_ready(&flights));
	assert_int_equal(counted(COUNTER_CACHE_SHARED), 1);
	assert_true(line_is_waiting(&other->lines[0]));
}

/* Whoever comes between the answer and its storing has the rating when that is stored. */
static void test_who_comes_after_the_answer_has_it_when_it_is_stored(void **state)
{
	struct grading *one = lead(join(1, "same")), *late;

	(void)state;
	answer(one, OUTCOME_RATED);
	late = join(2, "same");
	assert_true(line_is_waiting(&late->lines[0]));
	assert_true(grading_attach(one));
	grading_attached_done(one, true);
	flights_stored(&flights, one);
	assert_true(line_is_rated(&late->lines[0]));
	assert_null(flight_of(one));
	assert_false(TAILQ_EMPTY(&flights.over));	/* the database is to be told */
}

static void test_a_failed_call_sets_all_free_who_waited(void **state)
{
	struct grading *one = lead(join(1, "same")), *two = join(2, "same");

	(void)state;
	answer(one, OUTCOME_NOT_JSON);
	assert_true(line_is_open(&two->lines[0]));
	assert_true(two->flight.waited);
	assert_int_equal(TAILQ_FIRST(&flights.over)->state, FLIGHT_FAILED);
}

static void test_a_failure_from_outside_leaves_the_phrase_to_the_next(void **state)
{
	struct grading *one = lead(join(1, "same")), *two = join(2, "same");
	struct ask *ask = asked[0];

	(void)state;
	call_failed(&rater, ask, ERR_UNAVAILABLE);
	ask = rater_next_done(&rater);
	grading_take_answer(one, ask, &rater, true);
	flights_answered(&flights, one, ask->err);
	assert_true(line_is_open(&two->lines[0]));
	assert_ptr_equal(flight_of(two)->asker, &two->lines[0]);
	assert_false(two->flight.waited);
}

static void test_a_job_that_leaves_hands_its_flight_on(void **state)
{
	struct grading *one = lead(join(1, "same")), *two = join(2, "same");

	(void)state;
	grading_cancel(one, &rater);
	flights_leave(&flights, one, true);
	assert_int_equal(one->flight.nlines, 0);
	assert_ptr_equal(flight_of(two)->asker, &two->lines[0]);
	flights_leave(&flights, two, true);
	assert_null(flight_of(two));
	assert_int_equal(flights.nwaiting, 0);
}

static void test_nobody_waits_beyond_half_of_his_time(void **state)
{
	struct grading *g = join(1, "same");
	int64_t half = g->claimed_ms + (g->deadline_ms - g->claimed_ms) / 2;

	(void)state;
	assert_false(flights_is_impatient(g, half - 1));
	assert_int_equal(flights_lose_patience(&flights, half - 1), 1);
	assert_true(line_is_waiting(&g->lines[0]));
	assert_int_equal(flights_lose_patience(&flights, half), -1);
	assert_true(line_is_open(&g->lines[0]));
	assert_true(g->flight.waited);
	assert_null(flight_of(g));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_nobody_is_asked_about_before_it_is_known_who_leads),
		PARTS_TEST(test_equal_lines_share_one_flight_and_one_call),
		PARTS_TEST(test_who_comes_after_the_answer_has_it_when_it_is_stored),
		PARTS_TEST(test_a_failed_call_sets_all_free_who_waited),
		PARTS_TEST(test_a_failure_from_outside_leaves_the_phrase_to_the_next),
		PARTS_TEST(test_a_job_that_leaves_hands_its_flight_on),
		PARTS_TEST(test_nobody_waits_beyond_half_of_his_time),
	};

	return cmocka_run_group_tests_name("single_flight", tests, NULL, NULL);
}
