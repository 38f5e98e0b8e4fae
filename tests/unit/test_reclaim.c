/*
 * reclaim.c: a claim that was lost with its connection is asked for again and again, for a while.
 */
#include <endian.h>

#include "worker_fixture.h"

#include "worker/reclaim.h"

static struct reclaim reclaim;

static void begin(void)
{
	reclaim_init(&reclaim, &ctx, &jobs);
	reclaim_begin(&reclaim);
}

static int end(void **state)
{
	reclaim_free(&reclaim);
	return tear_down_worker(state);
}

static PGresult *rows_lost(int n)
{
	PGresult *result = rows_of(3);

	for (int i = 0; i < n; i++) {
		cell_uuid(result, i, 0, id_of(i));
		cell_uuid(result, i, 1, id_of(900 + i));
		cell_int8(result, i, 2, 40 + i);
	}
	return result;
}

static PGresult *rows_released(int n)
{
	PGresult *result = rows_of(2);

	for (int i = 0; i < n; i++) {
		cell_int8(result, i, 0, i + 1);
		cell_text(result, i, 1, "done");
	}
	return result;
}

static void test_what_is_not_in_hand_goes_back(void **state)
{
	uint64_t epoch = atomic_load(&sb->floors_epoch);

	(void)state;
	begin();
	assert_sent(0, STATEMENT_LOST);
	assert_string_equal(buf_text(&fake_pg.sent[0].params[0]), child.identity);
	assert_true(reclaim.under_way);
	answer_with(rows_lost(2), NULL);
	assert_sent(0, STATEMENT_RELEASE_LOST);
	assert_string_equal(buf_text(&fake_pg.sent[0].params[0]), child.identity);
	assert_true(reclaim.under_way);
	reclaim_check(&reclaim);
	answer_with(rows_released(2), NULL);
	assert_false(reclaim.under_way);
	assert_int_equal(counted(COUNTER_JOBS_RELEASED), 2);
	/* they may be before the floors */
	assert_int_not_equal(atomic_load(&sb->floors_epoch), epoch);
	reclaim_check(&reclaim);
}

/* Else it would give back what this worker is rating. */
static void test_what_is_in_hand_is_named_as_kept(void **state)
{
	uint64_t claim = htobe64(CLAIM_NUMBER + 1);
	size_t without;

	(void)state;
	begin();
	without = fake_pg.sent[0].params[1].len;
	answer_with(rows_lost(0), NULL);
	add_job(1, 999, "kept");
	begin();
	/* By its claim: the row may have been inserted again under its id, and claimed again. */
	assert_true(fake_pg.sent[0].params[1].len >= without + sizeof(int64_t));
	assert_non_null(memmem(fake_pg.sent[0].params[1].data, fake_pg.sent[0].params[1].len,
			       &claim, sizeof(claim)));
}

static void test_it_is_done_again_until_the_claim_cannot_come_any_more(void **state)
{
	(void)state;
	begin();
	assert_int_equal(reclaim_turn(&reclaim), -1);	/* its answer comes first */
	answer_with(rows_lost(0), NULL);
	assert_in_range(reclaim_turn(&reclaim), 4000, 5000);
	assert_int_equal(fake_pg.n, 0);
	reclaim.at_ms = now_ms();
	assert_int_equal(reclaim_turn(&reclaim), -1);
	assert_sent(0, STATEMENT_LOST);
	answer_with(rows_lost(0), NULL);
	reclaim.at_ms = reclaim.until_ms = now_ms();
	assert_int_equal(reclaim_turn(&reclaim), -1);	/* the last time */
	answer_with(rows_lost(0), NULL);
	assert_int_equal(reclaim.at_ms, 0);
	assert_int_equal(reclaim_turn(&reclaim), -1);
	assert_int_equal(fake_pg.n, 0);
}

static void test_without_a_connection_it_waits(void **state)
{
	(void)state;
	begin();
	fake_pg.ready = false;
	answer_error(ERR_LOST, "");
	reclaim.at_ms = now_ms();
	assert_int_equal(reclaim_turn(&reclaim), -1);
	fake_pg.ready = true;
	reclaim_turn(&reclaim);
	assert_sent(0, STATEMENT_LOST);
}

static void test_a_look_that_fails_is_repeated(void **state)
{
	(void)state;
	begin();
	answer_error(ERR_CONFIG, "42501");
	assert_false(reclaim.under_way);
	assert_int_equal(counted(COUNTER_JOBS_RELEASED), 0);
	assert_in_range(reclaim_turn(&reclaim), 4000, 5000);
}

/* Four jobs, of which the database refuses one to whatever statement it is in. */
static void test_one_that_is_refused_keeps_no_other(void **state)
{
	int64_t until = now_ms() + 5000;

	(void)state;
	begin();
	answer_with(rows_lost(4), NULL);
	while (counted(COUNTER_ROWS_REFUSED) == 0 && now_ms() < until) {
		bool refused = false;
		int n = reclaim.chore.nsent;

		for (int i = 0; i < n; i++)
			refused |= strcmp(reclaim.chore.sent[i]->id, id_of(2)) == 0;
		if (fake_pg.n == 0)
			usleep(2000);
		else if (refused)
			answer_error(ERR_RETRY, "55000");
		else
			answer_with(rows_released(n), NULL);
		reclaim_turn(&reclaim);
	}
	assert_int_equal(counted(COUNTER_JOBS_RELEASED), 3);
	assert_int_equal(counted(COUNTER_ROWS_REFUSED), 1);
	assert_false(reclaim.under_way);
	reclaim_check(&reclaim);
}

#define RECLAIM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_worker, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RECLAIM_TEST(test_what_is_not_in_hand_goes_back),
		RECLAIM_TEST(test_what_is_in_hand_is_named_as_kept),
		RECLAIM_TEST(test_it_is_done_again_until_the_claim_cannot_come_any_more),
		RECLAIM_TEST(test_without_a_connection_it_waits),
		RECLAIM_TEST(test_a_look_that_fails_is_repeated),
		RECLAIM_TEST(test_one_that_is_refused_keeps_no_other),
	};

	return cmocka_run_group_tests_name("reclaim", tests, NULL, NULL);
}
