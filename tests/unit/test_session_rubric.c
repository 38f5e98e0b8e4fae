/* The rubric's grade of a session as a whole: counted, and always the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/whole.h"
#include "rater/backends.h"
#include "rater/session_verdict.h"

static char *scale[] = { "excellent", "good", "poor", "missed_opportunity" };
static struct config config = {
	.rubric = { .file = "" }, .rater = { .scale = { scale, 4 }, .alternatives = 3 },
};
static struct rater *rater;
static struct verdict v;
static struct job job;
static struct ask ask;
static struct whole_line lines[10];
static struct whole whole = { .lines = lines };

static int teardown(void **state)
{
	(void)state;
	rater_free(rater);
	rater = NULL;
	arena_free(&job.arena);
	memset(&ask, 0, sizeof(ask));
	memset(&v, 0, sizeof(v));
	whole.nlines = whole.nrated = 0;
	whole.unrated = 0;
	return 0;
}

static void add(const char *rating, const char *reason)
{
	lines[whole.nlines] = (struct whole_line){
		.index = (int)(2 * whole.nlines), .speaker = "rep", .text = "x",
		.rating = rating, .reason = reason,
	};
	whole.nlines++;
	whole.nrated += *rating != '\0';
}

static void grade(void)
{
	static const struct line line = { .index = -1, .rated = true, .text = "" };
	static const struct line *asked[] = { &line };
	struct err err;

	rater = backends_open(&config, NULL, &err);
	assert_non_null(rater);
	job.whole = &whole;
	ask = (struct ask){ .job = &job, .lines = asked, .nlines = 1, .verdicts = &v };
	rater_start(rater, &ask);
	assert_ptr_equal(rater_next_done(rater), &ask);
}

static void check(int score, const char *summary)
{
	grade();
	assert_null(ask.err);
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_int_equal(v.grade->score, score);
	assert_string_equal(v.grade->summary, summary);
}

static void test_the_mean(void **state)
{
	(void)state;
	add("excellent", "asks");
	add("", "");
	add("good", "asks");
	add("missed_opportunity", "");
	whole.unrated = 2;
	check(56, "3 lines rated: 1 excellent, 1 good, 1 missed_opportunity. Not rated, and not "
	      "counted: 2 lines.");
	assert_int_equal(v.grade->nstrengths, 1);
	assert_string_equal(v.grade->strengths[0], "asks (lines 0, 4)");
	assert_int_equal(v.grade->nimprovements, 1);
	assert_string_equal(v.grade->improvements[0], "rated \"missed_opportunity\" (line 6)");
}

static void test_the_ends(void **state)
{
	(void)state;
	add("excellent", "");
	check(100, "1 line rated: 1 excellent.");
	teardown(NULL);
	add("missed_opportunity", "");
	check(0, "1 line rated: 1 missed_opportunity.");
}

static void test_the_most_frequent_reasons_come_first(void **state)
{
	(void)state;
	add("poor", "pushy");
	add("poor", "vague");
	add("poor", "rude");
	add("poor", "late");
	add("missed_opportunity", "late");
	for (int i = 0; i < 4; i++)
		add("poor", "vague");
	check(30, "9 lines rated: 8 poor, 1 missed_opportunity.");
	assert_int_equal(v.grade->nstrengths, 0);
	assert_int_equal(v.grade->nimprovements, 3);
	assert_string_equal(v.grade->improvements[0], "vague (lines 2, 10, 12 and 2 more)");
	assert_string_equal(v.grade->improvements[1], "late (lines 6, 8)");
	assert_string_equal(v.grade->improvements[2], "pushy (line 0)");
}

static void test_ratings_of_another_scale(void **state)
{
	(void)state;
	add("good", "");
	add("splendid", "");
	check(67, "2 lines rated: 1 good, 1 with a rating that is not on the scale.");
	teardown(NULL);
	add("splendid", "");
	grade();
	assert_int_equal(err_kind(ask.err), ERR_PERMANENT);
	assert_string_equal(ask.err->text, "none of the session's ratings is on the scale of "
			    "rater.scale");
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_mean), TEST(test_the_ends),
		TEST(test_the_most_frequent_reasons_come_first),
		TEST(test_ratings_of_another_scale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
