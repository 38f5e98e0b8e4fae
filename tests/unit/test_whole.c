/* A session as a whole: how it is read, asked about, decided and written into the job's result. */
#include "grading_fixture.h"

#include <stdlib.h>

#include "base/buf.h"
#include "grading/whole_grade.h"
#include "queue/whole.h"
#include "rater/question.h"
#include "rater/session_verdict.h"

#define LINES "[[0, \"Hello.\", \"good\", \"Polite.\"], [4, \"Buy!\", \"excellent\", null]]"
#define OVER "{\"status\": \"completed\", \"batches\": 2, \"done\": 2, \"failed\": 0, " \
	"\"unrated\": 1, \"bytes\": 10, \"upto\": 77, \"lines\": " LINES "}"
#define UNDER_WAY "{\"status\": \"processing\", \"batches\": 5, \"done\": 3, \"failed\": 0, " \
	"\"unrated\": 0, \"bytes\": null, \"upto\": null, \"lines\": null}"
#define TALK "{\"salesRepName\": \"Ann\", \"conversation\": [" \
	"{\"speaker\": \"rep\", \"text\": \"Hello.\", \"index\": 0}, " \
	"{\"speaker\": \"customer\", \"text\": \"What is it?\", \"index\": 2}]}"

/* times: this claim is the so-manieth. */
static void claim(const char *whole, const char *data, int times)
{
	struct claimed_row row = make_row(data ? data : "", 0, 3, times - 1);

	row.job_type = "full_grading";
	row.whole = whole;
	if (!data) {
		row.data = NULL;
		row.data_bytes = -1;
	}
	g = grading_new(&row, &rater, keyed);
	nasked = 0;
	grading_check(g);
}

static void ask_about(const char *whole, const char *data)
{
	claim(whole, data, 1);
	assert_false(grading_is_decided(g));
	assert_true(grading_end_lookup(g));
	grading_ask(g, &rater);
	assert_int_equal(nasked, 1);
	grading_check(g);
}

static void answer(const char *reply)
{
	ask_read_words(asked[0], &config, reply, strlen(reply));
	take(asked[0]);
}

static void check_question(const char *text)
{
	struct buf b;

	buf_init(&b, SIZE_MAX);
	question_write(&b, &config, asked[0]);
	assert_string_equal(buf_text(&b), text);
	buf_free(&b);
}

static void test_the_question(void **state)
{
	(void)state;
	ask_about(OVER, TALK);
	check_question("{\"task\": \"session\", \"sales_rep\": \"Ann\", \"customer\": \"\", "
		       "\"scale\": [\"excellent\", \"good\"], \"unrated\": 1, \"conversation\": ["
		       "{\"line\": 0, \"speaker\": \"rep\", \"text\": \"Hello.\", "
		       "\"rating\": \"good\"}, "
		       "{\"line\": 2, \"speaker\": \"customer\", \"text\": \"What is it?\"}, "
		       "{\"line\": 4, \"text\": \"Buy!\", \"rating\": \"excellent\"}]}");
}

static void test_without_a_conversation(void **state)
{
	(void)state;
	ask_about(OVER, NULL);
	check_question("{\"task\": \"session\", \"sales_rep\": \"\", \"customer\": \"\", "
		       "\"scale\": [\"excellent\", \"good\"], \"unrated\": 1, \"conversation\": ["
		       "{\"line\": 0, \"text\": \"Hello.\", \"rating\": \"good\"}, "
		       "{\"line\": 4, \"text\": \"Buy!\", \"rating\": \"excellent\"}]}");
}

/* Another text under a rated line's number is another line: its words are not the rating's. */
static void test_other_words_under_a_number(void **state)
{
	(void)state;
	ask_about(OVER, "{\"conversation\": [{\"speaker\": \"rep\", \"text\": \"Other.\", "
		  "\"index\": 0}]}");
	assert_int_equal(g->job.whole->nlines, 3);
	assert_string_equal(g->job.whole->lines[0].text, "Hello.");
	assert_string_equal(g->job.whole->lines[0].speaker, "");
	assert_string_equal(g->job.whole->lines[1].text, "Other.");
	assert_string_equal(g->job.whole->lines[1].rating, "");
}

static void test_a_grade(void **state)
{
	(void)state;
	ask_about(OVER, TALK);
	answer("{\"score\": 64, \"summary\": \"So so.\", \"strengths\": [\"Polite.\"], "
	       "\"improvements\": [\"Ask.\", \"Listen.\"]}");
	check_end("completed", false, NULL);
	assert_non_null(strstr(g->settlement.result,
		"\"grading\":{\"score\":64,\"summary\":\"So so.\",\"strengths\":[\"Polite.\"],"
		"\"improvements\":[\"Ask.\",\"Listen.\"],\"ratings\":{"
		"\"excellent\":{\"lines\":1,\"share\":0.5},\"good\":{\"lines\":1,\"share\":0.5}},"
		"\"lines\":2,\"unrated\":1,\"failed_batches\":0},\"upto\":77,\"cached\":false,"
		"\"provenance\":{"));
	assert_null(strstr(g->settlement.result, "\"skipped\""));
	assert_false(grading_is_first(g));
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 0);
	grading_check(g);
}

static void test_no_grade(void **state)
{
	(void)state;
	ask_about(OVER, TALK);
	answer("{\"score\": 101, \"summary\": \"s\", \"strengths\": [], \"improvements\": []}");
	check_end("pending", true, "no grade for the session as a whole (the reply used a rating "
		  "outside the scale: its score is 101, and not from 0 to 100); attempt 1 of 3, it "
		  "will be tried again");
	assert_null(strstr(g->settlement.result, "\"grading\""));
	assert_int_equal(g->nfailed, 0);
}

