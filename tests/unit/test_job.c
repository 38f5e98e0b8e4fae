/* job.c: which jobs are understood, how, and which are refused with what words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "queue/job.h"

static char *default_names[] = { "rep", "user" };
static struct speakers speakers = { .names = default_names, .n = 2 };
static struct job job;
static struct err err;

/* A job whose session's other jobs say that a full batch has so many lines; 0: they say nothing. */
static int parse_knowing(const char *data, int stride)
{
	arena_free(&job.arena);
	job = (struct job){ .known_stride = stride, .session_id = "5e5510a0" };
	err = (struct err){ 0 };
	return job_parse(&job, &speakers, data, strlen(data), &err);
}

static int parse(const char *data)
{
	return parse_knowing(data, 0);
}

static void parse_ok(const char *data)
{
	if (parse(data) != 0)
		fail_msg("%s refused: %s", data, err.text);
}

/* Refuses data, with words that hold all of the needles. */
static void check_refused(const char *data, const char *needle, const char *needle2)
{
	if (parse(data) == 0)
		fail_msg("%.200s was taken", data);
	assert_int_equal(err.kind, ERR_PERMANENT);
	if (!strstr(err.text, needle) || !strstr(err.text, needle2))
		fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err.text, needle, needle2);
	assert_int_equal(job.nlines + job.nrated + job.skipped, 0);
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&job.arena);
	return 0;
}

static void test_reads_what_applications_write(void **state)
{
	(void)state;
	parse_ok("{\"transcript\": [{\"speaker\": \"rep\", \"text\": \"Hello.\", \"index\": 10},"
		 " {\"speaker\": \"customer\", \"text\": \"Hi\\nthere\", \"index\": 11},"
		 " {\"speaker\": \" User \", \"message\": \"Fine?\", \"line_number\": 12.0,"
		 " \"mood\": [1]}],"
		 " \"batchIndex\": 2, \"batchSize\": 5, \"totalBatches\": 7,"
		 " \"salesRepName\": \"Ann\","
		 " \"customerName\": \"Bob\", \"other\": {\"a\": [null]}}");
	assert_int_equal(job.nlines, 3);
	assert_int_equal(job.nrated, 2);
	assert_int_equal(job.skipped, 0);
	assert_int_equal(job.total_batches, 7);
	assert_string_equal(job.sales_rep, "Ann");
	assert_string_equal(job.customer, "Bob");
	assert_int_equal(job.lines[0].index, 10);
	assert_true(job.lines[0].rated);
	assert_string_equal(job.lines[0].text, "Hello.");
	assert_int_equal(job.lines[0].text_len, 6);
	assert_false(job.lines[1].rated);
	assert_string_equal(job.lines[1].speaker, "customer");
	assert_string_equal(job.lines[1].text, "Hi\nthere");
	assert_true(job.lines[2].rated);
	assert_int_equal(job.lines[2].index, 12);
	assert_string_equal(job.lines[2].text, "Fine?");
}

static void test_only_rep_and_user_are_rated(void **state)
{
	static const struct { const char *speaker; bool rated; } cases[] = {
		{ "\"rep\"", true }, { "\"REP\"", true }, { "\"user\"", true },
		{ "\"\\tUSER \\n\"", true },
		{ "\"customer\"", false }, { "\"reps\"", false }, { "\"re\"", false },
		{ "\"\"", false },
		{ "\"rep user\"", false }, { "\"r\xc3\xa9p\"", false }, { "null", false },
		{ "7", false },
		{ "[\"rep\"]", false },
	};
	char data[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(data, sizeof(data), "{\"transcript\":[{\"speaker\":%s,\"text\":\"x\"}]}",
			 cases[i].speaker);
		parse_ok(data);
		assert_int_equal(job.nlines, 1);
		assert_int_equal(job.lines[0].rated, cases[i].rated);
		assert_int_equal(job.nrated, cases[i].rated);
	}
	parse_ok("{\"transcript\":[{\"text\":\"x\"}]}");
	assert_false(job.lines[0].rated);
	assert_string_equal(job.lines[0].speaker, "");
}

