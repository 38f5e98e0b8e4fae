/* verdict.c: what becomes a grade, and above all what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rater/verdict.h"

static char *scale[] = { "excellent", "good", "poor", "missed_opportunity" };
static struct config config = { .rater = { .scale = { scale, 4 }, .alternatives = 3 } };
static const struct line line12 = { .index = 12, .rated = true, .text = "a", .text_len = 1 };
static const struct line line3 = { .index = 3, .rated = true, .text = "b", .text_len = 1 };
static const struct line *const asked[] = { &line12, &line3 };	/* not in order of their indexes */
static struct verdict verdicts[2];
static struct arena arena;

static size_t read_bytes(const char *reply, size_t len)
{
	memset(verdicts, 0xee, sizeof(verdicts));
	return verdict_read(reply, len, &config, asked, 2, &arena, verdicts);
}

static size_t read_text(const char *reply)
{
	return read_bytes(reply, strlen(reply));
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static void check_unrated(const struct verdict *v, enum outcome outcome)
{
	assert_int_equal(v->outcome, outcome);
	assert_null(v->rating);
	assert_int_equal(v->nalternatives, 0);
	assert_string_equal(v->reason, "");
}

static void check_all(const char *reply, enum outcome outcome)
{
	assert_int_equal(read_text(reply), 0);
	check_unrated(&verdicts[0], outcome);
	check_unrated(&verdicts[1], outcome);
}

/* One element for line 12. */
static void read_one(const char *members)
{
	char reply[6000];

	snprintf(reply, sizeof(reply), "{\"ratings\":[{\"line\":12,%s}]}", members);
	assert_int_equal(read_text(reply), 0);
	check_unrated(&verdicts[1], OUTCOME_MISSING);
}

static void test_good_reply(void **state)
{
	(void)state;
	assert_int_equal(read_text("{\"ratings\":[{\"line\":3,\"rating\":\"poor\","
				   "\"alternatives\":[\"One?\",\"Two?\"],\"reason\":\"Curt.\"},"
				   "{\"line\":12.0,\"rating\":\"excellent\"}],\"more\":1}"), 0);
	assert_int_equal(verdicts[0].outcome, OUTCOME_RATED);
	assert_ptr_equal(verdicts[0].rating, scale[0]);
	assert_int_equal(verdicts[0].nalternatives, 0);
	assert_string_equal(verdicts[0].reason, "");
	assert_int_equal(verdicts[1].outcome, OUTCOME_RATED);
	assert_ptr_equal(verdicts[1].rating, scale[2]);
	assert_int_equal(verdicts[1].nalternatives, 2);
	assert_string_equal(verdicts[1].alternatives[0], "One?");
	assert_string_equal(verdicts[1].alternatives[1], "Two?");
	assert_string_equal(verdicts[1].reason, "Curt.");
}

static void test_white_space_and_one_fence_are_tolerated(void **state)
{
#define MARK "\xef\xbb\xbf"	/* of byte order */
#define REPLY "{\"ratings\":[{\"line\":12,\"rating\":\"good\"}]}"
	static const char *const fine[] = {
		" \n\t" REPLY "\r\n ", "```json\n" REPLY "\n```", "```\n" REPLY "\n```\n",
		"```JSON" REPLY "```", MARK REPLY, "Sure!\n```json\n" REPLY "\n```",
		"<think>\n" REPLY "\n</think>" REPLY, "<think>a</think>\nSo:\n\n```\n" REPLY "```\n",
	};
	static const char *const wrong[] = {
		"Here you are: " REPLY, REPLY " Anything else?", REPLY REPLY, "```json\n" REPLY,
		REPLY "```", "```json\n```json\n" REPLY "\n```\n```", "```yaml\n" REPLY "\n```",
		"`" REPLY "`",
		"Sure! ```json\n" REPLY "\n```", MARK MARK REPLY, MARK,
		"{}\n```json\n" REPLY "\n```", "[1]\n```\n" REPLY "\n```", "<b>\n```\n" REPLY "```",
		"Sure!\n```json\n" REPLY "\n```\nBye.", "Sure!\n```json\n" REPLY,
		"<think>" REPLY, " <think>", "</think>" REPLY, "<THINK>a</THINK>" REPLY,
		"<think>a</think>b</think>" REPLY, "a<think>b</think>" REPLY,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		assert_int_equal(read_text(fine[i]), 0);
		assert_ptr_equal(verdicts[0].rating, scale[1]);
		check_unrated(&verdicts[1], OUTCOME_MISSING);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_all(wrong[i], OUTCOME_NOT_JSON);
}

static void test_replies_without_ratings(void **state)
{
	static const char *const empty[] = { "", " \n ", "```json\n```", "``````" };
	static const char *const not_json[] = {
		"good",
		"{",
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\"}",
		"{\"ratings\":[}",
		"`````",
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\",\"reason\":\"\xff\"}]}",
	};
	static const char *const not_schema[] = {
		"null", "5", "\"good\"", "[]", "[{\"line\":12,\"rating\":\"good\"}]", "{}",
		"{\"ratings\":null}",
		"{\"ratings\":{\"12\":\"good\"}}", "{\"ratings\":\"good\"}", "{\"Ratings\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
		check_all(empty[i], OUTCOME_EMPTY);
	for (size_t i = 0; i < sizeof(not_json) / sizeof(not_json[0]); i++)
		check_all(not_json[i], OUTCOME_NOT_JSON);
	for (size_t i = 0; i < sizeof(not_schema) / sizeof(not_schema[0]); i++)
		check_all(not_schema[i], OUTCOME_NOT_SCHEMA);
	check_all("{\"ratings\":[]}", OUTCOME_MISSING);
}

static void test_every_shorter_reply_rates_nothing(void **state)
{
	static const char reply[] = "{\"ratings\":[{\"line\":12,\"rating\":\"good\"},"
		"{\"line\":3,\"rating\":\"poor\"}]}";

	(void)state;
	for (size_t len = 1; len < strlen(reply); len++) {
		assert_int_equal(read_bytes(reply, len), 0);
		check_unrated(&verdicts[0], OUTCOME_NOT_JSON);
		check_unrated(&verdicts[1], OUTCOME_NOT_JSON);
	}
}

static void test_nul_bytes_are_no_end(void **state)
{
	static const char reply[] = REPLY "\0" REPLY;

	(void)state;
	read_bytes(reply, sizeof(reply) - 1);
	check_unrated(&verdicts[0], OUTCOME_NOT_JSON);
}

static void test_ratings_are_never_guessed(void **state)
{
	static const char *const wrong[] = {
		"\"rating\":\"Good\"",
		"\"rating\":\"goo\"",
		"\"rating\":\"good.\"",
		"\"rating\":\"very good\"",
		"\"rating\":\"\"",
		"\"rating\":\"missed opportunity\"",
		"\"rating\":null",
		"\"rating\":1",
		"\"rating\":[\"good\"]",
		"\"rating\":\"good\\u0000\"",
		"\"rating\":\"good\\u0000x\"",
		"\"Rating\":\"good\"",
		"\"rating\":\"excellent|good\"",
		"\"rating\":\"\\u00a0good\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		read_one(wrong[i]);
		check_unrated(&verdicts[0], OUTCOME_UNKNOWN_RATING);
	}
	read_one("\"rating\":\" good\\n\"");
	assert_ptr_equal(verdicts[0].rating, scale[1]);
}

static void test_elements_for_no_line_are_stray(void **state)
{
	static const char *const lines[] = {
		"{\"line\":\"012\",\"rating\":\"good\"}",
		"{\"line\":\"+12\",\"rating\":\"good\"}",
		"{\"line\":\" 12\",\"rating\":\"good\"}",
		"{\"line\":\"12 \",\"rating\":\"good\"}",
		"{\"line\":\"12.0\",\"rating\":\"good\"}",
		"{\"line\":\"12\\u0000\",\"rating\":\"good\"}",
		"{\"line\":\"0xc\",\"rating\":\"good\"}",
		"{\"line\":\"\",\"rating\":\"good\"}",
		"{\"line\":\"-0\",\"rating\":\"good\"}",
		"{\"line\":\"99999999999999999999\",\"rating\":\"good\"}",
		"{\"line\":12.5,\"rating\":\"good\"}",
		"{\"line\":null,\"rating\":\"good\"}",
		"{\"line\":true,\"rating\":\"good\"}",
		"{\"rating\":\"good\"}",
		"{\"line\":NaN,\"rating\":\"good\"}",
		"\"good\"",
		"null",
		"12",
		"[12,\"good\"]",
		"{}",
	};
	char reply[200];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(reply, sizeof(reply),
			 "{\"ratings\":[%s,{\"line\":3,\"rating\":\"good\"}]}", lines[i]);
		assert_int_equal(read_text(reply), 1);
		check_unrated(&verdicts[0], OUTCOME_MISSING);
		assert_int_equal(verdicts[1].outcome, OUTCOME_RATED);
	}
}

/* As models write them where the schema is not enforced; no other string is a number. */
static void test_numbers_of_lines_may_be_strings(void **state)
{
	(void)state;
	assert_int_equal(read_text("{\"ratings\":[{\"line\":\"12\",\"rating\":\"good\"},"
				   "{\"line\":\"3\",\"rating\":\"poor\"}]}"), 0);
	assert_ptr_equal(verdicts[0].rating, scale[1]);
	assert_ptr_equal(verdicts[1].rating, scale[2]);
	assert_int_equal(read_text("{\"ratings\":[{\"line\":\"12\",\"rating\":\"good\"},"
				   "{\"line\":12,\"rating\":\"good\"}]}"), 0);
	check_unrated(&verdicts[0], OUTCOME_DUPLICATE);
	assert_int_equal(read_text("{\"ratings\":[{\"line\":\"13\",\"rating\":\"good\"},"
				   "{\"line\":3,\"rating\":\"good\"}]}"), 1);
	check_unrated(&verdicts[1], OUTCOME_UNKNOWN_LINE);
}

static void check_cut(const char *reply, const char *rest)
{
	const char *start;
	size_t len = verdict_find_cut(reply, strlen(reply), &start);

	assert_int_equal(len, strlen(rest));
	assert_memory_equal(start, rest, len);
}

static void test_where_a_cut_reply_begins(void **state)
{
	(void)state;
	check_cut(" {\"a\"", "{\"a\"");
	check_cut("```json\n{\"a\"", "{\"a\"");
	check_cut("Here:\n```json\n{\"a\"", "{\"a\"");
	check_cut("<think>{}</think> {\"a\"", "{\"a\"");
	check_cut("<think>{\"a\"", "");
	check_cut("Here: {\"a\"", "");
	check_cut("[{\"a\"", "");
	check_cut("", "");
}

/*
 * Lines 12 and 3 were asked about, in this order: the second one's rating may stand under the
 * first's number.
 */
static void test_a_stray_out_of_place_rates_nothing(void **state)
{
	(void)state;
	assert_int_equal(
		read_text(
			"{\"ratings\":[{\"line\":3,\"rating\":\"good\"},{\"line\":null,"
			"\"rating\":\"poor\"}]}"),
		1);
	check_unrated(&verdicts[0], OUTCOME_UNKNOWN_LINE);
	check_unrated(&verdicts[1], OUTCOME_UNKNOWN_LINE);
}

/* 12 may have been given as 13, and 3 be another line's rating. */
static void test_unknown_numbers_with_lines_missing_rate_nothing(void **state)
{
	static const char *const numbers[] = { "13", "1",	   "-12",
					       "0",  "4294967308", "99999999999999999999" };
	char reply[200];

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(reply, sizeof(reply), "{\"ratings\":[{\"line\":3,\"rating\":\"good\"},"
			 "{\"line\":%s,\"rating\":\"poor\"}]}", numbers[i]);
		assert_int_equal(read_text(reply), 1);
		check_unrated(&verdicts[0], OUTCOME_UNKNOWN_LINE);
		check_unrated(&verdicts[1], OUTCOME_UNKNOWN_LINE);
	}
	assert_int_equal(
		read_text(
			"{\"ratings\":[{\"line\":3,\"rating\":\"good\"},{\"line\":4,"
			"\"rating\":\"poor\"},"
			"{\"line\":12,\"rating\":\"poor\"}]}"),
		1);
	assert_ptr_equal(verdicts[0].rating, scale[2]);
	assert_ptr_equal(verdicts[1].rating, scale[1]);
}

static void test_objects_of_odd_keys_rate_nothing(void **state)
{
	static const char *const replies[] = {
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\",\"line\":3}]}",
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\",\"r\\u0061ting\":\"poor\"}]}",
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\"}],\"ratings\":[]}",
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\",\"x\":{\"a\":1,\"a\":[{}]}}]}",
		"{\"ratings\":[{\"line\":12,\"rating\\u0000s\":\"good\"}]}",
		"{\"ratings\\u0000\" :[{\"line\":12,\"rating\":\"good\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		check_all(replies[i], OUTCOME_NOT_SCHEMA);
	read_text(
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\",\"reason\":\"a: b \\\" : "
		"\\u0000 \\\\\",\"x\":1}]}");
	assert_int_equal(verdicts[0].outcome, OUTCOME_RATED);
}

static void test_words_that_quote_our_key_are_left_out(void **state)
{
	static const char reply[] =
		"{\"ratings\":[{\"line\":12,\"rating\":\"good\",\"reason\":\"You sent "
		"\\u0073k-12345678.\","
		"\"alternatives\":[\"Bearer sk-12345678\",\"sk-1234567\"]}]}";
	struct config keyed = config;

	(void)state;
	keyed.openai.api_key = (char []){ "sk-12345678" };
	verdict_read(reply, strlen(reply), &keyed, asked, 2, &arena, verdicts);
	assert_int_equal(verdicts[0].outcome, OUTCOME_RATED);
	assert_string_equal(verdicts[0].reason, "");
	assert_int_equal(verdicts[0].nalternatives, 1);
	assert_string_equal(verdicts[0].alternatives[0], "sk-1234567");
	keyed.openai.api_key = (char []){ "You" };	/* a word like others */
	verdict_read(reply, strlen(reply), &keyed, asked, 2, &arena, verdicts);
	assert_string_equal(verdicts[0].reason, "You sent sk-12345678.");
}

/* It would take a quarter of a gigabyte to find out that nothing in it is a rating. */
static void test_a_reply_of_too_many_values_is_not_read(void **state)
{
	const size_t n = 300000;
	char *reply = malloc(3 * n + 20), *p = reply;

	(void)state;
	assert_non_null(reply);
	p += sprintf(p, "{\"ratings\":[{}");
	for (size_t i = 0; i < n; i++, p += 3)
		memcpy(p, ",{}", 3);
	strcpy(p, "]}");
	check_all(reply, OUTCOME_NOT_JSON);
	memset(reply + 14, ' ', 3 * n);		/* the length alone is no reason */
	assert_int_equal(read_text(reply), 1);
	check_unrated(&verdicts[0], OUTCOME_MISSING);
	free(reply);
}

static void test_a_refusal_keeps_the_providers_words(void **state)
{
	struct verdict v[2];

	(void)state;
	verdict_refused(v, 2, &arena, " blocked\x1b[31m by policy ");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(v[i].outcome, OUTCOME_REFUSED);
		assert_null(v[i].rating);
		assert_string_equal(v[i].reason, "blocked [31m by policy");
	}
}

static void test_a_line_rated_twice_is_not_rated(void **state)
{
	static const char *const second[] = { "\"poor\"", "\"good\"", "\"wrong\"", "null" };
	char reply[300];

	(void)state;
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
		snprintf(
			reply, sizeof(reply),
			"{\"ratings\":[{\"line\":12,\"rating\":\"good\","
			"\"alternatives\":[\"a\"],\"reason\":\"r\"},{\"line\":3,"
			"\"rating\":\"poor\"},{\"line\":12,\"rating\":%s},"
			"{\"line\":12,\"rating\":\"good\"}]}",
			second[i]);
		assert_int_equal(read_text(reply), 0);
		check_unrated(&verdicts[0], OUTCOME_DUPLICATE);
		assert_ptr_equal(verdicts[1].rating, scale[2]);
	}
	read_text(
		"{\"ratings\":[{\"line\":12,\"rating\":\"x\"},{\"line\":12,\"rating\":\"good\"}]}");
	check_unrated(&verdicts[0], OUTCOME_DUPLICATE);
}

