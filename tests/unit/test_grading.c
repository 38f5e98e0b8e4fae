/* grading.c: how a job is split into calls, and what becomes of it when some of them bring nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "grading/grading.h"

#define CALLS 400

static char *scale[] = { "excellent", "good" };
static struct config config = {
	.rater = { .scale = { scale, 2 }, .alternatives = 3, .lines_per_call = 20 },
	.queue = { .job_deadline_ms = 60000 },
};
static struct ask *asked[CALLS];
static size_t nasked;

static void start(struct rater *r, struct ask *ask)
{
	(void)r;
	asked[nasked++] = ask;
}

static void cancel(struct rater *r, struct ask *ask)
{
	(void)r, (void)ask;
}

static const struct rater_ops ops = { .name = "fake", .start = start, .cancel = cancel };
static struct rater rater = { .ops = &ops, .config = &config, .model = "m", .fingerprint = "f" };
static struct grading *g;
static struct flight *const flight = (struct flight *)&g;	/* some flight: nobody looks into it */
static const char *earlier;		/* the row's result */

/* A job of n lines at this attempt (the first is 0), put back so many times. */
static void make(int n, int attempts, int max_attempts, int put_back)
{
	struct claimed_row row = {
		.id = "00000000-0000-0000-0000-000000000001", .session_id = "00000000-0000-0000-0000-000000000002",
		.job_type = "line_rating", .claim = attempts + 1 + put_back, .attempts = attempts,
		.max_attempts = max_attempts, .result = earlier,
	};
	static char data[400000];

	char *end = data + sprintf(data, "{\"transcript\":[");

	for (int i = 0; i < n; i++)
		end += sprintf(end, "%s{\"speaker\":\"rep\",\"text\":\"line %d\",\"index\":%d}", i ? "," : "", i, i);
	sprintf(end, "]}");
	row.data = data;
	row.data_bytes = (int64_t)strlen(data);
	g = grading_new(&row, &rater, false);
	grading_end_lookup(g);
	nasked = 0;
	assert_false(grading_is_decided(g));
}

/* The same, its first calls started. */
static void begin_again(int n, int attempts, int max_attempts, int put_back)
{
	make(n, attempts, max_attempts, put_back);
	grading_ask(g, &rater);
}

static void begin(int n, int attempts, int max_attempts)
{
	begin_again(n, attempts, max_attempts, 0);
}

/* A new job of n lines, of which those from `first` to `last` in steps of two wait for others. */
static void start_with_waiting(int n, int first, int last)
{
	make(n, 0, 3, 0);
	for (int i = first; i <= last; i += 2)
		assert_true(line_wait(&g->lines[i], flight));
	grading_ask(g, &rater);
}

static int teardown(void **state)
{
	(void)state;
	if (g)
		grading_free(g);
	g = NULL;
	return 0;
}

static void take(struct ask *ask)
{
	grading_take_answer(g, ask, &rater, false);
	if (g->calls.nopen == 0)
		grading_decide(g, &rater);
	else
		grading_ask_more(g, &rater);
}

static void answer_all(struct ask *ask, enum outcome outcome)
{
	if (outcome == OUTCOME_RATED)
		for (size_t i = 0; i < ask->nlines; i++)
			verdict_give(&ask->verdicts[i], &config, &ask->job->arena, "good", NULL, 0, "");
	else
		verdict_all(ask->verdicts, ask->nlines, outcome);
	take(ask);
}

static void answer_error(struct ask *ask, enum err_kind kind, int64_t after_ms, const char *text)
{
	ask_fail(ask, kind, "%s", text);
	ask->err->after_ms = after_ms;
	take(ask);
}

static void check_calls(int n, int attempts, int max_attempts, size_t calls, size_t first)
{
	begin(n, attempts, max_attempts);
	assert_int_equal(g->calls.n, calls);
	assert_int_equal(asked[0]->nlines, first);
	teardown(NULL);
}

static void check_end(const char *status, bool attempt, const char *error)
{
	assert_true(grading_is_decided(g));
	assert_string_equal(g->settlement.status, status);
	assert_int_equal(g->settlement.attempt, attempt);
	if (error)
		assert_string_equal(g->settlement.error, error);
	else
		assert_null(g->settlement.error);
}