static void test_speakers_are_those_configured(void **state)
{
	static char *names[] = { "agent", "sales rep" };
	static const struct { const char *speaker; bool rated; } cases[] = {
		{ "agent", true }, { " Agent\\n", true }, { "SALES REP ", true }, { "rep", false },
		{ "user", false }, { "sales", false }, { "sales  rep", false }, { "agents", false },
	};
	struct speakers before = speakers;
	char data[200];

	(void)state;
	speakers = (struct speakers){ .names = names, .n = 2 };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(data, sizeof(data),
			 "{\"transcript\":[{\"speaker\":\"%s\",\"text\":\"x\"}]}",
			 cases[i].speaker);
		parse_ok(data);
		assert_int_equal(job.nrated, cases[i].rated);
	}
	speakers = before;
}

static void test_a_job_may_have_speakers_of_its_own(void **state)
{
#define TALK(list) \
	"{\"transcript\":[{\"speaker\":\"Agent\",\"text\":\"x\",\"index\":0}," \
	"{\"speaker\":\"rep\",\"text\":\"y\",\"index\":1}," \
	"{\"text\":\"z\",\"index\":2}],\"ratedSpeakers\":" list "}"
	static const struct { const char *data; bool agent, rep; } cases[] = {
		{ TALK("[\"agent\"]"), true, false }, { TALK("[\"rep\",\"Agent\"]"), true, true },
		{ TALK("[\"\"]"), false, false }, { TALK("null"), false, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse_ok(cases[i].data);
		assert_int_equal(job.lines[0].rated, cases[i].agent);
		assert_int_equal(job.lines[1].rated, cases[i].rep);
		assert_false(job.lines[2].rated);	/* nobody is no speaker */
	}
	check_refused(TALK("\"agent\""), "ratedSpeakers is \"agent\"", "");
	check_refused(TALK("[]"), "ratedSpeakers is an array", "1 to 20 names");
	check_refused(TALK("[\"agent\",5]"), "ratedSpeakers[1] is 5", "");
}

static void check_notice(const char *first, const char *second, const char *notice)
{
	char data[300];

	snprintf(data, sizeof(data), "{\"transcript\":[{\"speaker\":\"%s\",\"text\":\"x\","
		 "\"index\":0},{\"speaker\":\"%s\",\"text\":\"y\",\"index\":1}]}", first, second);
	parse_ok(data);
	if (notice)
		assert_string_equal(job.notice, notice);
	else
		assert_null(job.notice);
}

static void test_it_is_said_who_was_rated_of_two_sides(void **state)
{
	static char *agent[] = { "agent" }, *nobody[] = { "nobody" };
	struct speakers before = speakers;

	(void)state;
	check_notice("agent", "User ", "\"user\" stands beside \"agent\"; "
		     "by rater.speakers, lines of "
		     "\"user\" are rated, those of \"agent\" are context");
	check_notice("user", "assistant", "\"user\" stands beside \"assistant\"; "
		     "by rater.speakers, lines of \"user\" are rated, those of \"assistant\" are context");
	check_notice("rep", "user", "\"user\" stands beside \"rep\"; by rater.speakers, lines of "
		     "\"user\", \"rep\" are rated");
	check_notice("user", "customer", NULL);
	check_notice("rep", "customer", NULL);
	check_notice("agent", "bot", NULL);
	check_notice("user", "users", NULL);
	speakers = (struct speakers){ .names = agent, .n = 1 };
	check_notice("agent", "user", "\"user\" stands beside \"agent\"; "
		     "by rater.speakers, lines of "
		     "\"agent\" are rated, those of \"user\" are context");
	speakers = (struct speakers){ .names = nobody, .n = 1 };
	check_notice("bot", "user", "\"user\" stands beside \"bot\"; by rater.speakers, lines of "
		     "none of them are rated");
	speakers = before;
	parse_ok("{\"transcript\":[{\"speaker\":\"user\",\"text\":\"x\"},"
		 "{\"speaker\":\"agent\",\"text\":\"y\"}],\"ratedSpeakers\":[\"agent\"]}");
	assert_string_equal(job.notice, "\"user\" stands beside \"agent\"; by ratedSpeakers, lines "
			    "of \"agent\" are rated, those of \"user\" are context");
	parse_ok("{\"transcript\":[{\"speaker\":\"user\",\"text\":\"x\"},"
		 "{\"speaker\":\"agent\",\"text\":\" \"}]}");
	assert_null(job.notice);	/* it says nothing */
}

static void test_lines_without_text_are_skipped_and_counted(void **state)
{
	(void)state;
	parse_ok("{\"transcript\":[{\"speaker\":\"rep\"}, {\"speaker\":\"rep\",\"text\":null},"
		 "{\"speaker\":\"rep\",\"text\":\" \\t\\n\\u3000\"},"
		 "{\"speaker\":\"customer\",\"text\":\"\"},"
		 "{\"speaker\":\"rep\",\"text\":\"  \",\"message\":\"here\"},"
		 "{\"speaker\":\"rep\",\"text\":\"wins\",\"message\":5}]}");
	assert_int_equal(job.skipped, 3);
	assert_int_equal(job.nlines, 2);
	assert_int_equal(job.nrated, 2);
	assert_string_equal(job.lines[0].text, "here");
	assert_int_equal(job.lines[0].index, 4);	/* skipped entries count as positions */
	assert_string_equal(job.lines[1].text, "wins");
	assert_int_equal(job.lines[1].index, 5);
}

static void test_index_from_batch(void **state)
{
	static const struct { const char *batch; int first; } cases[] = {
		{ "\"batchIndex\":3,\"batchSize\":10,\"totalBatches\":5", 30 },
		{ "\"batchIndex\":3", 15 }, { "\"batchIndex\":3,\"totalBatches\":4", 15 },
		{ "\"batchSize\":10", 0 }, { "\"batchIndex\":null,\"batchSize\":null", 0 },
		{ "\"batchIndex\":2.0,\"batchSize\":4,\"totalBatches\":4", 8 },
		{ "\"batchIndex\":2147483646,\"batchSize\":1,\"totalBatches\":2147483648", -1 },
		{ "\"batchIndex\":2147483645,\"batchSize\":1,\"totalBatches\":2147483647",
		  2147483645 },
		{ "\"x\":0", 0 },
	};
	char data[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(data, sizeof(data),
			 "{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"x\"},"
			 "{\"speaker\":\"rep\",\"text\":\"y\",\"index\":null}],%s}",
			 cases[i].batch);
		if (cases[i].first < 0) {
			assert_int_equal(parse(data), -1);
			assert_int_equal(err.kind, ERR_RETRY);
			continue;
		}
		parse_ok(data);
		assert_int_equal(job.lines[0].index, cases[i].first);
		assert_int_equal(job.lines[1].index, cases[i].first + 1);
	}
	/* With indexes of their own, nobody asks for the batch. */
	parse_ok("{\"transcript\":[{\"text\":\"x\",\"index\":1}],\"batchIndex\":\"a\","
		 "\"batchSize\":-1}");
}

/* Of three batches with so many lines; what the others say; the first line's index, or -1. */
static void test_the_last_batch_goes_by_the_others(void **state)
{
	static const struct { int batch, size, total, known, first, stride; } cases[] = {
		{ 2, 2, 3, 5, 10, 5 },		/* shorter than the others */
		{ 2, 5, 3, 5, 10, 5 }, { 2, 7, 3, 5, 14, 7 },
		{ 2, 2, 3, 0, -1, 0 }, { 2, 5, 3, 0, -1, 0 }, { 3, 2, 3, 0, -1, 0 },
		{ 2, 2, 0, 0, -1, 0 },		/* nobody says that it is not the last */
		{ 1, 5, 3, 0, 5, 5 }, { 1, 3, 3, 5, 5, 5 },
		{ 0, 5, 3, 0, 0, 5 }, { 0, 2, 1, 0, 0, 2 }, { 0, 2, 1, 5, 0, 5 },
	};
	char data[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(data, sizeof(data), "{\"transcript\":[{\"speaker\":\"rep\","
			 "\"text\":\"x\"}],\"batchIndex\":%d,\"batchSize\":%d,\"totalBatches\":%d}",
			 cases[i].batch, cases[i].size, cases[i].total);
		if (cases[i].first < 0) {
			assert_int_equal(parse_knowing(data, cases[i].known), -1);
			assert_int_equal(err.kind, ERR_RETRY);
			assert_non_null(strstr(err.text, "session 5e5510a0"));
			assert_non_null(strstr(err.text, "and retry it"));	/* not cut */
			assert_int_equal(job.nlines + job.nrated, 0);
			continue;
		}
		assert_int_equal(parse_knowing(data, cases[i].known), 0);
		assert_int_equal(job.lines[0].index, cases[i].first);
		assert_int_equal(job.stride, cases[i].stride);
	}
	/* Lines with indexes of their own tell nobody anything. */
	assert_int_equal(parse_knowing("{\"transcript\":[{\"text\":\"x\",\"index\":1}],"
				       "\"batchIndex\":2,\"batchSize\":2}", 5), 0);
	assert_int_equal(job.stride, 0);
}

static void test_bad_batches_are_refused_where_needed(void **state)
{
#define NO_INDEX \
	"{\"transcript\":[{\"text\":\"x\",\"index\":1},{\"speaker\":\"rep\",\"text\":\"x\"}],"
	(void)state;
	check_refused(NO_INDEX "\"batchIndex\":-1}", "transcript[1] has no index",
		      "batchIndex is -1;");
	check_refused(NO_INDEX "\"batchIndex\":\"2\"}", "batchIndex is \"2\"", "from 0");
	check_refused(NO_INDEX "\"batchSize\":0}", "batchSize is 0", "from 1");
	check_refused(NO_INDEX "\"batchSize\":1.5}", "batchSize is 1.5", "whole number");
	check_refused(NO_INDEX "\"batchSize\":{}}", "batchSize is an object", "whole number");
	check_refused(NO_INDEX "\"batchIndex\":2147483645,\"batchSize\":2147483647,"
		      "\"totalBatches\":2147483647}", "batchIndex 2147483645", "too large");
	check_refused(NO_INDEX "\"batchIndex\":2147483645,\"batchSize\":2,"
		      "\"totalBatches\":2147483647}", "transcript[1]", "too large");
}

static void test_bad_indexes_are_refused_by_name(void **state)
{
	static const struct { const char *json, *words; } cases[] = {
		{ "\"abc\"", "index is \"abc\";" }, { "\"03\"", "index is \"03\";" },
		{ "\"\"", "index is \"\";" }, { "\" 3\"", "index is \" 3\";" },
		{ "\"3 \"", "index is \"3 \";" }, { "\"+3\"", "index is \"+3\";" },
		{ "\"-0\"", "index is \"-0\";" }, { "\"3.0\"", "index is \"3.0\";" },
		{ "\"1e1\"", "index is \"1e1\";" }, { "\"3\\u0000\"", "index is \"3 \";" },
		{ "\"2147483648\"", "index is \"2147483648\";" },
		{ "\"18446744073709551617\"", "index is \"18446744073709551617\";" },
		{ "-1", "index is -1;" },
		{ "2147483648", "index is 2147483648;" }, { "3.5", "index is 3.5;" },
		{ "1e300", "index is 1e300;" },
		{ "99999999999999999999999999", "index is 18446744073709551615;" },
		{ "true", "index is true;" }, { "[1]", "index is an array;" },
		{ "{}", "index is an object;" },
		{ "NaN", "index is NaN;" },
		{ "\"a\\u0000\\u001b\\nb\"", "index is \"a   b\";" },
		{ "\"0123456789012345678901234567890123456789x\"",
		  "index is \"0123456789012345678901234567890123456789...\";" },
		{ "\"012345678901234567890123456789012345678\xc3\xa9\"",
		  "index is \"012345678901234567890123456789012345678...\";" },
	};
	char data[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(data, sizeof(data), "{\"transcript\":[{\"text\":\"a\",\"index\":0},"
			 "{\"speaker\":\"rep\",\"text\":\"b\",\"index\":%s}]}", cases[i].json);
		check_refused(data, "transcript[1].", cases[i].words);
	}
	check_refused("{\"transcript\":[{\"text\":\"a\",\"line_number\":\"x\"}]}",
		      "transcript[0].line_number is \"x\"; ",
		      "it must be a whole number from 0 to 2147483647");
	parse_ok("{\"transcript\":[{\"text\":\"a\",\"index\":2147483647},"
		 "{\"text\":\"b\",\"index\":-0.0},"
		 "{\"text\":\"c\",\"index\":\"2147483647\"},"
		 "{\"text\":\"d\",\"line_number\":\"0\"}]}");
	assert_int_equal(job.lines[0].index, 2147483647);
	assert_int_equal(job.lines[1].index, 0);
	assert_int_equal(job.lines[2].index, 2147483647);
	assert_int_equal(job.lines[3].index, 0);
}

static void test_refuses_what_is_no_transcript(void **state)
{
	(void)state;
	check_refused("", "job_data is not JSON", "empty");
	check_refused("{\"transcript\":[", "job_data is not JSON", "end of data");
	check_refused("{} {}", "job_data is not JSON", "");
	check_refused("{\"transcript\":[{\"text\":\"\xed\xa0\x80\"}]}", "not JSON", "UTF-8");
	check_refused("null", "job_data is null", "must be an object");
	check_refused("[1]", "job_data is an array", "must be an object");
	check_refused("5", "job_data is 5", "must be an object");
	check_refused("{}", "job_data has no transcript", "");
	check_refused("{\"transcript\":null}", "transcript is null", "must be an array");
	check_refused("{\"transcript\":\"hello\"}", "transcript is \"hello\"", "must be an array");
	check_refused("{\"transcript\":[\"hello\"]}", "transcript[0] is \"hello\"",
		      "must be an object");
	check_refused("{\"transcript\":[{\"text\":\"a\"},null]}", "transcript[1] is null", "");
	check_refused("{\"transcript\":[{\"text\":5}]}", "transcript[0].text is 5",
		      "must be a string");
	check_refused("{\"transcript\":[{\"text\":\"\",\"message\":[]}]}",
		      "transcript[0].message is an array", "");
}

static void test_refuses_bytes_after_a_nul(void **state)
{
	static const char data[] = "{\"transcript\":[]}\0{\"transcript\":[]}";

	(void)state;
	arena_free(&job.arena);
	assert_int_equal(job_parse(&job, &speakers, data, sizeof(data) - 1, &err), -1);
	assert_non_null(strstr(err.text, "NUL"));
	assert_int_equal(job_parse(&job, &speakers, data, strlen(data), &err), 0);
}

static void test_two_rated_lines_of_one_index_are_refused(void **state)
{
	(void)state;
	check_refused("{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"a\",\"index\":4},"
		      "{\"speaker\":\"rep\",\"text\":\"b\",\"index\":9},"
		      "{\"speaker\":\"customer\",\"text\":\"c\",\"index\":4},"
		      "{\"speaker\":\"user\",\"text\":\"d\",\"index\":4}]}",
		      "transcript[0] and transcript[3]", "index 4");
	/* Neither context nor lines without text stand in the way. */
	parse_ok("{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"a\",\"index\":4},"
		 "{\"speaker\":\"customer\",\"text\":\"b\",\"index\":4},"
		 "{\"speaker\":\"rep\",\"text\":\"\",\"index\":4}]}");
	assert_int_equal(job.nrated, 1);
}

static void test_empty_transcript_is_fine(void **state)
{
	(void)state;
	parse_ok("{\"transcript\":[]}");
	assert_int_equal(job.nlines, 0);
	assert_string_equal(job.sales_rep, "");
	assert_string_equal(job.customer, "");
	assert_int_equal(job.total_batches, 0);
}

static void test_names_and_totals_that_are_not_right_are_ignored(void **state)
{
	static const char *const totals[] = { "0", "-3", "\"4\"", "1.5", "null", "[]", "1e99" };
	char data[200];

	(void)state;
	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
		snprintf(data, sizeof(data),
			 "{\"transcript\":[],\"totalBatches\":%s,\"salesRepName\":5,"
			 "\"customerName\":null}", totals[i]);
		parse_ok(data);
		assert_int_equal(job.total_batches, 0);
		assert_string_equal(job.sales_rep, "");
		assert_string_equal(job.customer, "");
	}
}

