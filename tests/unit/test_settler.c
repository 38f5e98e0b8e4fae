/* settler.c: what goes out together, and what becomes of jobs whose settlement fails. */
#include "worker_parts.h"

/* A job that is decided, all its lines rated: it completes. */
static struct grading *add_done(int n, int session)
{
	struct grading *g = add_job(n, session, "a line");

	grading_end_lookup(g);
	grading_ask(g, &rater);
	call_rated(&rater, asked[nasked - 1], OUTCOME_RATED);
	dispatch_take_answers(&dispatch);
	assert_true(grading_is_decided(g));
	return g;
}

static int64_t send_all(void)
{
	int64_t wait = settler_gather(&settler);

	settler_send(&settler);
	check_parts();
	return wait;
}

static void test_first_settlements_go_together(void **state)
{
	(void)state;
	add_done(1, 901);
	add_done(2, 902);
	assert_int_equal(send_all(), -1);
	assert_int_equal(fake_pg.n, 1);
	assert_sent(0, STATEMENT_COMPLETE);
	add_done(3, 903);
	assert_int_equal(send_all(), -1);
	assert_int_equal(fake_pg.n, 1);		/* one on its way at a time */
	answer_with(rows_settled(2), NULL);
	assert_int_equal(jobs.n, 1);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 2);
	assert_int_equal(counted(COUNTER_LINES_RATED), 2);
	send_all();
	assert_sent(0, STATEMENT_COMPLETE);
	answer_with(rows_settled(1), NULL);
	assert_int_equal(jobs.n, 0);
}

static void test_a_job_that_moved_on_is_dropped_and_counted(void **state)
{
	(void)state;
	add_done(1, 901);
	add_done(2, 902);
	send_all();
	answer_with(rows_settled(1), NULL);	/* of the second there is no row */
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 1);
	assert_int_equal(counted(COUNTER_CLAIMS_LOST), 1);
	assert_int_equal(counted(COUNTER_LINES_RATED), 1);
}

static void test_forms_are_not_mixed(void **state)
{
	(void)state;
	add_done(1, 901);
	grading_may_be_stored(add_done(2, 902));
	add_done(3, 903);
	send_all();
	assert_sent(0, STATEMENT_COMPLETE);
	assert_int_equal(settler.under_way, 2);
	answer_with(rows_settled(2), NULL);
	send_all();
	assert_sent(0, STATEMENT_SETTLE);
	assert_int_equal(settler.under_way, 1);
	answer_with(rows_settled(1), NULL);
	assert_int_equal(jobs.n, 0);
}

static void test_a_first_settlement_that_is_refused_goes_out_in_the_general_form(void **state)
{
	(void)state;
	add_done(1, 901);
	add_done(2, 902);
	send_all();
	answer_error(ERR_PERMANENT, "23505");
	assert_int_equal(jobs.n, 2);
	send_all();
	assert_sent(0, STATEMENT_SETTLE);
	assert_int_equal(settler.under_way, 2);
	answer_with(rows_settled(2), NULL);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 2);
	assert_int_equal(counted(COUNTER_JOBS_FAILED), 0);
}

/* The same again, all n of them: their sessions were opened, and nothing else was done. */
static PGresult *rows_again(int n)
{
	PGresult *result = rows_of(1);

	for (int i = 0; i < n; i++)
		cell_int8(result, i, 0, -(i + 1));
	return result;
}

static void test_a_settlement_that_opened_sessions_is_sent_again(void **state)
{
	(void)state;
	grading_may_be_stored(add_done(1, 901));
	grading_may_be_stored(add_done(2, 902));
	send_all();
	answer_with(rows_again(2), NULL);
	assert_int_equal(jobs.n, 2);
	assert_int_equal(counted(COUNTER_CLAIMS_LOST), 0);
	assert_int_equal(send_all(), -1);
	assert_sent(0, STATEMENT_SETTLE);
	assert_int_equal(settler.under_way, 2);
	answer_with(rows_settled(2), NULL);
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_LINES_RATED), 2);
}

