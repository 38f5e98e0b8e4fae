/*
 * sweep.c, reap.c, clean.c and clean_cache.c: rows are looked for from where the last look ended,
 * and those behind what is refused have their turn.
 */
#include "janitor_fixture.h"

#include "janitor/clean.h"
#include "janitor/clean_cache.h"
#include "janitor/reap.h"

static struct reap reap;
static struct clean clean;
static struct clean_cache cache;

static int set_up(void **state)
{
	if (set_up_janitor(state) == -1)
		return -1;
	reap_init(&reap, &m);
	clean_init(&clean, &m);
	clean_cache_init(&cache, &m);
	return 0;
}

static void stop(struct sweep *s)
{
	loop_timer_stop(m.loop, &s->turn_timer);
	loop_timer_stop(m.loop, &s->look_timer);
}

static int tear_down(void **state)
{
	stop(&reap.sweep);
	stop(&clean.sweep);
	stop(&cache.entries);
	stop(&cache.leases);
	loop_timer_stop(m.loop, &cache.timer);
	reap_free(&reap);
	clean_free(&clean);
	clean_cache_free(&cache);
	return tear_down_janitor(state);
}

/* ---- the reaper ---- */

/* Jobs first, first + 1, ... as of sql/stuck.sql. */
static PGresult *rows_stuck(int first, int n)
{
	PGresult *result = rows_of(3);

	for (int i = 0; i < n; i++) {
		cell_uuid(result, i, 0, id_of(first + i));
		cell_uuid(result, i, 1, id_of(5000 + first + i));
		cell_int8(result, i, 2, 40);
	}
	return result;
}

static void test_stuck_jobs_are_put_back(void **state)
{
	(void)state;
	reap_stuck(&reap);
	reap_stuck(&reap);			/* once is enough */
	assert_int_equal(fake_pg.n, 1);
	assert_sent(0, STATEMENT_STUCK);
	answer_with(rows_stuck(1, 3), NULL);
	assert_sent(0, STATEMENT_REAP);
	for (int n = 1; n <= 3; n++)
		assert_true(param_has_uuid(0, 2, id_of(n)));
	answer_with(rows_outcome(3, "failed"), NULL);
	assert_int_equal(cared(COUNTER_JOBS_REAPED), 3);
	assert_int_equal(cared(COUNTER_JOBS_FAILED), 3);
}

/* The second page begins at the end of the first, of which every row refuses. */
static void test_pages_go_on_behind_what_refuses(void **state)
{
	(void)state;
	reap_stuck(&reap);
	answer_with(rows_stuck(1, SWEEP_PAGE), NULL);
	for (int i = 0; i < SWEEP_PAGE / 200; i++) {
		assert_sent(0, STATEMENT_REAP);
		answer_with(rows_outcome(200, "refused"), NULL);
	}
	assert_sent(0, STATEMENT_STUCK);
	assert_true(param_has_uuid(0, 1, id_of(SWEEP_PAGE)));
	answer_with(rows_stuck(SWEEP_PAGE, 3), NULL);
	assert_sent(0, STATEMENT_REAP);
	assert_false(param_has_uuid(0, 2, id_of(SWEEP_PAGE)));	/* it is set aside */
	assert_true(param_has_uuid(0, 2, id_of(SWEEP_PAGE + 1)));
	answer_with(rows_outcome(2, "done"), NULL);
	assert_int_equal(cared(COUNTER_JOBS_REAPED), 2);
	assert_int_equal(fake_pg.n, 0);
	reap_stuck(&reap);
	assert_true(param_has_uuid(0, 1, "00000000-0000-0000-0000-000000000000"));
}

/* An error says nothing of the page behind: it comes in, and the others go on. */
static void test_where_rows_are_refused_the_next_page_comes_in(void **state)
{
	(void)state;
	reap_stuck(&reap);
	answer_with(rows_stuck(1, SWEEP_PAGE), NULL);
	assert_sent(0, STATEMENT_REAP);
	answer_error(ERR_RETRY, "55000");
	assert_sent(0, STATEMENT_STUCK);
	answer_with(rows_stuck(SWEEP_PAGE, 1), NULL);
	assert_sent(0, STATEMENT_REAP);
}

static void test_a_look_that_fails_is_left_to_the_next_poll(void **state)
{
	(void)state;
	reap_stuck(&reap);
	answer_error(ERR_CONFIG, "42P01");
	assert_int_equal(fake_pg.n, 0);
	reap_stuck(&reap);
	assert_sent(0, STATEMENT_STUCK);
}

/* The jobs of dead workers first. */
static void test_all_make_way_for_the_urgent(void **state)
{
	struct reap urgent;

	(void)state;
	reap_init(&urgent, &m);
	m.urgent = &urgent.sweep;
	reap_stuck(&urgent);
	reap_stuck(&reap);
	assert_int_equal(fake_pg.n, 1);
	answer_with(rows_stuck(1, 1), NULL);
	assert_sent(0, STATEMENT_REAP);
	assert_false(sent_within(0) && fake_pg.n > 1);
	answer_with(rows_outcome(1, "done"), NULL);
	assert_true(sent_within(1000));
	assert_sent(0, STATEMENT_STUCK);
	reap_free(&urgent);
}

/* ---- finished jobs ---- */

static PGresult *rows_old(int first, int n, bool is_failed, int64_t at)
{
	PGresult *result = rows_of(4);

	for (int i = 0; i < n; i++) {
		cell_bool(result, i, 0, is_failed);
		cell_uuid(result, i, 1, id_of(first + i));
		cell_uuid(result, i, 2, id_of(5000 + first + i));
		cell_int8(result, i, 3, at);
	}
	return result;
}