static void test_an_equal_session_was_graded(void **state)
{
	struct graded_row row = {
		.grading = "{\"score\": 7, \"summary\": \"s\", \"strengths\": [], "
			   "\"improvements\": [], \"lines\": 2}",
		.provenance = "{\"model\": \"m\"}", .given_at = "2026-11-30T07:00:00+00:00",
	};

	(void)state;
	keyed = true;
	claim(OVER, TALK, 1);
	assert_int_equal(strlen(g->whole.key), WHOLE_KEY_SIZE - 1);
	assert_false(g->keyed);
	row.key = g->whole.key;
	whole_grade_give(g, &row, &config);
	grading_end_lookup(g);
	grading_decide(g, &rater);
	check_end("completed", false, NULL);
	assert_non_null(strstr(g->settlement.result, "\"cached\":true,\"provenance\":{\"model\": "
			       "\"m\"},\"given_at\":\"2026-11-30T07:00:00+00:00\",\"key\":\""));
}

static void test_a_table_that_says_nonsense(void **state)
{
	struct graded_row row = { .key = "k", .grading = "{\"score\": 700}", .given_at = "x" };

	(void)state;
	keyed = true;
	claim(OVER, TALK, 1);
	whole_grade_give(g, &row, &config);
	assert_null(g->whole.grade);
	assert_int_equal(grading_open_lines(g), 1);
}

static void test_keys(void **state)
{
	char key[WHOLE_KEY_SIZE];

	(void)state;
	keyed = true;
	claim(OVER, TALK, 1);
	strcpy(key, g->whole.key);
	teardown(NULL);
	keyed = true;
	claim(OVER, TALK, 2);
	assert_string_equal(key, g->whole.key);
	teardown(NULL);
	keyed = true;
	claim(OVER, NULL, 1);
	assert_string_not_equal(key, g->whole.key);
}

static void test_it_waits(void **state)
{
	(void)state;
	claim(UNDER_WAY, TALK, 1);
	check_end("pending", false,
		  "it waits for the lines of its session (3 of 5 batches are done)");
	assert_string_equal(g->settlement.result, "{\"waiting\": true, \"waits\": 1}");
	assert_true(g->whole.waiting);
	assert_in_range(g->settlement.delay_ms, 250, 312);
}

/* Later each time, and never suspected of killing workers for it. */
static void test_it_waits_again(void **state)
{
	(void)state;
	earlier = "{\"waits\": 40, \"waiting\": true, \"calls\": 2}";
	claim(UNDER_WAY, TALK, 41);
	check_end("pending", false, g->settlement.error);
	assert_string_equal(g->settlement.result,
			    "{\"waits\":41,\"waiting\":true,\"calls\":2}");
	assert_in_range(g->settlement.delay_ms, 10000, 12500);
	assert_false(grading_is_suspect(g));
	earlier = NULL;
}

static void check_failed(const char *whole, const char *data, const char *error)
{
	claim(whole, data, 1);
	check_end("failed", true, error);
	assert_int_equal(g->job.nrated, 0);
	teardown(NULL);
}

static void test_nothing_to_grade(void **state)
{
	(void)state;
	check_failed("{\"status\": \"failed\", \"failed\": 3, \"bytes\": null, \"lines\": null}",
		     NULL, "no line of session 00000000-0000-0000-0000-000000000002 has a rating "
		     "(3 of its batches failed), so there is nothing to grade it by; `gradingctl "
		     "retry` puts failed jobs back");
	check_failed("{\"status\": \"completed\", \"bytes\": 9000000, \"lines\": null}", NULL,
		     "the rated lines of session 00000000-0000-0000-0000-000000000002 have 9000000 "
		     "bytes; one that is graded as a whole may have 4194304, and 10000 lines");
	check_failed(OVER, "{\"conversation\": 5}", "conversation is 5; it must be an array");
	check_failed(OVER, "{\"conversation\": [5]}",
		     "conversation[0] is 5; it must be an object with speaker, text and index");
	check_failed("{\"status\": \"completed\", \"bytes\": 5, \"lines\": [[0, \"x\", null, "
		     "null]]}", NULL, "session 00000000-0000-0000-0000-000000000002 cannot be "
		     "graded as a whole: one of its rows in line_ratings has no rating, or an "
		     "index below 0");
	check_failed("nonsense", NULL, "the session's lines are not JSON: null "
		     "expected");
}

static void test_off(void **state)
{
	(void)state;
	config.rater.session_grading = SESSION_GRADING_OFF;
	check_failed(OVER, NULL, "sessions are not graded as a whole: rater.session_grading is "
		     "\"off\"");
	config.rater.session_grading = SESSION_GRADING_ON;
}

static void test_too_long(void **state)
{
	(void)state;
	config.rater.session_bytes = 9;
	check_failed(OVER, NULL, "the conversation of session "
		     "00000000-0000-0000-0000-000000000002 has 10 bytes; rater.session_bytes "
		     "allows 9");
	config.rater.session_bytes = 1 << 18;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_question), TEST(test_without_a_conversation),
		TEST(test_other_words_under_a_number), TEST(test_a_grade), TEST(test_no_grade),
		TEST(test_an_equal_session_was_graded), TEST(test_a_table_that_says_nonsense),
		TEST(test_keys), TEST(test_it_waits), TEST(test_it_waits_again),
		TEST(test_nothing_to_grade), TEST(test_off), TEST(test_too_long),
	};

	config.rater.session_bytes = 1 << 18;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