/* The second time a third session was missing, which says nothing of the other two. */
static void test_sessions_that_are_opened_beside_others_are_no_trouble(void **state)
{
	struct grading *one = add_done(1, 901), *two = add_done(2, 902), *three;

	(void)state;
	grading_may_be_stored(one);
	grading_may_be_stored(two);
	send_all();
	answer_with(rows_again(2), NULL);
	three = add_done(3, 903);
	grading_may_be_stored(three);
	assert_int_equal(send_all(), -1);
	assert_int_equal(settler.under_way, 3);
	answer_with(rows_again(3), NULL);
	assert_false(settler.set.troubled);
	assert_int_equal(send_all(), -1);
	assert_int_equal(settler.under_way, 3);
	answer_with(rows_settled(3), NULL);
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 3);
}

static void test_jobs_whose_session_was_deleted_meanwhile_are_sent_again(void **state)
{
	PGresult *result = rows_of(1);

	(void)state;
	grading_may_be_stored(add_done(1, 901));
	grading_may_be_stored(add_done(2, 902));
	send_all();
	cell_int8(result, 0, 0, -1);
	cell_int8(result, 1, 0, 2);
	answer_with(result, NULL);
	assert_int_equal(jobs.n, 1);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 1);
	send_all();
	assert_int_equal(settler.under_way, 1);
	answer_with(rows_settled(1), NULL);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 2);
}

/* A trigger swallows the row, say: others go on, and it is not sent over and over. */
static void test_a_session_that_cannot_be_opened_waits_behind_the_others(void **state)
{
	struct grading *bad = add_done(1, 901), *good = add_done(2, 902);
	int sent = 0;

	(void)state;
	grading_may_be_stored(bad);
	grading_may_be_stored(good);
	for (int64_t wait = -1; wait <= 0 && sent < 40; sent++) {
		wait = send_all();
		if (fake_pg.n == 0)
			break;
		answer_with(settler.under_way == 1 && settler.gathered[0] == good
			    ? rows_settled(1) : rows_again(settler.under_way), NULL);
	}
	assert_in_range(sent, 4, 12);
	assert_int_equal(jobs.n, 1);
	assert_ptr_equal(jobs.head, bad);
	assert_true(rowset_waits(&settler.set, &bad->settle.row, now_ms()));
}

/* How many items the array has that goes along as $n. */
static uint32_t items(int place, int n)
{
	uint32_t count = 0;

	if (fake_pg.sent[place].params[n - 1].len >= 16)
		memcpy(&count, fake_pg.sent[place].params[n - 1].data + 12, sizeof(count));
	return ntohl(count);
}

static void test_a_provenance_goes_along_until_it_is_stored(void **state)
{
	(void)state;
	add_done(1, 901);
	add_done(2, 902);
	send_all();
	assert_int_equal(items(0, 22), 2);	/* each line names it */
	assert_int_equal(items(0, 27), 1);
	answer_error(ERR_RETRY, "57014");
	send_all();
	assert_int_equal(items(0, 27), 1);
	answer_with(rows_settled(settler.under_way), NULL);
	add_done(3, 903);
	send_all();
	assert_int_equal(items(0, 22), settler.under_way);
	assert_int_equal(items(0, 27), 0);
	answer_with(rows_settled(settler.under_way), NULL);
	queue_connected(&queue);
	add_done(4, 904);
	send_all();
	assert_int_equal(items(0, 27), 1);
	answer_with(rows_settled(settler.under_way), NULL);
}

/*
 * Answers settlements until nothing is in hand: whatever carries `bad` is refused, unless it fails
 * without a line.
 */
static void settle_all_but(const struct grading *bad)
{
	int sent = 0;

	while (jobs.n > 0 && sent < 40) {
		bool refused = false;

		send_all();
		if (fake_pg.n == 0)
			break;
		sent++;
		for (int i = 0; i < settler.under_way; i++)
			refused |= settler.gathered[i] == bad && bad->settlement.nlines > 0;
		if (refused)
			answer_error(ERR_PERMANENT, "23514");
		else
			answer_with(rows_settled(settler.under_way), NULL);
		check_parts();
	}
}

static void wait_ms(int64_t ms)
{
	usleep((useconds_t)ms * 1000);
}

static void test_one_that_is_refused_fails_by_name_and_sinks_no_other(void **state)
{
	struct grading *bad;

	(void)state;
	for (int n = 1; n <= 8; n++)
		add_done(n, 900 + n);
	bad = jobs.head->next->next;
	for (int tries = 0; jobs.n > 0 && tries < 20; tries++) {
		settle_all_but(bad);
		if (jobs.n > 0)
			wait_ms(100);	/* of the pause after it failed alone for the first time */
	}
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 7);
	assert_int_equal(counted(COUNTER_JOBS_FAILED), 1);
	assert_int_equal(counted(COUNTER_LINES_RATED), 7);
}