static void test_the_last_attempt_asks_line_by_line(void **state)
{
	(void)state;
	check_calls(5, 0, 3, 1, 5);
	check_calls(5, 1, 3, 2, 3);
	check_calls(5, 2, 3, 5, 1);
	check_calls(5, 7, 3, 5, 1);
	check_calls(5, 0, 1, 1, 5);
	check_calls(5, 0, 0, 1, 5);
	check_calls(5, 1, 2, 5, 1);
	check_calls(40, 0, 10, 2, 20);
	check_calls(40, 1, 10, 4, 10);
	check_calls(40, 4, 10, 20, 2);
	check_calls(40, 5, 10, 40, 1);
	check_calls(199, 2, 3, 199, 1);
	check_calls(1000, 0, 3, 50, 20);
	check_calls(1000, 2, 3, 100, 10);
	check_calls(5000, 2, 3, 250, 20);	/* lines_per_call stays the limit */
}

static void test_all_rated(void **state)
{
	(void)state;
	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_RATED);
	check_end("completed", false, NULL);
	assert_non_null(strstr(g->settlement.result, "\"outcomes\":{\"rated\":2}"));
	assert_null(strstr(g->settlement.result, "unrated"));
}

static void test_unrated_lines_are_tried_again(void **state)
{
	(void)state;
	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_EMPTY);
	check_end("pending", true, "no rating for lines 0, 1 (the reply is empty); attempt 1 of 3, "
		  "it will be tried again");
	assert_in_range(g->settlement.delay_ms, 1, 2000);
	assert_non_null(strstr(g->settlement.result, "\"outcomes\":{\"empty\":2}"));
}

static void test_at_the_end_the_unrated_are_named_and_the_rated_kept(void **state)
{
	(void)state;
	begin(3, 2, 3);
	answer_all(asked[1], OUTCOME_NOT_JSON);
	answer_all(asked[0], OUTCOME_RATED);
	answer_error(asked[2], ERR_RETRY, 0, "it broke");
	check_end("completed", true, "no rating for lines 1 (the reply is not JSON), 2 (it broke); "
		  "that was attempt 3 of 3");
	assert_int_equal(g->nfailed, 2);
	assert_non_null(strstr(g->settlement.result, "\"unrated\":[{\"line\":1,\"outcome\":\"not_json\",\"why\":"));
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 1);
}

static void test_nothing_rated_fails(void **state)
{
	(void)state;
	begin(1, 2, 3);
	answer_all(asked[0], OUTCOME_MISSING);
	check_end("failed", true, "no rating for line 0 (the reply left the line out); that was attempt 3 of 3");
}

/* What was refused alone will be refused again; with neighbours it may have been theirs. */
static void test_only_a_line_alone_is_hopeless(void **state)
{
	static const char words[] = "no rating for line 0 (the model or a content filter refused: by policy)";

	(void)state;
	begin(1, 0, 3);
	verdict_refused(asked[0]->verdicts, 1, &g->job.arena, "by policy");
	take(asked[0]);
	check_end("failed", true, words);
	teardown(NULL);

	begin(2, 0, 3);
	answer_all(asked[0], OUTCOME_REFUSED);
	check_end("pending", true, "no rating for lines 0, 1 (the model or a content filter refused); "
		  "attempt 1 of 3, it will be tried again");
	teardown(NULL);

	begin(2, 0, 3);
	answer_error(asked[0], ERR_PERMANENT, 0, "it is bad");
	check_end("pending", true, "no rating for lines 0, 1 (it is bad); attempt 1 of 3, it will be tried again");
	teardown(NULL);

	config.rater.lines_per_call = 1;
	begin(2, 0, 3);
	answer_error(asked[0], ERR_PERMANENT, 0, "it is bad");
	answer_all(asked[1], OUTCOME_RATED);
	check_end("completed", true, "no rating for line 0 (it is bad)");
	config.rater.lines_per_call = 20;
}

static void test_what_is_outside_the_job_costs_nothing(void **state)
{
	static const enum err_kind kinds[] = { ERR_UNAVAILABLE, ERR_LIMITED, ERR_DENIED };

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		begin(2, 2, 3);
		answer_all(asked[0], OUTCOME_NOT_JSON);
		answer_error(asked[1], kinds[i], 0, "away");
		check_end("pending", false, "away; put back, no attempt counted");
		teardown(NULL);
	}
	begin(1, 2, 3);
	answer_error(asked[0], ERR_UNCLEAR, 0, "odd");
	check_end("pending", false, "odd; put back, no attempt counted");
}

static void test_a_pause_asked_for_is_never_undercut(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		begin(2, 2, 3);
		answer_error(asked[0], ERR_LIMITED, i % 2 ? 20000 : 5000, "slow down");
		answer_error(asked[1], ERR_LIMITED, i % 2 ? 5000 : 20000, "slow down");
		least = g->settlement.delay_ms < least ? g->settlement.delay_ms : least;
		most = g->settlement.delay_ms > most ? g->settlement.delay_ms : most;
		teardown(NULL);
	}
	assert_in_range(least, 20000, 22000);
	assert_in_range(most, 27000, 30000);
	begin(1, 0, 3);
	answer_error(asked[0], ERR_RETRY, 3600000, "later");
	assert_in_range(g->settlement.delay_ms, 120000, 180000);
}

