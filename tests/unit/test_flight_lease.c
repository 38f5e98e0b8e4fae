/*
 * flight_lease.c: agreeing with other workers, through the table phrase_flights, on who asks about
 * a phrase.
 */
#include "worker_parts.h"

/* The answer to asking for leases: this key is ours, or open to all. */
static PGresult *row_leased(const struct grading *g, bool ours)
{
	PGresult *result = rows_of(2);
	char yes = ours ? 1 : 0;

	cell_text(result, 0, 0, g->lines[0].key);
	cell_bytes(result, 0, 1, &yes, 1);
	return result;
}

static PGresult *row_cached(const struct grading *g)
{
	PGresult *result = rows_of(5);

	cell_text(result, 0, 0, g->lines[0].key);
	cell_text(result, 0, 1, "excellent");
	cell_text(result, 0, 2, "{}");
	cell_text(result, 0, 3, "because");
	cell_text(result, 0, 4, NULL);
	return result;
}

/* A look goes out: for leases, then into the cache. */
static void look(void)
{
	lease_turn(&lease);
	assert_int_equal(fake_pg.n, 2);
	assert_sent(0, STATEMENT_LEASE_KEYS);
	assert_sent(1, STATEMENT_LOOKUP);
	assert_true(lease.looking);
}

static void test_a_phrase_that_nobody_asks_about_is_ours(void **state)
{
	struct grading *g = join(1, "new");

	(void)state;
	look();
	answer_with(row_leased(g, true), NULL);
	/* it may have come into the cache meanwhile */
	assert_true(line_is_waiting(&g->lines[0]));
	answer_with(rows_of(5), NULL);
	assert_int_equal(flight_of(g)->state, FLIGHT_LEADER);
	assert_true(line_is_open(&g->lines[0]));
	assert_int_equal(lease_turn(&lease), 0);	/* it is ready to be asked about */
	flights_take_ready(&flights);
	assert_in_range(lease_turn(&lease), 1000, 3000);	/* until the lease is renewed */
}

static void test_what_another_asks_about_is_waited_for(void **state)
{
	struct grading *g = join(1, "theirs");

	(void)state;
	look();
	answer_with(rows_of(2), NULL);
	answer_with(rows_of(5), NULL);
	assert_int_equal(flight_of(g)->state, FLIGHT_FOLLOWER);
	assert_in_range(lease_turn(&lease), 50, 100);
	assert_int_equal(fake_pg.n, 0);
	lease.look_at_ms = now_ms();
	look();
	answer_with(rows_of(2), NULL);
	answer_with(row_cached(g), NULL);
	assert_true(line_is_rated(&g->lines[0]));
	assert_string_equal(g->lines[0].store.rating, "excellent");
	assert_null(flight_of(g));
	assert_true(lease_all_told(&lease));	/* it was never ours */
}

static void test_looks_come_more_seldom_until_somebody_joins(void **state)
{
	static const int64_t intervals[] = { 100, 200, 400, 800, 1000, 1000 };
	struct grading *g = join(1, "theirs");

	(void)state;
	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		lease.look_at_ms = 0;
		look();
		answer_with(rows_of(2), NULL);
		answer_with(rows_of(5), NULL);
		assert_in_range(lease.look_at_ms - now_ms(), intervals[i] - 50, intervals[i]);
	}
	join(2, "theirs");
	lease.look_at_ms = 0;
	look();
	answer_with(rows_of(2), NULL);
	answer_with(rows_of(5), NULL);
	assert_in_range(lease.look_at_ms - now_ms(), 50, 100);
	assert_true(line_is_waiting(&g->lines[0]));
}

static void test_an_open_phrase_is_everybodys(void **state)
{
	struct grading *g = join(1, "open");

	(void)state;
	look();
	answer_with(row_leased(g, false), NULL);
	answer_with(rows_of(5), NULL);
	assert_true(line_is_open(&g->lines[0]));
	assert_true(g->flight.waited);
	assert_null(flight_of(g));
}

/* Without the table each asks by itself. */
static void test_a_missing_table_costs_calls_and_no_job(void **state)
{
	struct grading *g = join(1, "alone");

	(void)state;
	look();
	answer_error(ERR_CONFIG, "42P01");
	answer_with(rows_of(5), NULL);
	assert_true(line_is_open(&g->lines[0]));
	assert_null(flight_of(g));
}

static void test_leases_are_renewed_while_calls_are_out(void **state)
{
	struct grading *g = join(1, "long");

	(void)state;
	look();
	answer_with(row_leased(g, true), NULL);
	answer_with(rows_of(5), NULL);
	flights_take_ready(&flights);
	flight_of(g)->since_ms -= 3000;
	lease.renew_at_ms = now_ms();
	lease_turn(&lease);
	assert_int_equal(fake_pg.n, 1);
	assert_sent(0, STATEMENT_RENEW_LEASES);
	assert_in_range(lease.renew_at_ms - now_ms(), 2000, 3000);
	answer_with(rows_of(0), NULL);
}

static void test_what_is_over_is_told(void **state)
{
	struct grading *g = join(1, "over");

	(void)state;
	look();
	answer_with(row_leased(g, true), NULL);
	answer_with(rows_of(5), NULL);
	flights_leave(&flights, g, true);
	assert_false(lease_all_told(&lease));
	lease_turn(&lease);
	assert_int_equal(fake_pg.n, 1);
	assert_sent(0, STATEMENT_RELEASE_LEASES);
	assert_non_null(memmem(fake_pg.sent[0].params[1].data, fake_pg.sent[0].params[1].len,
			       g->lines[0].key, PHRASE_KEY_SIZE - 1));
	assert_false(lease_all_told(&lease));
	answer_with(rows_of(0), NULL);
	assert_true(lease_all_told(&lease));
}

/* A lease that came when nobody waits any more is given back at once. */
static void test_a_lease_that_comes_too_late_is_given_back(void **state)
{
	struct grading *g = join(1, "late");
	PGresult *leased = row_leased(g, true);

	(void)state;
	look();
	flights_leave(&flights, g, true);
	answer_with(leased, NULL);
	answer_with(rows_of(5), NULL);
	lease_turn(&lease);
	assert_sent(0, STATEMENT_RELEASE_LEASES);
}

static void test_a_lost_connection_is_looked_again_after(void **state)
{
	struct grading *g = join(1, "lost");

	(void)state;
	look();
	fake_pg.ready = false;
	answer_error(ERR_LOST, "");
	answer_error(ERR_LOST, "");
	assert_true(line_is_waiting(&g->lines[0]));
	assert_false(lease.looking);
	assert_true(lease_all_told(&lease));
	fake_pg.ready = true;
	lease.look_at_ms = now_ms();
	look();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_a_phrase_that_nobody_asks_about_is_ours),
		PARTS_TEST(test_what_another_asks_about_is_waited_for),
		PARTS_TEST(test_looks_come_more_seldom_until_somebody_joins),
		PARTS_TEST(test_an_open_phrase_is_everybodys),
		PARTS_TEST(test_a_missing_table_costs_calls_and_no_job),
		PARTS_TEST(test_leases_are_renewed_while_calls_are_out),
		PARTS_TEST(test_what_is_over_is_told),
		PARTS_TEST(test_a_lease_that_comes_too_late_is_given_back),
		PARTS_TEST(test_a_lost_connection_is_looked_again_after),
	};

	return cmocka_run_group_tests_name("flight_lease", tests, NULL, NULL);
}