static void test_alternatives_are_taken_as_they_can_be(void **state)
{
	(void)state;
	read_one("\"rating\":\"good\",\"alternatives\":[1,\" a \",null,\"\",\"  \","
		 "\"\\u00a0\",{},\"b\",\"c\",\"d\"]");
	assert_int_equal(verdicts[0].nalternatives, 3);
	assert_string_equal(verdicts[0].alternatives[0], "a");
	assert_string_equal(verdicts[0].alternatives[1], "b");
	assert_string_equal(verdicts[0].alternatives[2], "c");
	read_one("\"rating\":\"good\",\"alternatives\":\"a\",\"reason\":7");
	assert_int_equal(verdicts[0].outcome, OUTCOME_RATED);
	assert_int_equal(verdicts[0].nalternatives, 0);
	assert_string_equal(verdicts[0].reason, "");
	read_one("\"rating\":\"good\",\"alternatives\":null,\"reason\":null");
	assert_int_equal(verdicts[0].outcome, OUTCOME_RATED);
	assert_int_equal(verdicts[0].nalternatives, 0);
}

static void test_alternatives_are_capped_in_number(void **state)
{
	static const struct { int64_t configured; size_t kept; } cases[] = {
		{ 0, 0 }, { 1, 1 }, { 10, 10 }, { 1000, ALTERNATIVES_CAP }, { -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		config.rater.alternatives = cases[i].configured;
		read_one("\"rating\":\"good\",\"alternatives\":["
			 "\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
			 "\"10\",\"11\",\"12\"]");
		assert_int_equal(verdicts[0].nalternatives, cases[i].kept);
	}
	config.rater.alternatives = 3;
}

static void test_texts_are_cut_and_made_harmless(void **state)
{
	char text[ALTERNATIVE_CAP_BYTES + 8], members[2 * sizeof(text) + 100];

	(void)state;
	memset(text, 'x', sizeof(text));
	strcpy(text + ALTERNATIVE_CAP_BYTES - 1, "\xe2\x82\xac");
	snprintf(members, sizeof(members),
		 "\"rating\":\"good\",\"alternatives\":[\"%s\"],\"reason\":\"%s\"", text, text);
	read_one(members);
	assert_int_equal(strlen(verdicts[0].alternatives[0]), ALTERNATIVE_CAP_BYTES - 1);
	assert_int_equal(strlen(verdicts[0].reason), REASON_CAP_BYTES - 1);
	read_one(
		"\"rating\":\"good\","
		"\"alternatives\":[\"a\\u0000b\\u001b[2J\\r\\n\\tc\\u007f\\u009bd\"],"
		"\"reason\":\"\\ud800 \\ud83d\\ude00\"");
	assert_string_equal(verdicts[0].alternatives[0], "a b [2J \n\tc  d");
	assert_string_equal(verdicts[0].reason, "\xef\xbf\xbd \xf0\x9f\x98\x80");
}

static void test_many_lines(void **state)
{
	enum { N = 2000 };
	static struct line lines[N];
	static const struct line *pointers[N];
	static struct verdict many[N];
	char *reply = calloc(N, 60), *end = reply;

	(void)state;
	end += sprintf(end, "{\"ratings\":[");
	for (int i = 0; i < N; i++) {
		lines[i].index = (i * 7) % N;		/* each once, out of order */
		pointers[i] = &lines[i];
		end += sprintf(end, "%s{\"line\":%d,\"rating\":\"%s\"}", i ? "," : "", i,
			       scale[i % 4]);
	}
	sprintf(end, "]}");
	assert_int_equal(verdict_read(reply, strlen(reply), &config, pointers, N, &arena, many), 0);
	for (int i = 0; i < N; i++)
		assert_ptr_equal(many[i].rating, scale[lines[i].index % 4]);
	free(reply);
}

static void test_give_holds_to_the_same_rules(void **state)
{
	const char *alternatives[] = { "", "first", NULL, "\xff second\x07", "third", "fourth" };
	struct verdict v;

	(void)state;
	verdict_give(&v, &config, &arena, "poor", alternatives, 6, NULL);
	assert_int_equal(v.outcome, OUTCOME_RATED);
	assert_ptr_equal(v.rating, scale[2]);
	assert_int_equal(v.nalternatives, 3);
	assert_string_equal(v.alternatives[0], "first");
	assert_string_equal(v.alternatives[1], "? second ");
	assert_string_equal(v.alternatives[2], "third");
	assert_string_equal(v.reason, "");
	verdict_give(&v, &config, &arena, "fair", alternatives, 6, "why");
	check_unrated(&v, OUTCOME_UNKNOWN_RATING);
	verdict_give(&v, &config, &arena, NULL, NULL, 0, "why");
	check_unrated(&v, OUTCOME_UNKNOWN_RATING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_reply),
		cmocka_unit_test(test_white_space_and_one_fence_are_tolerated),
		cmocka_unit_test(test_replies_without_ratings),
		cmocka_unit_test(test_every_shorter_reply_rates_nothing),
		cmocka_unit_test(test_nul_bytes_are_no_end),
		cmocka_unit_test(test_ratings_are_never_guessed),
		cmocka_unit_test(test_elements_for_no_line_are_stray),
		cmocka_unit_test(test_numbers_of_lines_may_be_strings),
		cmocka_unit_test(test_where_a_cut_reply_begins),
		cmocka_unit_test(test_a_stray_out_of_place_rates_nothing),
		cmocka_unit_test(test_unknown_numbers_with_lines_missing_rate_nothing),
		cmocka_unit_test(test_objects_of_odd_keys_rate_nothing),
		cmocka_unit_test(test_words_that_quote_our_key_are_left_out),
		cmocka_unit_test(test_a_reply_of_too_many_values_is_not_read),
		cmocka_unit_test(test_a_refusal_keeps_the_providers_words),
		cmocka_unit_test(test_a_line_rated_twice_is_not_rated),
		cmocka_unit_test(test_alternatives_are_taken_as_they_can_be),
		cmocka_unit_test(test_alternatives_are_capped_in_number),
		cmocka_unit_test(test_texts_are_cut_and_made_harmless),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_give_holds_to_the_same_rules),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, teardown);
}