static void test_old_jobs_are_deleted_with_pauses(void **state)
{
	(void)state;
	clean_jobs(&clean);
	assert_sent(0, STATEMENT_OLD_JOBS);
	answer_with(rows_old(1, 500, false, 7), NULL);
	assert_sent(0, STATEMENT_CLEAN_JOBS);
	answer_with(rows_outcome(500, "done"), NULL);
	assert_int_equal(cared(COUNTER_JOBS_CLEANED), 500);
	assert_int_equal(fake_pg.n, 0);		/* claims go first */
	assert_true(sent_within(1000));
	assert_sent(0, STATEMENT_OLD_JOBS);
	answer_with(rows_old(0, 0, false, 7), NULL);
	assert_false(sent_within(150));
}

static void test_a_walk_goes_on_at_the_last_moment_and_asks_for_more(void **state)
{
	struct old_walk w;

	(void)state;
	old_walk_begin(&w);
	assert_true(w.from == INT64_MIN);
	old_walk_on(&w, OLD_WALK_PAGE, 0, 100);
	assert_true(w.from == 100 && w.most == OLD_WALK_PAGE);
	old_walk_on(&w, OLD_WALK_PAGE, 200, 100);	/* 200 of that moment are still there */
	assert_true(w.from == 100 && w.most == OLD_WALK_PAGE + 200);
	old_walk_on(&w, OLD_WALK_PAGE + 200, 700, 100);
	assert_true(w.from == 100 && w.most == OLD_WALK_PAGE + 700);
	old_walk_on(&w, OLD_WALK_PAGE + 700, 700, 120);
	assert_true(w.from == 120);
	old_walk_on(&w, 3, 0, 130);
	assert_int_equal(w.most, 0);
	old_walk_on(&w, 0, 0, 0);
	assert_int_equal(w.most, 0);
}

/* A million that refuse and ended at one moment: no page is larger than its bound. */
static void test_a_walk_gets_past_any_moment(void **state)
{
	struct old_walk w;
	int pages = 0;

	(void)state;
	old_walk_begin(&w);
	for (w.from = 100; w.from == 100 && pages < 1000; pages++) {
		assert_true(w.most <= 100000);
		old_walk_on(&w, w.most, w.most, 100);
	}
	assert_true(w.from == 101);
}

/* ---- the cache ---- */

static PGresult *rows_expired(int first, int n, int64_t pages)
{
	PGresult *result = rows_of(3);
	char text[40];

	for (int i = 0; i < n; i++) {
		cell_int8(result, i, 0, pages);
		snprintf(text, sizeof(text), "(%d,%d)", (first + i) / 100, (first + i) % 100 + 1);
		cell_text(result, i, 1, text);
		snprintf(text, sizeof(text), "key %d", first + i);
		cell_text(result, i, 2, text);
	}
	if (n == 0) {
		cell_int8(result, 0, 0, pages);
		cell_text(result, 0, 1, NULL);
		cell_text(result, 0, 2, NULL);
	}
	return result;
}

static void test_expired_entries_are_deleted_step_by_step(void **state)
{
	(void)state;
	sweep_look(&cache.entries);
	assert_sent(0, STATEMENT_EXPIRED);
	assert_string_equal(buf_text(&fake_pg.sent[0].params[1]), "(0,0)");
	answer_with(rows_expired(0, SWEEP_PAGE, 250), NULL);
	for (int i = 0; i < 2; i++) {
		assert_true(sent_within(1000));
		assert_sent(0, STATEMENT_CLEAN_CACHE);
		answer_with(rows_outcome(500, "done"), NULL);
	}
	assert_int_equal(cared(COUNTER_CACHE_CLEANED), SWEEP_PAGE);
	assert_true(sent_within(1000));
	assert_sent(0, STATEMENT_EXPIRED);	/* behind the last of a page that came full */
	assert_string_equal(buf_text(&fake_pg.sent[0].params[1]), "(9,101)");
	answer_with(rows_expired(0, 0, 250), NULL);
	assert_true(sent_within(1000));
	assert_string_equal(buf_text(&fake_pg.sent[0].params[1]), "(200,0)");
	answer_with(rows_expired(0, 0, 250), NULL);
	assert_false(sent_within(150));		/* that was the end of the table */
}

static void test_lapsed_leases_are_deleted_by_their_keys(void **state)
{
	PGresult *result = rows_of(1);

	(void)state;
	sweep_look(&cache.leases);
	assert_sent(0, STATEMENT_LAPSED);
	cell_text(result, 0, 0, "one key");
	cell_text(result, 1, 0, "another key");
	answer_with(result, NULL);
	assert_sent(0, STATEMENT_CLEAN_FLIGHTS);
	assert_true(param_has_text(0, 0, "one key") && param_has_text(0, 0, "another key"));
	answer_with(rows_outcome(2, "done"), NULL);
	assert_false(sent_within(150));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_stuck_jobs_are_put_back),
		TEST(test_pages_go_on_behind_what_refuses),
		TEST(test_where_rows_are_refused_the_next_page_comes_in),
		TEST(test_a_look_that_fails_is_left_to_the_next_poll),
		TEST(test_all_make_way_for_the_urgent),
		TEST(test_old_jobs_are_deleted_with_pauses),
		TEST(test_a_walk_goes_on_at_the_last_moment_and_asks_for_more),
		TEST(test_a_walk_gets_past_any_moment),
		TEST(test_expired_entries_are_deleted_step_by_step),
		TEST(test_lapsed_leases_are_deleted_by_their_keys),
	};

	return cmocka_run_group_tests_name("clean", tests, NULL, NULL);
}