/* A full disk is nobody's fault: no job is set aside, none fails. */
static void test_trouble_of_the_whole_fails_no_job(void **state)
{
	int64_t wait = -1;

	(void)state;
	for (int n = 1; n <= 4; n++)
		add_done(n, 900 + n);
	for (int i = 0; i < 6 && wait < 1; i++) {
		wait = send_all();
		while (fake_pg.n > 0)
			answer_error(ERR_RETRY, "53100");
	}
	assert_true(settler.set.troubled);
	assert_in_range(wait, 1, 500);
	assert_int_equal(jobs.n, 4);
	for (int i = 0; i < 20 && jobs.n > 0; i++) {
		send_all();
		while (fake_pg.n > 0)
			answer_with(rows_settled(settler.under_way), NULL);
		wait_ms(100);
	}
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 4);
}

static void test_a_lost_settlement_is_sent_again(void **state)
{
	struct grading *g = add_done(1, 901);

	(void)state;
	send_all();
	fake_pg.ready = false;
	answer_error(ERR_LOST, "");
	assert_int_equal(send_all(), -1);
	fake_pg.ready = true;
	send_all();
	assert_sent(0, STATEMENT_COMPLETE);
	assert_int_equal(g->settlement.nresent, 1);	/* it may be there already */
	answer_with(rows_settled(1), NULL);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 1);
}

/* A page is watching: ratings are stored while other lines of their job are still out. */
static void test_lines_are_stored_as_they_arrive(void **state)
{
	static const char data[] =
		"{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"one\",\"index\":0},"
		"{\"speaker\":\"rep\",\"text\":\"two\",\"index\":1}]}";
	struct claimed_row row = { .job_type = "line_rating", .claim = 1, .max_attempts = 3,
				   .data = data, .data_bytes = sizeof(data) - 1 };
	struct grading *g;

	(void)state;
	strcpy(row.id, id_of(1));
	strcpy(row.session_id, id_of(901));
	config.rater.lines_per_call = 1;
	g = grading_new(&row, &rater, true);
	g->rater = &rater;
	joblist_add(&jobs, g);
	grading_end_lookup(g);
	grading_ask(g, &rater);
	call_rated(&rater, asked[0], OUTCOME_RATED);
	dispatch_take_answers(&dispatch);
	send_all();
	assert_sent(0, STATEMENT_SETTLE);
	assert_int_equal(g->settlement.nlines, 1);
	assert_string_equal(g->settlement.status, "processing");
	answer_with(rows_settled(1), NULL);
	assert_int_equal(jobs.n, 1);
	send_all();
	assert_int_equal(fake_pg.n, 0);		/* nothing new */
	call_rated(&rater, asked[1], OUTCOME_RATED);
	dispatch_take_answers(&dispatch);
	send_all();
	assert_int_equal(g->settlement.nlines, 1);
	answer_with(rows_settled(1), NULL);
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_LINES_RATED), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_a_settlement_that_opened_sessions_is_sent_again),
		PARTS_TEST(test_sessions_that_are_opened_beside_others_are_no_trouble),
		PARTS_TEST(test_jobs_whose_session_was_deleted_meanwhile_are_sent_again),
		PARTS_TEST(test_a_session_that_cannot_be_opened_waits_behind_the_others),
		PARTS_TEST(test_a_provenance_goes_along_until_it_is_stored),
		PARTS_TEST(test_first_settlements_go_together),
		PARTS_TEST(test_a_job_that_moved_on_is_dropped_and_counted),
		PARTS_TEST(test_forms_are_not_mixed),
		PARTS_TEST(test_a_first_settlement_that_is_refused_goes_out_in_the_general_form),
		PARTS_TEST(test_one_that_is_refused_fails_by_name_and_sinks_no_other),
		PARTS_TEST(test_trouble_of_the_whole_fails_no_job),
		PARTS_TEST(test_a_lost_settlement_is_sent_again),
		PARTS_TEST(test_lines_are_stored_as_they_arrive),
	};

	return cmocka_run_group_tests_name("settler", tests, NULL, NULL);
}