static void test_long_names_are_cut_at_a_character(void **state)
{
	char name[NAME_CAP_BYTES + 4], data[NAME_CAP_BYTES + 100];

	(void)state;
	memset(name, 'n', NAME_CAP_BYTES - 1);
	strcpy(name + NAME_CAP_BYTES - 1, "\xc3\xa9");
	snprintf(data, sizeof(data), "{\"transcript\":[],\"salesRepName\":\"%s\"}", name);
	parse_ok(data);
	assert_int_equal(strlen(job.sales_rep), NAME_CAP_BYTES - 1);
	assert_memory_equal(job.sales_rep, name, NAME_CAP_BYTES - 1);
}

static void test_nul_in_a_text_becomes_a_blank(void **state)
{
	(void)state;
	parse_ok("{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"a\\u0000b\\u0001\","
		 "\"index\":0}]}");
	assert_string_equal(job.lines[0].text, "a b\x01");
	assert_int_equal(job.lines[0].text_len, 4);
}

/* {"transcript":[{"speaker":"rep","text":"xxx..."}, ...]} */
static void make_transcript(struct buf *data, size_t entries, size_t text_bytes)
{
	char *text = calloc(1, text_bytes + 1);

	memset(text, 'x', text_bytes);
	buf_init(data, 64u << 20);
	buf_str(data, "{\"transcript\":[");
	for (size_t i = 0; i < entries; i++)
		buf_printf(data, "%s{\"speaker\":\"rep\",\"text\":\"%s\"}", i ? "," : "", text);
	buf_str(data, "]}");
	assert_true(buf_ok(data));
	free(text);
}