static void test_backoff_grows_with_full_jitter(void **state)
{
	int64_t least, most;

	(void)state;
	for (int attempts = 0; attempts < 12; attempts++) {
		int64_t limit = attempts < 8 ? INT64_C(2000) << attempts : 300000;

		least = INT64_MAX;
		most = 0;
		for (int i = 0; i < 300; i++) {
			begin(1, attempts, 100);
			answer_all(asked[0], OUTCOME_EMPTY);
			least = g->settlement.delay_ms < least ? g->settlement.delay_ms : least;
			most = g->settlement.delay_ms > most ? g->settlement.delay_ms : most;
			teardown(NULL);
		}
		assert_in_range(least, 1, limit / 10);
		assert_in_range(most, limit * 9 / 10, limit);
	}
}

static void test_calls_not_sent_yet_stay_unsent_when_the_provider_is_away(void **state)
{
	(void)state;
	config.rater.lines_per_call = 1;
	begin(10, 0, 3);
	assert_int_equal(nasked, 4);
	answer_all(asked[0], OUTCOME_RATED);
	assert_int_equal(nasked, 5);
	answer_error(asked[1], ERR_LIMITED, 1000, "slow down");
	answer_all(asked[2], OUTCOME_RATED);
	answer_all(asked[3], OUTCOME_RATED);
	assert_false(grading_is_decided(g));
	answer_all(asked[4], OUTCOME_RATED);
	assert_int_equal(nasked, 5);
	check_end("pending", false, "slow down; put back, no attempt counted");
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 4);
	config.rater.lines_per_call = 20;
}

static int let_out;

static bool gate(void *arg, struct ask *ask)
{
	assert_ptr_equal(arg, &let_out);
	assert_non_null(ask);
	assert_ptr_equal(ask->owner, g);
	return let_out-- > 0;
}

/* Whatever line spoils the first call, the others come first at another time. */
static void test_calls_wait_to_be_let_out_and_take_turns(void **state)
{
	(void)state;
	config.rater.lines_per_call = 1;
	rater.gate = gate;
	rater.gate_arg = &let_out;
	for (int put_back = 0; put_back < 6; put_back++) {
		let_out = 1;
		begin_again(3, 0, 3, put_back);
		assert_int_equal(nasked, 1);
		assert_int_equal(asked[0]->lines[0]->index, (3 - put_back % 3) % 3);
		assert_int_equal(grading_calls_open(g), 1);
		assert_false(grading_got_on(g));
		let_out = 0;
		answer_all(asked[0], OUTCOME_RATED);
		assert_int_equal(grading_calls_open(g), 0);
		assert_int_equal(g->calls.nopen, 2);
		assert_true(grading_got_on(g));
		let_out = 2;
		grading_ask_more(g, &rater);
		assert_int_equal(nasked, 3);
		assert_int_equal(grading_calls_open(g), 2);
		teardown(NULL);
	}
	rater.gate = NULL;
	config.rater.lines_per_call = 20;
}

static void test_a_deadline_leaves_what_is_rated(void **state)
{
	struct err err;

	(void)state;
	begin(2, 2, 3);
	answer_all(asked[0], OUTCOME_RATED);
	grading_cancel(g, &rater);
	err_set(&err, ERR_RETRY, "too late");
	grading_fail(g, &err, &rater);
	check_end("completed", true, "no rating for line 1 (too late); that was attempt 3 of 3");
}

static void test_what_earlier_attempts_took_is_added(void **state)
{
	static const char *const odd[] = {
		"null", "[]", "17", "{", "{\"calls\":-1,\"outcomes\":[]}", "{\"outcomes\":{\"empty\":\"x\",\"missing\":-3}}",
		"{\"calls\":99999999999,\"stray\":1e300,\"outcomes\":null,\"prompt_tokens\":2.5}",
	};

	(void)state;
	earlier = "{\"calls\": 2, \"prompt_tokens\": 100, \"completion_tokens\": 7, \"latency_ms\": 50, \"stray\": 1,"
		  " \"outcomes\": {\"empty\": 3, \"rated\": 1, \"other\": 4}}";
	begin(1, 1, 3);
	asked[0]->used.calls = 1;
	asked[0]->used.prompt_tokens = 11;
	asked[0]->used.stray = 2;
	answer_all(asked[0], OUTCOME_RATED);
	assert_non_null(strstr(g->settlement.result, "\"calls\":3,\"prompt_tokens\":111,\"completion_tokens\":7,\"latency_ms\":50"));
	assert_non_null(strstr(g->settlement.result, "\"outcomes\":{\"rated\":2,\"empty\":3},\"stray\":3"));
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		teardown(NULL);
		earlier = odd[i];
		begin(1, 0, 3);
		answer_all(asked[0], OUTCOME_RATED);
		assert_non_null(strstr(g->settlement.result, "\"calls\":0,\"prompt_tokens\":0,"));
		assert_non_null(strstr(g->settlement.result, "\"outcomes\":{\"rated\":1},\"stray\":0"));
	}
	earlier = NULL;
}

