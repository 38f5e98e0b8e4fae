/* gifts.c: ratings from the cache, from equal lines, from earlier attempts. */
#include "grading_fixture.h"

static void test_an_equal_line_has_the_rating_as_from_the_cache(void **state)
{
	struct settle_line *store;

	(void)state;
	start_with_waiting(3, 2, 2);
	answer_all(asked[0], OUTCOME_RATED);
	grading_give_equal(&g->lines[2], &config, &g->lines[0]);
	assert_int_equal(g->lines[2].state, LINE_RATED);
	store = &g->lines[2].store;
	assert_ptr_equal(store->line, g->lines[2].line);
	assert_string_equal(store->rating, g->lines[0].store.rating);
	assert_true(store->cached);
	assert_null(store->cache_key);
	assert_int_equal(g->cached, 1);
	assert_string_equal(store->provenance, g->lines[0].store.provenance);
	assert_int_equal(store->given_at, 0);		/* just now, as its leader's */
}

static struct cached_row cached = {
	.key = "k", .rating = "excellent", .alternatives = "", .reason = "", .given_at = 4711,
};

static void test_a_cached_rating_is_held_to_the_scale_and_given_once(void **state)
{
	struct cached_row odd = cached;

	(void)state;
	make_looked_up(2, 0, 3, 0);
	odd.rating = "superb";
	grading_give_cached(&g->lines[0], &config, &odd);
	assert_int_equal(g->lines[0].state, LINE_OPEN);
	assert_int_equal(g->cached, 0);
	grading_give_cached(&g->lines[0], &config, &cached);
	assert_int_equal(g->lines[0].state, LINE_RATED);
	assert_string_equal(g->lines[0].store.rating, "excellent");
	assert_string_equal(g->lines[0].store.provenance, "{}");	/* of what has none */
	assert_int_equal(g->lines[0].store.given_at, 4711);
	odd.rating = "good";
	grading_give_cached(&g->lines[0], &config, &odd);
	assert_string_equal(g->lines[0].store.rating, "excellent");
	assert_int_equal(g->cached, 1);
	grading_check(g);
}

/* It is not sent again, and the cache has nothing to do with it. */
static void test_a_stored_line_is_known_by_index_and_text(void **state)
{
	(void)state;
	make_looked_up(3, 0, 3, 1);
	grading_give_cached(&g->lines[1], &config, &cached);
	grading_give_stored(g, 0, "another text");
	grading_give_stored(g, 7, "line 0");
	assert_int_equal(g->lines[0].state, LINE_OPEN);
	grading_give_stored(g, 0, "line 0");
	grading_give_stored(g, 1, "line 1");
	assert_true(line_is_stored(&g->lines[0]));
	assert_true(line_is_stored(&g->lines[1]));
	assert_int_equal(g->cached, 0);
	grading_give_cached(&g->lines[0], &config, &cached);
	assert_true(line_is_stored(&g->lines[0]));
	assert_false(grading_attach(g));
	grading_check(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_equal_line_has_the_rating_as_from_the_cache),
		TEST(test_a_cached_rating_is_held_to_the_scale_and_given_once),
		TEST(test_a_stored_line_is_known_by_index_and_text),
	};

	return cmocka_run_group_tests_name("gifts", tests, NULL, NULL);
}