static void test_caps(void **state)
{
	struct buf data;

	(void)state;
	make_transcript(&data, 1, LINE_TEXT_CAP_BYTES);
	parse_ok(buf_text(&data));
	assert_int_equal(job.lines[0].text_len, LINE_TEXT_CAP_BYTES);
	buf_free(&data);
	make_transcript(&data, 1, LINE_TEXT_CAP_BYTES + 1);
	check_refused(buf_text(&data), "transcript[0].text is 32769 bytes long", "32768");
	buf_free(&data);
	make_transcript(&data, JOB_LINES_CAP + 1, 1);
	check_refused(buf_text(&data), "10001 entries", "10000");
	buf_free(&data);
	make_transcript(&data, 130, LINE_TEXT_CAP_BYTES);
	check_refused(buf_text(&data), "bytes long", "4194304");
	buf_free(&data);
}

static void test_a_large_job_is_read_quickly(void **state)
{
	struct buf data;
	clock_t start;

	(void)state;
	make_transcript(&data, JOB_LINES_CAP, 100);
	start = clock();		/* of this process: what else is running does not count */
	parse_ok(buf_text(&data));
	/* 0.02 s; quadratic takes far longer */
	assert_in_range(clock() - start, 0, 2 * CLOCKS_PER_SEC);
	assert_int_equal(job.nrated, JOB_LINES_CAP);
	assert_int_equal(job.lines[JOB_LINES_CAP - 1].index, JOB_LINES_CAP - 1);
	buf_free(&data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_what_applications_write),
		cmocka_unit_test(test_only_rep_and_user_are_rated),
		cmocka_unit_test(test_speakers_are_those_configured),
		cmocka_unit_test(test_it_is_said_who_was_rated_of_two_sides),
		cmocka_unit_test(test_a_job_may_have_speakers_of_its_own),
		cmocka_unit_test(test_lines_without_text_are_skipped_and_counted),
		cmocka_unit_test(test_index_from_batch),
		cmocka_unit_test(test_the_last_batch_goes_by_the_others),
		cmocka_unit_test(test_bad_batches_are_refused_where_needed),
		cmocka_unit_test(test_bad_indexes_are_refused_by_name),
		cmocka_unit_test(test_refuses_what_is_no_transcript),
		cmocka_unit_test(test_refuses_bytes_after_a_nul),
		cmocka_unit_test(test_two_rated_lines_of_one_index_are_refused),
		cmocka_unit_test(test_empty_transcript_is_fine),
		cmocka_unit_test(test_names_and_totals_that_are_not_right_are_ignored),
		cmocka_unit_test(test_long_names_are_cut_at_a_character),
		cmocka_unit_test(test_nul_in_a_text_becomes_a_blank),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_a_large_job_is_read_quickly),
	};

	return cmocka_run_group_tests_name("job", tests, NULL, teardown);
}
