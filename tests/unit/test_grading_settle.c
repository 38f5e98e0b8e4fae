/* grading_settle.c: which ratings a settlement carries, and what comes of it. */
#include "grading_fixture.h"

static void test_ratings_are_stored_as_they_arrive(void **state)
{
	(void)state;
	config.rater.lines_per_call = 2;
	begin(4, 0, 3);
	assert_false(grading_attach(g));		/* nothing to send */
	answer_all(asked[0], OUTCOME_RATED);
	assert_true(grading_attach(g));
	grading_check(g);
	assert_string_equal(g->settlement.status, "processing");
	assert_int_equal(g->settlement.nlines, 2);
	assert_false(g->settle.last);
	answer_all(asked[1], OUTCOME_RATED);
	assert_false(grading_attach(g));		/* one is under way */
	grading_attached_done(g, true);
	assert_true(line_is_stored(&g->lines[0]));
	assert_true(line_is_to_be_stored(&g->lines[2]));

	assert_true(grading_attach(g));
	grading_check(g);
	assert_true(g->settle.last);
	assert_int_equal(g->settlement.nlines, 2);
	assert_ptr_equal(g->settlement.lines[0].line, g->lines[2].line);
	assert_int_equal(g->settlement.nresent, 0);
	grading_attached_done(g, true);
	assert_true(line_is_stored(&g->lines[3]));
	grading_check(g);
	config.rater.lines_per_call = 20;
}

/* It may have been stored: the next settlement says how many of its lines may be there. */
static void test_what_was_lost_on_the_way_is_sent_again(void **state)
{
	(void)state;
	config.rater.lines_per_call = 2;
	begin(3, 0, 3);
	answer_all(asked[0], OUTCOME_RATED);
	assert_true(grading_attach(g));
	grading_attached_done(g, false);
	assert_int_equal(g->lines[0].state, LINE_IN_DOUBT);
	answer_all(asked[1], OUTCOME_RATED);
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 3);
	assert_int_equal(g->settlement.nresent, 2);
	grading_attached_done(g, false);
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nresent, 3);
	grading_check(g);
	config.rater.lines_per_call = 20;
}

static void test_a_first_settlement_is_whole_and_was_never_tried(void **state)
{
	(void)state;
	begin(1, 0, 3);
	assert_false(grading_is_first(g));
	answer_all(asked[0], OUTCOME_RATED);
	assert_true(grading_is_first(g));
	grading_may_be_stored(g);
	assert_false(grading_is_first(g));
	teardown(NULL);

	begin(1, 0, 3);
	answer_all(asked[0], OUTCOME_EMPTY);
	assert_false(grading_is_first(g));
	teardown(NULL);

	begin_again(1, 0, 3, 1);		/* claimed before */
	answer_all(asked[0], OUTCOME_RATED);
	assert_false(grading_is_first(g));
	teardown(NULL);

	config.rater.lines_per_call = 1;
	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_RATED);
	assert_true(grading_attach(g));
	grading_attached_done(g, true);
	answer_all(asked[1], OUTCOME_RATED);
	assert_false(grading_is_first(g));	/* a part of it is stored */
	config.rater.lines_per_call = 20;
}

/* What the settler asks before it makes a job part of a batch. */
static void test_news_are_what_is_not_stored_yet(void **state)
{
	(void)state;
	begin(2, 0, 3);
	assert_false(grading_has_news(g));
	answer_all(asked[0], OUTCOME_RATED);
	assert_true(grading_has_news(g));
	assert_true(grading_attach(g));
	grading_attached_done(g, true);
	assert_true(grading_is_decided(g));
	assert_true(grading_has_news(g));	/* until the job is gone */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ratings_are_stored_as_they_arrive),
		TEST(test_what_was_lost_on_the_way_is_sent_again),
		TEST(test_a_first_settlement_is_whole_and_was_never_tried),
		TEST(test_news_are_what_is_not_stored_yet),
	};

	return cmocka_run_group_tests_name("grading_settle", tests, NULL, NULL);
}
