/*
 * chore.c: a statement over many rows goes on beside those that refuse; these are said, left alone
 * and tried again. The database is a script: what it refuses is chosen by each test.
 */
#include <stdlib.h>

#include "worker_fixture.h"

#include "queue/chore.h"

static struct chore chore;
static int done_n, done_failed, go_ons;

/* What was sent last: the numbers of the rows, as id_of() made their ids of. */
static int sent[CHORE_BATCH_MAX], nsent, statements_sent;
static pg_answer_fn *answer_fn;
static void *answer_arg;
static bool away;

static int number_of(const struct chore_row *row)
{
	return atoi(row->id + strlen(row->id) - 8);
}

static int send_rows(void *arg, struct chore_row *const *rows, int n, pg_answer_fn *answer,
		     void *their_arg)
{
	(void)arg;
	if (away)
		return -1;
	for (int i = 0; i < n; i++)
		sent[i] = number_of(rows[i]);
	nsent = n;
	statements_sent++;
	answer_fn = answer;
	answer_arg = their_arg;
	return 0;
}

static void done(void *arg, int n, int nfailed)
{
	(void)arg;
	done_n += n;
	done_failed += nfailed;
}

static void go_on(void *arg)
{
	(void)arg;
	go_ons++;
}

static const struct chore_kind kind = {
	.statement = "reap", .what = "job", .doing = "put back",
	.row_size = sizeof(struct chore_row), .batch = 64,
	.send = send_rows, .done = done, .go_on = go_on,
};

static int set_up(void **state)
{
	if (set_up_worker(state) == -1)
		return -1;
	chore_init(&chore, &kind, NULL, child.slot);
	done_n = done_failed = go_ons = nsent = statements_sent = 0;
	away = false;
	return 0;
}

static int tear_down(void **state)
{
	chore_free(&chore);
	return tear_down_worker(state);
}

static void add(int n)
{
	char kin[UUID_SIZE];

	strcpy(kin, id_of(1000 + n));
	chore_add(&chore, id_of(n), kin);
}

static void fail_with(enum err_kind error, const char *sqlstate)
{
	struct err err = { .kind = error };

	snprintf(err.text, sizeof(err.text), "statement `reap`: no (SQLSTATE %s)", sqlstate);
	snprintf(err.sqlstate, sizeof(err.sqlstate), "%s", sqlstate);
	nsent = 0;
	answer_fn(answer_arg, NULL, &err);
}

/* outcome_of(n): NULL for a row that is gone. */
static void succeed(const char *(*outcome_of)(int n))
{
	PGresult *result = rows_of(2);
	int row = 0;

	for (int i = 0; i < nsent; i++) {
		const char *outcome = outcome_of(sent[i]);

		if (!outcome)
			continue;
		cell_int8(result, row, 0, i + 1);
		cell_text(result, row++, 1, outcome);
	}
	nsent = 0;
	answer_fn(answer_arg, result, NULL);
	PQclear(result);
}

static const char *all_done(int n)
{
	(void)n;
	return "done";
}

/* Turns, and lets fail what carries one of the refused, until nothing is due within `most_ms`. */
static void work(bool (*refuses)(int n), enum err_kind error, const char *sqlstate, int most_ms)
{
	int64_t until = now_ms() + most_ms, wait;

	while (now_ms() < until) {
		bool refused = false;

		wait = chore_turn(&chore);
		if (nsent == 0 && wait < 0)
			return;
		if (nsent == 0) {
			usleep(2000);
			continue;
		}
		for (int i = 0; i < nsent; i++)
			refused |= refuses(sent[i]);
		if (refused)
			fail_with(error, sqlstate);
		else
			succeed(all_done);
	}
}

static bool nobody(int n)
{
	(void)n;
	return false;
}

static bool number_7(int n)
{
	return n == 7;
}

static bool every_tenth(int n)
{
	return n % 10 == 0;
}

static int refused_now(struct refused_row *rows)
{
	return (int)refused_list(&child.slot->refused, now_ms(), rows);
}

static void test_all_rows_go_together(void **state)
{
	(void)state;
	for (int n = 0; n < 100; n++)
		add(n);
	assert_int_equal(chore_turn(&chore), -1);
	assert_int_equal(nsent, 64);
	assert_true(chore_is_busy(&chore));
	assert_int_equal(chore_turn(&chore), -1);
	assert_int_equal(statements_sent, 1);		/* one at a time */
	succeed(all_done);
	assert_int_equal(go_ons, 1);
	work(nobody, ERR_NONE, "", 1000);
	assert_int_equal(done_n, 100);
	assert_int_equal(chore.n, 0);
	assert_false(chore_is_busy(&chore));
}

static void test_a_row_is_in_it_once(void **state)
{
	(void)state;
	add(1);
	add(1);
	assert_int_equal(chore.n, 1);
	chore_turn(&chore);
	add(1);			/* on its way */
	assert_int_equal(chore.n, 1);
	succeed(all_done);
	add(1);
	assert_int_equal(chore.n, 1);
}

