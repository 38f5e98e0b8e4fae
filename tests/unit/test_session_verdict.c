/* Replies about a session as a whole: what is a grade, and what is none and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rater/session_verdict.h"

static struct config config;
static struct arena arena;
static struct verdict v;

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static void hear(const char *reply)
{
	memset(&v, 0xee, sizeof(v));
	session_verdict_read(reply, strlen(reply), &config, &arena, &v);
}

static void check_none(const char *reply, enum outcome outcome, const char *why)
{
	hear(reply);
	assert_string_equal(outcome_name(v.outcome), outcome_name(outcome));
	assert_null(v.rating);
	assert_null(v.grade);
	assert_string_equal(v.reason, why);
}

#define REST "\"summary\": \"Fine.\", \"strengths\": [\"Warm.\"], \"improvements\": []}"
#define GOOD "{\"score\": 72, " REST

static void check_good(const char *reply)
{
	hear(reply);
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_string_equal(v.rating, "72");
	assert_int_equal(v.grade->score, 72);
	assert_string_equal(v.grade->summary, "Fine.");
	assert_int_equal(v.grade->nstrengths, 1);
	assert_string_equal(v.grade->strengths[0], "Warm.");
	assert_int_equal(v.grade->nimprovements, 0);
}

static void test_good(void **state)
{
	(void)state;
	check_good(GOOD);
	check_good("```json\n" GOOD "\n```");
	check_good("<think>{\"score\": 3}</think>\n" GOOD);
	check_good("Here it is:\n```\n" GOOD "\n```");
	check_good("{\"confidence\": 1, \"score\": 72.0, " REST);
}

static void test_ends_of_the_range(void **state)
{
	(void)state;
	hear("{\"score\": 0, " REST);
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_int_equal(v.grade->score, 0);
	hear("{\"score\": 100, " REST);
	assert_int_equal(v.grade->score, 100);
}

static void test_scores_that_are_none(void **state)
{
	(void)state;
	check_none("{\"score\": 101, " REST, OUTCOME_UNKNOWN_RATING,
		   "its score is 101, and not from 0 to 100");
	check_none("{\"score\": -1, " REST, OUTCOME_UNKNOWN_RATING,
		   "its score is -1, and not from 0 to 100");
	check_none("{\"score\": 84.5, " REST, OUTCOME_UNKNOWN_RATING,
		   "its score is no whole number");
	check_none("{\"score\": 1e300, " REST, OUTCOME_UNKNOWN_RATING,
		   "its score is no whole number");
	check_none("{\"score\": \"72\", " REST, OUTCOME_NOT_SCHEMA,
		   "its score is missing, or no number");
	check_none("{\"score\": null, " REST, OUTCOME_NOT_SCHEMA,
		   "its score is missing, or no number");
	check_none("{\"score\": true, " REST, OUTCOME_NOT_SCHEMA,
		   "its score is missing, or no number");
	check_none("{\"score\": [72], " REST, OUTCOME_NOT_SCHEMA,
		   "its score is missing, or no number");
	check_none("{\"grade\": 72, " REST, OUTCOME_NOT_SCHEMA,
		   "its score is missing, or no number");
	check_none("{\"score\": NaN, " REST, OUTCOME_UNKNOWN_RATING,
		   "its score is no whole number");
	check_none("{\"score\": 7, \"score\": 72, " REST, OUTCOME_NOT_SCHEMA, "it has a key twice");
}

static void test_other_parts(void **state)
{
	(void)state;
	check_none("{\"score\": 72, \"strengths\": [], \"improvements\": []}", OUTCOME_NOT_SCHEMA,
		   "its summary has no words, or quotes a secret");
	check_none("{\"score\": 72, \"summary\": \" \\n\", \"strengths\": [], "
		   "\"improvements\": []}", OUTCOME_NOT_SCHEMA,
		   "its summary has no words, or quotes a secret");
	check_none("{\"score\": 72, \"summary\": 5, \"strengths\": [], \"improvements\": []}",
		   OUTCOME_NOT_SCHEMA, "its summary has no words, or quotes a secret");
	check_none("{\"score\": 72, \"summary\": \"Fine.\", \"improvements\": []}",
		   OUTCOME_NOT_SCHEMA, "its strengths are no list of texts");
	check_none("{\"score\": 72, \"summary\": \"Fine.\", \"strengths\": []}",
		   OUTCOME_NOT_SCHEMA, "its improvements are no list of texts");
	check_none("{\"score\": 72, \"summary\": \"Fine.\", \"strengths\": \"Warm.\", "
		   "\"improvements\": []}", OUTCOME_NOT_SCHEMA,
		   "its strengths are no list of texts");
	check_none("{\"score\": 72, \"summary\": \"Fine.\", \"strengths\": [], "
		   "\"improvements\": [\"a\", {}]}", OUTCOME_NOT_SCHEMA,
		   "its improvements are no list of texts");
}

static void test_no_answer(void **state)
{
	(void)state;
	check_none("", OUTCOME_EMPTY, "");
	check_none("```\n```", OUTCOME_EMPTY, "");
	check_none("I would say 72 of 100.", OUTCOME_NOT_JSON, "");
	check_none("{\"score\": 72, \"summary\": \"Fi", OUTCOME_NOT_JSON, "");
	check_none(GOOD " and more", OUTCOME_NOT_JSON, "");
	check_none("72", OUTCOME_NOT_SCHEMA, "it is no object");
	check_none("[" GOOD "]", OUTCOME_NOT_SCHEMA, "it is no object");
	check_none("{\"ratings\": [{\"line\": 0, \"rating\": \"good\"}]}", OUTCOME_NOT_SCHEMA,
		   "its score is missing, or no number");
}

static void test_a_long_text_is_cut(void **state)
{
	char *reply = malloc(10000), *text = malloc(5001);

	(void)state;
	memset(text, 'x', 5000);
	text[5000] = '\0';
	sprintf(reply, "{\"score\": 5, \"summary\": \"%s\", \"strengths\": [\"\", \" a\\u0007b \"], "
		"\"improvements\": []}", text);
	hear(reply);
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_int_equal(strlen(v.grade->summary), SESSION_TEXT_CAP_BYTES);
	assert_int_equal(v.grade->nstrengths, 1);
	assert_string_equal(v.grade->strengths[0], "a b");
	free(text);
	free(reply);
}

static void make_list(char *reply, int n)
{
	reply += sprintf(reply, "{\"score\": 5, \"summary\": \"s\", \"improvements\": [], "
			 "\"strengths\": [");
	for (int i = 0; i < n; i++)
		reply += sprintf(reply, "%s\"%d\"", i ? "," : "", i);
	sprintf(reply, "]}");
}

static void test_many_points(void **state)
{
	char reply[2000];

	(void)state;
	make_list(reply, 100);
	hear(reply);
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_int_equal(v.grade->nstrengths, SESSION_POINTS_CAP);
	make_list(reply, 101);
	check_none(reply, OUTCOME_NOT_SCHEMA, "its strengths are no list of texts");
}

static void test_secrets(void **state)
{
	(void)state;
	config.openai.api_key = "sk-5ecret5ecret5ecret";
	check_none("{\"score\": 72, \"summary\": \"Use sk-5ecret5ecret5ecret.\", \"strengths\": [], "
		   "\"improvements\": []}", OUTCOME_NOT_SCHEMA,
		   "its summary has no words, or quotes a secret");
	hear("{\"score\": 72, \"summary\": \"Fine.\", \"strengths\": [\"sk-5ecret5ecret5ecret\"], "
	     "\"improvements\": []}");
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_int_equal(v.grade->nstrengths, 0);
	config.openai.api_key = NULL;
}

static void test_given(void **state)
{
	(void)state;
	session_verdict_give(&v, &config, &arena, 40, "Said.", (const char *const[]){ "a", "" }, 2,
			     NULL, 0);
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_int_equal(v.grade->score, 40);
	assert_int_equal(v.grade->nstrengths, 1);
	session_verdict_give(&v, &config, &arena, 101, "Said.", NULL, 0, NULL, 0);
	assert_int_equal(v.outcome, OUTCOME_UNKNOWN_RATING);
	session_verdict_give(&v, &config, &arena, 40, "", NULL, 0, NULL, 0);
	assert_int_equal(v.outcome, OUTCOME_NOT_SCHEMA);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good), TEST(test_ends_of_the_range), TEST(test_scores_that_are_none),
		TEST(test_other_parts), TEST(test_no_answer), TEST(test_a_long_text_is_cut),
		TEST(test_many_points), TEST(test_secrets), TEST(test_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