/* Lines that wait for others are left out, and asked about in a call of their own once they wait no more. */
static void test_waiting_lines_are_not_asked(void **state)
{
	(void)state;
	start_with_waiting(5, 1, 3);
	assert_int_equal(nasked, 1);
	assert_int_equal(asked[0]->nlines, 3);
	assert_int_equal(grading_open_lines(g), 0);
	assert_true(line_stop_waiting(&g->lines[1]));
	assert_true(line_stop_waiting(&g->lines[3]));
	assert_int_equal(grading_open_lines(g), 2);
	grading_ask(g, &rater);
	assert_int_equal(g->calls.n, 2);
	assert_int_equal(g->calls.nopen, 2);
	assert_int_equal(asked[1]->nlines, 2);
	assert_int_equal(asked[1]->lines[0]->index, 1);
	assert_int_equal(asked[1]->lines[1]->index, 3);
	grading_ask(g, &rater);
	assert_int_equal(nasked, 2);
	answer_all(asked[1], OUTCOME_RATED);
	assert_false(grading_is_decided(g));
	answer_all(asked[0], OUTCOME_RATED);
	check_end("completed", false, NULL);
}

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
	assert_non_null(strstr(g->lines[0].store.provenance, "\"source\":\"fresh\"}"));
	assert_non_null(strstr(store->provenance, "\"source\":\"fresh\",\"source\":\"cache\"}"));
}

static void test_lines_put_off_cost_nothing_and_leave_calls_alone(void **state)
{
	struct err err;

	(void)state;
	start_with_waiting(3, 2, 2);
	assert_true(line_stop_waiting(&g->lines[2]));
	err_set(&err, ERR_UNAVAILABLE, "nobody there");
	err.after_ms = 1000;
	grading_put_off(g, &err);
	assert_int_equal(grading_open_lines(g), 0);
	assert_int_equal(g->calls.nopen, 1);
	assert_false(grading_is_decided(g));
	answer_all(asked[0], OUTCOME_RATED);
	check_end("pending", false, "nobody there; put back, no attempt counted");
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 2);
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
	more = strstr(g->settlement.error, " 18, 19 (the reply is empty) and 20 more; that was attempt 5 of 5");
	assert_non_null(more);
	assert_non_null(strstr(g->settlement.result, "{\"line\":39,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_last_attempt_asks_line_by_line, teardown),
		cmocka_unit_test_teardown(test_all_rated, teardown),
		cmocka_unit_test_teardown(test_unrated_lines_are_tried_again, teardown),
		cmocka_unit_test_teardown(test_at_the_end_the_unrated_are_named_and_the_rated_kept, teardown),
		cmocka_unit_test_teardown(test_nothing_rated_fails, teardown),
		cmocka_unit_test_teardown(test_only_a_line_alone_is_hopeless, teardown),
		cmocka_unit_test_teardown(test_what_is_outside_the_job_costs_nothing, teardown),
		cmocka_unit_test_teardown(test_a_pause_asked_for_is_never_undercut, teardown),
		cmocka_unit_test_teardown(test_backoff_grows_with_full_jitter, teardown),
		cmocka_unit_test_teardown(test_calls_not_sent_yet_stay_unsent_when_the_provider_is_away, teardown),
		cmocka_unit_test_teardown(test_calls_wait_to_be_let_out_and_take_turns, teardown),
		cmocka_unit_test_teardown(test_a_deadline_leaves_what_is_rated, teardown),
		cmocka_unit_test_teardown(test_what_earlier_attempts_took_is_added, teardown),
		cmocka_unit_test_teardown(test_waiting_lines_are_not_asked, teardown),
		cmocka_unit_test_teardown(test_an_equal_line_has_the_rating_as_from_the_cache, teardown),
		cmocka_unit_test_teardown(test_lines_put_off_cost_nothing_and_leave_calls_alone, teardown),
		cmocka_unit_test_teardown(test_cost_is_stored_where_there_are_prices, teardown),
		cmocka_unit_test_teardown(test_many_lines_are_named_up_to_a_number, teardown),
	};

	return cmocka_run_group_tests_name("grading", tests, NULL, NULL);
}
