/* result.c: what a job says of itself in its row. */
#include "grading_fixture.h"

static void check_result(const char *part)
{
	assert_non_null(strstr(g->settlement.result, part));
}

static void test_what_earlier_attempts_took_is_added(void **state)
{
	static const char *const odd[] = {
		"null", "[]", "17", "{", "{\"calls\":-1,\"outcomes\":[]}",
		"{\"outcomes\":{\"empty\":\"x\",\"missing\":-3}}",
		"{\"calls\":99999999999,\"stray\":1e300,\"outcomes\":null,\"prompt_tokens\":2.5}",
	};

	(void)state;
	earlier = "{\"calls\": 2, \"prompt_tokens\": 100, \"completion_tokens\": 7,"
		  " \"latency_ms\": 50, \"stray\": 1,"
		  " \"outcomes\": {\"empty\": 3, \"rated\": 1, \"other\": 4}}";
	begin(1, 1, 3);
	asked[0]->used.calls = 1;
	asked[0]->used.prompt_tokens = 11;
	asked[0]->used.stray = 2;
	answer_all(asked[0], OUTCOME_RATED);
	check_result("\"calls\":3,\"prompt_tokens\":111,\"completion_tokens\":7,\"latency_ms\":50");
	check_result("\"outcomes\":{\"rated\":2,\"empty\":3},\"stray\":3");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		teardown(NULL);
		earlier = odd[i];
		begin(1, 0, 3);
		answer_all(asked[0], OUTCOME_RATED);
		check_result("\"calls\":0,\"prompt_tokens\":0,");
		check_result("\"outcomes\":{\"rated\":1},\"stray\":0");
	}
	earlier = NULL;
}

static void test_cost_is_stored_where_there_are_prices(void **state)
{
	static const char *const odd[] = { "\"0.5\"", "-1", "null", "1e300", "[]" };
	char result[80];

	(void)state;
	begin(1, 0, 3);
	asked[0]->used.cost_nanos = 0;
	answer_all(asked[0], OUTCOME_RATED);
	assert_null(strstr(g->settlement.result, "cost"));
	teardown(NULL);

	config.openai.completion_price = 1;
	earlier = "{\"cost\": 0.1}";
	begin(1, 1, 3);
	asked[0]->used.cost_nanos = 23000;
	answer_all(asked[0], OUTCOME_RATED);
	assert_non_null(strstr(g->settlement.result, ",\"cost\":0.100023,"));
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		teardown(NULL);
		snprintf(result, sizeof(result), "{\"cost\": %s}", odd[i]);
		earlier = result;
		begin(1, 1, 3);
		asked[0]->used.cost_nanos = 1;
		answer_all(asked[0], OUTCOME_RATED);
		assert_non_null(strstr(g->settlement.result, ",\"cost\":0.000000001,"));
	}
	earlier = NULL;
	config.openai.completion_price = 0;
}

static void test_many_lines_are_named_up_to_a_number(void **state)
{
	const char *more;

	(void)state;
	begin(40, 4, 5);
	for (size_t i = 0; i < 40; i++)
		answer_all(asked[i], OUTCOME_EMPTY);
	assert_true(grading_is_decided(g));
	more = strstr(g->settlement.error, " 18, 19 (the reply is empty) and 20 more; "
		      "that was attempt 5 of 5");
	assert_non_null(more);
	assert_non_null(strstr(g->settlement.result, "{\"line\":39,"));
}

/* Where one speaker may be taken for the other side. */
static void test_it_says_who_was_rated(void **state)
{
	static const char talk[] =
		"{\"transcript\":[{\"speaker\":\"agent\",\"text\":\"a\",\"index\":0},"
		"{\"speaker\":\"user\",\"text\":\"b\",\"index\":1}]}";
	struct claimed_row row = make_row(talk, 0, 3, 0);

	(void)state;
	g = grading_new(&row, &rater, false);
	assert_true(grading_end_lookup(g));
	nasked = 0;
	grading_ask(g, &rater);
	answer_all(asked[0], OUTCOME_RATED);
	check_result(",\"notice\":\"\\\"user\\\" stands beside \\\"agent\\\"; "
		     "by rater.speakers, lines of \\\"user\\\" are rated, those of \\\"agent\\\" are context\"");
	teardown(NULL);
	begin(1, 0, 3);
	answer_all(asked[0], OUTCOME_RATED);
	assert_null(strstr(g->settlement.result, "notice"));
}

/* Which batch it was, as job_data says: nothing where it does not, or not with a number. */
static void test_it_says_which_batch_it_was(void **state)
{
	static const struct { const char *keys, *part; } cases[] = {
		{ "\"batchIndex\":0,\"totalBatches\":1", ",\"batchIndex\":0,\"totalBatches\":1,\"rater\"" },
		{ "\"batchIndex\":3", ",\"batchIndex\":3,\"rater\"" },
		{ "\"totalBatches\":7", ",\"cached\":0,\"totalBatches\":7,\"rater\"" },
		{ "\"batchIndex\":2147483647,\"totalBatches\":2147483647",
		  ",\"batchIndex\":2147483647,\"totalBatches\":2147483647,\"rater\"" },
		{ "\"batchIndex\":-1,\"totalBatches\":0", ",\"cached\":0,\"rater\"" },
		{ "\"batchIndex\":\"2\",\"totalBatches\":null", ",\"cached\":0,\"rater\"" },
	};
	char data[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct claimed_row row;

		snprintf(data, sizeof(data), "{%s,\"transcript\":[{\"speaker\":\"rep\","
			 "\"text\":\"a\",\"index\":0}]}", cases[i].keys);
		row = make_row(data, 0, 3, 0);
		g = grading_new(&row, &rater, false);
		assert_true(grading_end_lookup(g));
		nasked = 0;
		grading_ask(g, &rater);
		answer_all(asked[0], OUTCOME_RATED);
		check_result(cases[i].part);
		teardown(NULL);
	}
	g = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_says_which_batch_it_was),
		TEST(test_it_says_who_was_rated),
		TEST(test_what_earlier_attempts_took_is_added),
		TEST(test_cost_is_stored_where_there_are_prices),
		TEST(test_many_lines_are_named_up_to_a_number),
	};

	return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
