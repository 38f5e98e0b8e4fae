/*
 * The rubric as a rater: opened by configuration, asked as a worker asks, honest about its cache
 * key.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grading/cache_key.h"
#include "rater/backends.h"
#include "rater/rater.h"

static char *ratings[] = { "excellent", "good", "poor", "missed_opportunity" };
static char no_file[] = "";

static struct config make_config(void)
{
	struct config c = {
		.rater = { .backend = RATER_RUBRIC, .scale = { ratings, 4 }, .alternatives = 3 }
	};

	c.rubric.file = no_file;
	return c;
}

static struct line transcript[] = {
	{ .index = 4, .speaker = "customer", .text = "Could you send me something by email?" },
	{ .index = 5, .rated = true, .speaker = "rep", .text = "Okay." },
	{ .index = 6,
	  .rated = true,
	  .speaker = "rep",
	  .text = "That makes sense. What matters most to you?" },
};
static const struct line *asked[] = { &transcript[1], &transcript[2] };

/* Asks about the two lines of the rep; verdicts and strings live in job. */
static void ask(const struct config *config, struct job *job, struct verdict verdicts[2])
{
	struct err err = { 0 };
	struct rater *rater = backends_open(config, NULL, &err);
	struct ask question = { .job = job, .lines = asked, .nlines = 2, .verdicts = verdicts };

	if (!rater)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < 3; i++)
		transcript[i].text_len = strlen(transcript[i].text);
	*job = (struct job){
		.sales_rep = "", .customer = "", .lines = transcript, .nlines = 3, .nrated = 2,
	};
	memset(verdicts, 0, 2 * sizeof(*verdicts));
	assert_true(rater->instant);
	assert_string_equal(rater->model, "rubric");
	rater_start(rater, &question);
	assert_ptr_equal(rater_next_done(rater), &question);
	assert_null(rater_next_done(rater));
	assert_null(question.err);
	assert_string_equal(question.used.model, "rubric");
	rater_free(rater);
}

static void test_every_line_gets_its_verdict(void **state)
{
	struct config config = make_config();
	struct verdict v[2];
	struct job job;

	(void)state;
	ask(&config, &job, v);
	assert_int_equal(v[0].outcome, OUTCOME_RATED);
	assert_ptr_equal(v[0].rating, ratings[3]);
	assert_ptr_equal(v[1].rating, ratings[0]);
	assert_int_equal(v[1].nalternatives, 3);
	assert_string_equal(v[1].reason, "asks an open question, acknowledges the customer");
	arena_free(&job.arena);
}

static void test_alternatives_are_limited(void **state)
{
	struct config config = make_config();
	struct verdict v[2];
	struct job job;

	(void)state;
	config.rater.alternatives = 1;
	ask(&config, &job, v);
	assert_int_equal(v[0].nalternatives, 1);
	arena_free(&job.arena);
	config.rater.alternatives = 0;
	ask(&config, &job, v);
	assert_int_equal(v[0].nalternatives, 0);
	arena_free(&job.arena);
}

/* The customer's line decides nothing unless it is part of the context, and so of the cache key. */
static void test_context_counts_only_when_configured(void **state)
{
	struct config config = make_config();
	struct verdict alone[2], heard[2];
	struct job first, second;

	(void)state;
	ask(&config, &first, alone);
	config.rater.context_lines = 1;
	ask(&config, &second, heard);
	assert_null(strstr(alone[0].reason, "interest"));
	assert_non_null(strstr(heard[0].reason, "lets the customer's interest go by"));
	assert_string_equal(alone[1].reason, heard[1].reason);	/* the rep spoke before it */
	arena_free(&first.arena);
	arena_free(&second.arena);
}

/* Lines that the phrase cache holds for one and the same are rated as one and the same. */
static void test_equal_keys_mean_equal_ratings(void **state)
{
	static const char *spellings[] = {
		"  Quel CAF\u00c9!  WHAT do\tyou think of \u00c9nergie?",
		"quel caf\u00e9! what do you think of \u00e9nergie?",
	};
	struct config config = make_config();
	struct rater *rater = backends_open(&config, NULL, NULL);
	const char *kept = transcript[1].text;
	char keys[2][PHRASE_KEY_SIZE];
	struct verdict v[2][2];
	struct job jobs[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		transcript[1].text = spellings[i];
		ask(&config, &jobs[i], v[i]);
		phrase_key(rater, &jobs[i], &transcript[1], keys[i]);
	}
	transcript[1].text = kept;
	assert_string_equal(keys[0], keys[1]);
	assert_ptr_equal(v[0][0].rating, v[1][0].rating);
	assert_string_equal(v[0][0].reason, v[1][0].reason);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(v[0][0].alternatives[i], v[1][0].alternatives[i]);
	rater_free(rater);
	arena_free(&jobs[0].arena);
	arena_free(&jobs[1].arena);
}

/* Opens a rater on a file of this text, and leaves its fingerprint, or its error. */
static bool open_file(const char *text, char fingerprint[65], struct err *err)
{
	struct config config = make_config();
	char path[] = "/tmp/test_rater_rubric.XXXXXX";
	int fd = mkstemp(path);
	struct rater *rater;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	config.rubric.file = path;
	rater = backends_open(&config, NULL, err);
	if (rater)
		memcpy(fingerprint, rater->fingerprint, 65);
	rater_free(rater);
	unlink(path);
	return rater != NULL;
}

#define RUBRIC "ratings = ( { rating = \"good\"; reason = \"r\"; } );\n" \
	       "signals = ( { name = \"s\"; weight = 1; reason = \"r\"; min_words = 1; } );"

static void test_fingerprint_follows_the_text(void **state)
{
	char one[65], same[65], other[65];
	struct err err = { 0 };

	(void)state;
	assert_true(open_file(RUBRIC, one, &err));
	assert_true(open_file(RUBRIC, same, &err));
	assert_true(open_file(RUBRIC "\n", other, &err));
	assert_int_equal(strlen(one), 64);
	assert_string_equal(one, same);
	assert_string_not_equal(one, other);
}

static void test_bad_files_are_refused(void **state)
{
	struct config config = make_config();
	char missing[] = "/nonexistent/rubric.conf", directory[] = "/tmp", endless[] = "/dev/zero";
	char *paths[] = { missing, directory, endless };
	char fingerprint[65];
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		config.rubric.file = paths[i];
		assert_null(backends_open(&config, NULL, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_non_null(strstr(err.text, paths[i]));
	}
	assert_false(open_file("\nsingals = 1;", fingerprint, &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, ":2: unknown key \"singals\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_line_gets_its_verdict),
		cmocka_unit_test(test_alternatives_are_limited),
		cmocka_unit_test(test_context_counts_only_when_configured),
		cmocka_unit_test(test_equal_keys_mean_equal_ratings),
		cmocka_unit_test(test_fingerprint_follows_the_text),
		cmocka_unit_test(test_bad_files_are_refused),
	};

	return cmocka_run_group_tests_name("rater_rubric", tests, NULL, NULL);
}
