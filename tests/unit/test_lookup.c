/* lookup.c: what the phrase cache and earlier attempts know of freshly claimed jobs. */
#include "worker_parts.h"

#include "worker/lookup.h"

static struct grading *done_with[8];
static size_t ndone;
static int times_done;

static void note_done(void *arg, struct grading *const *gradings, size_t n)
{
	assert_ptr_equal(arg, &ndone);
	times_done++;
	ndone = n;
	memcpy(done_with, gradings, n * sizeof(struct grading *));
}

/* Looks these jobs up; the array may go at once. */
static void look_up(struct grading *one, struct grading *two)
{
	struct grading *gradings[] = { one, two };

	times_done = 0;
	lookup_begin(&ctx, gradings, two ? 2 : 1, note_done, &ndone);
	memset(gradings, 0, sizeof(gradings));
}

static void assert_done(struct grading *one, struct grading *two)
{
	assert_int_equal(times_done, 1);
	assert_int_equal(ndone, two ? 2 : 1);
	assert_ptr_equal(done_with[0], one);
	if (two)
		assert_ptr_equal(done_with[1], two);
}

#define GIVEN_AT INT64_C(818000000000000)

static PGresult *row_cached(const struct grading *g, const char *rating)
{
	PGresult *result = rows_of(6);

	cell_text(result, 0, 0, g->lines[0].key);
	cell_text(result, 0, 1, rating);
	cell_text(result, 0, 2, "{}");
	cell_text(result, 0, 3, "");
	cell_text(result, 0, 4, "{\"model\": \"m\"}");
	cell_int8(result, 0, 5, GIVEN_AT);
	return result;
}

static void test_all_jobs_of_a_claim_are_looked_up_at_once(void **state)
{
	struct grading *one = add_job(1, 901, "same"), *two = add_job(2, 902, "same");

	(void)state;
	look_up(one, two);
	assert_int_equal(fake_pg.n, 1);
	assert_sent(0, STATEMENT_LOOKUP);
	assert_int_equal(times_done, 0);
	answer_with(row_cached(one, "excellent"), NULL);
	assert_done(one, two);
	assert_int_equal(one->lines[0].store.given_at, GIVEN_AT);
	assert_string_equal(one->lines[0].store.provenance, "{\"model\": \"m\"}");
	assert_true(line_is_rated(&one->lines[0]));
	assert_true(line_is_rated(&two->lines[0]));	/* equal lines have one entry */
	assert_string_equal(two->lines[0].store.rating, "excellent");
	assert_int_equal(one->cached + two->cached, 2);
}

/* The table may hold anything: what is no rating of ours is none. */
static void test_an_entry_with_another_rating_is_none(void **state)
{
	struct grading *g = add_job(1, 901, "odd");

	(void)state;
	look_up(g, NULL);
	answer_with(row_cached(g, "wonderful"), NULL);
	assert_done(g, NULL);
	assert_true(line_is_open(&g->lines[0]));
}

static void test_without_keys_there_is_nothing_to_ask(void **state)
{
	struct grading *g = add_job(1, 901, "instant");

	(void)state;
	g->keyed = false;
	look_up(g, NULL);
	assert_int_equal(fake_pg.n, 0);
	assert_done(g, NULL);
}

static void test_lines_of_an_earlier_attempt_are_not_rated_again(void **state)
{
	struct grading *g = add_job(7, 901, "stored"), *fresh = add_job(8, 901, "fresh");
	PGresult *result = rows_of(3);

	(void)state;
	g->job.times_claimed = 2;
	look_up(g, fresh);
	assert_int_equal(fake_pg.n, 2);
	assert_sent(1, STATEMENT_STORED);
	answer_with(rows_of(6), NULL);
	assert_int_equal(times_done, 0);
	cell_uuid(result, 0, 0, id_of(7));
	cell_int4(result, 0, 1, 7);
	cell_text(result, 0, 2, "stored");
	answer_with(result, NULL);
	assert_done(g, fresh);
	assert_true(line_is_stored(&g->lines[0]));
	assert_true(line_is_open(&fresh->lines[0]));
}

static void test_a_look_up_that_fails_costs_calls_and_no_job(void **state)
{
	struct grading *g = add_job(1, 901, "a line");

	(void)state;
	g->job.times_claimed = 2;
	look_up(g, NULL);
	answer_error(ERR_CONFIG, "42P01");
	answer_error(ERR_LOST, "");
	assert_done(g, NULL);
	assert_true(line_is_open(&g->lines[0]));
}

static void test_without_a_connection_it_is_done_at_once(void **state)
{
	struct grading *g = add_job(1, 901, "a line");

	(void)state;
	fake_pg.ready = false;
	look_up(g, NULL);
	assert_done(g, NULL);
	assert_true(line_is_open(&g->lines[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_all_jobs_of_a_claim_are_looked_up_at_once),
		PARTS_TEST(test_an_entry_with_another_rating_is_none),
		PARTS_TEST(test_without_keys_there_is_nothing_to_ask),
		PARTS_TEST(test_lines_of_an_earlier_attempt_are_not_rated_again),
		PARTS_TEST(test_a_look_up_that_fails_costs_calls_and_no_job),
		PARTS_TEST(test_without_a_connection_it_is_done_at_once),
	};

	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