/* Whatever the SQLSTATE: a trigger may raise any. */
static void refused_by(enum err_kind error, const char *sqlstate)
{
	struct refused_row rows[REFUSED_MAX];

	for (int n = 0; n < 20; n++)
		add(n);
	work(number_7, error, sqlstate, 5000);
	assert_int_equal(done_n, 19);
	assert_int_equal(chore.n, 0);
	assert_int_equal(refused_now(rows), 1);
	assert_string_equal(rows[0].id, id_of(7));
	assert_string_equal(rows[0].statement, "reap");
	assert_string_equal(rows[0].sqlstate, sqlstate);
	assert_int_equal(counted(COUNTER_ROWS_REFUSED), 1);
	add(7);
	assert_int_equal(chore.n, 0);			/* it is left alone, */
	assert_in_range(chore_look_again_ms(&chore), 3000, 60000);
}

static void test_one_that_refuses_stops_no_other(void **state)
{
	static const struct { enum err_kind kind; const char *sqlstate; } refusals[] = {
		{ ERR_RETRY, "55000" }, { ERR_CONFIG, "42501" }, { ERR_RETRY, "PT403" },
		{ ERR_PERMANENT, "P0001" }, { ERR_PERMANENT, "23503" }, { ERR_PERMANENT, "22001" },
	};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		refused_by(refusals[i].kind, refusals[i].sqlstate);
		if (i + 1 == sizeof(refusals) / sizeof(refusals[0]))
			break;
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

/* The minute is over: makes every row that is left alone due. */
static void let_time_pass(void)
{
	for (int i = 0; chore.spared.rows && i < 512 * 8; i++)
		if (chore.spared.rows[i].pause_ms > 0)
			chore.spared.rows[i].until_ms = now_ms() - 1;
}

static void test_it_is_tried_again_alone_and_said_no_second_time(void **state)
{
	struct refused_row rows[REFUSED_MAX];

	(void)state;
	refused_by(ERR_RETRY, "55000");
	let_time_pass();
	for (int n = 20; n < 40; n++)
		add(n);
	add(7);
	assert_int_equal(chore.n, 21);
	statements_sent = 0;
	work(number_7, ERR_RETRY, "55000", 5000);
	assert_int_equal(statements_sent, 2);		/* it alone, and all others */
	assert_int_equal(done_n, 39);
	assert_int_equal(counted(COUNTER_ROWS_REFUSED), 1);
	let_time_pass();
	add(7);
	work(nobody, ERR_NONE, "", 5000);
	assert_int_equal(done_n, 40);
	assert_int_equal(refused_now(rows), 0);		/* it is done, and no longer shown */
}

static void test_many_that_refuse_stop_no_other(void **state)
{
	(void)state;
	for (int n = 0; n < 300; n++)
		add(n);
	work(every_tenth, ERR_RETRY, "55000", 20000);
	assert_int_equal(done_n, 270);
	assert_int_equal(counted(COUNTER_ROWS_REFUSED), 30);
}

/* With company that succeeds it is proven guilty, and waits for a minute. */
static void test_who_is_proven_guilty_waits_for_a_minute(void **state)
{
	int64_t until = now_ms() + 5000;

	(void)state;
	add(7);
	for (int n = 100; counted(COUNTER_ROWS_REFUSED) == 0 && now_ms() < until; n++) {
		add(n);
		work(number_7, ERR_RETRY, "55000", 20);
	}
	assert_int_equal(counted(COUNTER_ROWS_REFUSED), 1);
	assert_in_range(chore_look_again_ms(&chore), 50000, 60000);
}

/* Three of three: each is named, and the next row that comes is not held up by what they did. */
static void test_when_only_such_rows_are_left_they_are_named(void **state)
{
	struct refused_row rows[REFUSED_MAX];

	(void)state;
	for (int n = 10; n <= 30; n += 10)
		add(n);
	work(every_tenth, ERR_RETRY, "55000", 8000);
	assert_int_equal(chore.n, 0);
	assert_int_equal(refused_now(rows), 3);
	assert_in_range(chore_look_again_ms(&chore), 1, 4000);
	add(31);
	statements_sent = 0;
	chore_turn(&chore);
	assert_int_equal(statements_sent, 1);
	succeed(all_done);
	assert_int_equal(done_n, 1);
}

static const char *seven_is_swallowed(int n)
{
	return n == 7 ? "refused" : "done";
}

static void test_a_row_that_a_trigger_swallows_is_refused(void **state)
{
	struct refused_row rows[REFUSED_MAX];

	(void)state;
	for (int n = 0; n < 20; n++)
		add(n);
	chore_turn(&chore);
	succeed(seven_is_swallowed);
	assert_int_equal(done_n, 19);
	assert_int_equal(chore.n, 0);
	assert_int_equal(refused_now(rows), 1);
	assert_string_equal(rows[0].id, id_of(7));
	assert_string_equal(rows[0].sqlstate, "");
	add(7);
	assert_int_equal(chore.n, 0);
}

static const char *seven_is_locked(int n)
{
	return n == 7 ? "locked" : "done";
}

/* Others lock rows all the time: it is tried again soon, and said when that has lasted. */
static void test_a_locked_row_is_passed_over(void **state)
{
	struct refused_row rows[REFUSED_MAX];

	(void)state;
	add(6);
	add(7);
	for (int64_t pause = 1000; pause <= 8000; pause *= 2) {
		assert_int_equal(refused_now(rows), 0);
		chore_turn(&chore);
		succeed(seven_is_locked);
		assert_in_range(chore_look_again_ms(&chore), pause - 500, pause);
		let_time_pass();
		add(7);
	}
	assert_int_equal(refused_now(rows), 1);
	assert_string_equal(rows[0].sqlstate, "55P03");
	assert_int_equal(done_n, 1);
}

static const char *failed_or_gone(int n)
{
	return n == 1 ? "failed" : n == 2 ? NULL : "done";
}

static void test_failed_and_gone_rows_are_told_apart(void **state)
{
	(void)state;
	for (int n = 0; n < 4; n++)
		add(n);
	chore_turn(&chore);
	succeed(failed_or_gone);
	assert_int_equal(done_n, 3);
	assert_int_equal(done_failed, 1);
	assert_int_equal(chore.n, 0);
}

/* One waits for a lock in vain: those of its session need not. */
static void test_kin_of_a_row_behind_a_lock_are_spared(void **state)
{
	(void)state;
	for (int n = 0; n < 5; n++)
		add(n);
	for (int n = 7; n < 27; n++)
		chore_add(&chore, id_of(n), "the locked session");
	statements_sent = 0;
	for (int64_t until = now_ms() + 5000; chore.n > 0 && now_ms() < until;) {
		bool refused = false;

		if (chore_turn(&chore) >= 0 && nsent == 0)
			usleep(2000);
		for (int i = 0; i < nsent; i++)
			refused |= sent[i] >= 7;
		if (nsent && refused)
			fail_with(ERR_RETRY, "55P03");
		else if (nsent)
			succeed(all_done);
	}
	assert_int_equal(chore.n, 0);
	assert_int_equal(done_n, 5);
	assert_in_range(statements_sent, 5, 40);	/* not one or two for each of them */
	assert_in_range(chore_look_again_ms(&chore), 0, 1000);
}

static bool everybody(int n)
{
	(void)n;
	return true;
}

/* A full disk: nobody is named, nobody is left alone, and it goes on when there is room. */
static void test_trouble_of_the_whole_is_nobodys(void **state)
{
	struct refused_row rows[REFUSED_MAX];

	(void)state;
	for (int n = 0; n < 20; n++)
		add(n);
	work(everybody, ERR_RETRY, "53100", 700);
	assert_true(chore.set.troubled);
	assert_int_equal(chore.n, 20);
	work(nobody, ERR_NONE, "", 5000);
	assert_int_equal(done_n, 20);
	assert_int_equal(refused_now(rows), 0);
}

/* Far more than there is room for, all refused for no reason of their own: those behind come in. */
static void test_there_is_room_for_those_behind(void **state)
{
	(void)state;
	for (int n = 0; n < CHORE_ROWS_MAX; n++)
		add(n);
	assert_int_equal(chore.n, CHORE_ROWS_MAX);
	add(CHORE_ROWS_MAX);
	assert_int_equal(chore.n, CHORE_ROWS_MAX);	/* none of them was tried yet */
	work(everybody, ERR_RETRY, "53100", 500);
	assert_non_null(chore_add(&chore, id_of(CHORE_ROWS_MAX + 1), NULL));
	assert_int_equal(chore.n, CHORE_ROWS_MAX);
}

static void test_a_lost_connection_loses_no_row(void **state)
{
	(void)state;
	add(1);
	chore_turn(&chore);
	away = true;
	fail_with(ERR_LOST, "");
	assert_int_equal(chore_turn(&chore), -1);
	assert_int_equal(chore.n, 1);
	away = false;
	work(nobody, ERR_NONE, "", 1000);
	assert_int_equal(done_n, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_all_rows_go_together),
		TEST(test_a_row_is_in_it_once),
		TEST(test_one_that_refuses_stops_no_other),
		TEST(test_it_is_tried_again_alone_and_said_no_second_time),
		TEST(test_many_that_refuse_stop_no_other),
		TEST(test_who_is_proven_guilty_waits_for_a_minute),
		TEST(test_when_only_such_rows_are_left_they_are_named),
		TEST(test_a_row_that_a_trigger_swallows_is_refused),
		TEST(test_a_locked_row_is_passed_over),
		TEST(test_failed_and_gone_rows_are_told_apart),
		TEST(test_kin_of_a_row_behind_a_lock_are_spared),
		TEST(test_trouble_of_the_whole_is_nobodys),
		TEST(test_there_is_room_for_those_behind),
		TEST(test_a_lost_connection_loses_no_row),
	};

	return cmocka_run_group_tests_name("chore", tests, NULL, NULL);
}
