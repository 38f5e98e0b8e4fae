/* tick.c and clean.c, their pure parts: what a look says, and how the cache is walked through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <endian.h>
#include <string.h>

#include <cmocka.h>

#include "base/uuid.h"
#include "janitor/clean.h"
#include "janitor/clean_cache.h"
#include "janitor/sessions.h"
#include "janitor/tick.h"

#define NOW INT64_C(800000000000000)
#define COLUMNS 17

/* An answer as of sql/tick.sql. */
static PGresult *answer;

static int begin(void **state)
{
	static const char *const names[COLUMNS] = {
		"look", "next", "pending", "due", "processing", "failed", "oldest", "stuck",
		"old_jobs", "claimants", "now", "priority", "available_at", "id",
		"claims", "cursors", "turn"
	};
	PGresAttDesc columns[COLUMNS];

	(void)state;
	memset(columns, 0, sizeof(columns));
	for (int i = 0; i < COLUMNS; i++) {
		columns[i].name = (char *)names[i];
		columns[i].format = 1;
	}
	answer = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	assert_true(PQsetResultAttrs(answer, COLUMNS, columns));
	return 0;
}

static int end(void **state)
{
	(void)state;
	PQclear(answer);
	return 0;
}

static void put(int row, const char *name, const void *value, int len)
{
	assert_true(PQsetvalue(answer, row, PQfnumber(answer, name), (char *)value, len));
}

static void put_int8(int row, const char *name, int64_t value)
{
	uint64_t big = htobe64((uint64_t)value);

	put(row, name, &big, sizeof(big));
}

static void put_bool(int row, const char *name, bool value)
{
	char byte = value;

	put(row, name, &byte, 1);
}

static void put_turn(int row, int32_t turn)
{
	uint32_t big = htobe32((uint32_t)turn);

	put(row, "turn", &big, sizeof(big));
}

static void put_head(int row, int32_t priority, int64_t available_at, unsigned char id)
{
	uint32_t big = htobe32((uint32_t)priority);
	unsigned char uuid[UUID_BYTES];

	memset(uuid, id, sizeof(uuid));
	put_int8(row, "now", NOW);
	put(row, "priority", &big, sizeof(big));
	put_turn(row, 0);
	put_int8(row, "available_at", available_at);
	put(row, "id", uuid, sizeof(uuid));
}

static struct floors read_floors(const struct floors *known)
{
	static const struct floors none;
	struct floors found;

	tick_read_floors(answer, known ? known : &none, &found);
	return found;
}

static void assert_floor(const struct floor *f, int32_t priority, int64_t available_at,
			 unsigned char id)
{
	unsigned char uuid[UUID_BYTES];

	memset(uuid, id, sizeof(uuid));
	assert_int_equal(f->priority, priority);
	assert_true(f->available_at == available_at);
	assert_memory_equal(f->id, uuid, sizeof(uuid));
}

static void test_an_empty_queue_has_the_usual_priority_from_now_on(void **state)
{
	struct floors found;

	(void)state;
	put_int8(0, "now", NOW);
	found = read_floors(NULL);
	assert_int_equal(found.n, 1);
	assert_floor(&found.at[0], 0, NOW, 0);
}

static void test_claims_begin_at_the_first_job_of_each_priority(void **state)
{
	struct floors found;

	(void)state;
	put_head(0, 7, NOW - 5, 3);
	put_head(1, 0, NOW - 9, 4);
	found = read_floors(NULL);
	assert_int_equal(found.n, 2);
	assert_floor(&found.at[0], 7, NOW - 5, 3);
	assert_floor(&found.at[1], 0, NOW - 9, 4);
}

static void test_jobs_for_later_leave_the_floor_at_now(void **state)
{
	struct floors found;

	(void)state;
	put_head(0, 0, NOW + 5, 3);
	found = read_floors(NULL);
	assert_int_equal(found.n, 1);
	assert_floor(&found.at[0], 0, NOW, 0);
}

static void test_each_turn_of_a_priority_has_its_floor(void **state)
{
	static const int32_t turns[] = { 0, -1, -6 };
	struct floors found;

	(void)state;
	for (int row = 0; row < 3; row++) {
		put_head(row, 0, NOW - 30 + row, (unsigned char)(row + 1));
		put_turn(row, turns[row]);
	}
	found = read_floors(NULL);
	assert_int_equal(found.n, 3);
	for (int i = 0; i < 3; i++) {
		assert_floor(&found.at[i], 0, NOW - 30 + i, (unsigned char)(i + 1));
		assert_int_equal(found.at[i].turn, turns[i]);
	}
	PQclear(answer);
	begin(NULL);
	put_int8(0, "now", NOW);
	found = read_floors(&found);		/* known from before, though they have nothing now */
	assert_int_equal(found.n, 3);
	assert_int_equal(found.at[2].turn, -6);
}

static void test_a_priority_that_had_jobs_is_looked_at_from_now_on(void **state)
{
	struct floors known = { .n = 1, .at = { { .priority = -2, .available_at = 1 } } }, found;

	(void)state;
	put_head(0, 3, NOW - 1, 1);
	found = read_floors(&known);
	assert_int_equal(found.n, 3);
	assert_floor(&found.at[0], 3, NOW - 1, 1);
	assert_floor(&found.at[1], 0, NOW, 0);
	assert_floor(&found.at[2], -2, NOW, 0);
}

static void test_more_priorities_than_floors_are_no_overflow(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		put_head(i, 100 - i, NOW - 1, 1);
	assert_true(read_floors(NULL).n <= FLOORS_MAX);
}

static void test_a_report_says_what_is_due(void **state)
{
	struct tick_report report;

	(void)state;
	put_bool(0, "look", true);
	put_int8(0, "next", 1234);
	put_bool(0, "stuck", true);
	put_bool(0, "old_jobs", false);
	put(0, "claimants", "a\nb", 3);
	tick_read_report(answer, &report);
	assert_true(report.due && report.stuck && !report.old_jobs);
	assert_int_equal(report.next_ms, 1234);
	assert_string_equal(report.claimants, "a\nb");
}

static void test_nothing_next_and_nobody_are_no_zero(void **state)
{
	struct tick_report report;

	(void)state;
	put_bool(0, "look", false);
	put(0, "next", NULL, -1);
	put_bool(0, "stuck", false);
	put_bool(0, "old_jobs", true);
	put(0, "claimants", NULL, -1);
	tick_read_report(answer, &report);
	assert_true(!report.due && !report.stuck && report.old_jobs);
	assert_int_equal(report.next_ms, -1);
	assert_null(report.claimants);
}

/* A walk sees each page once, and no page that came to be meanwhile keeps it going. */
static void test_a_walk_ends_where_the_table_ended_when_it_began(void **state)
{
	static const int64_t tables[] = { 0, 1, 199, 200, 201, 1000, 123456 };

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct cache_walk walk = { 0, 0 };
		int64_t pages = tables[i], seen = 200;

		while (clean_walk_on(&walk, pages)) {
			assert_true(walk.page == seen);
			seen += 200;
			pages += 1000;
		}
		assert_true(seen >= tables[i] && seen - 200 <= tables[i]);
		assert_true(walk.page == 0);
	}
}

static void test_so_does_a_walk_through_the_sessions(void **state)
{
	static const int64_t tables[] = { 0, 1, 3, 4, 5, 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct sessions_walk walk = { 0, 0 };
		int64_t pages = tables[i], seen = 4;

		while (sessions_walk_on(&walk, pages)) {
			assert_true(walk.page == seen);
			seen += 4;
			pages += 1000;
		}
		assert_true(seen >= tables[i] && seen - 4 <= tables[i]);
		assert_true(walk.page == 0);
	}
}

static void test_walks_are_as_frequent_as_entries_are_short_lived(void **state)
{
	(void)state;
	assert_int_equal(clean_walk_pause_ms(48000, 100), 1000);
	assert_int_equal(clean_walk_pause_ms(48000, 5000), 5000);	/* at most once a poll */
	assert_int_equal(clean_walk_pause_ms(INT64_C(365) * 24 * 3600000, 5000), 600000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(test_an_empty_queue_has_the_usual_priority_from_now_on),
		TEST(test_claims_begin_at_the_first_job_of_each_priority),
		TEST(test_jobs_for_later_leave_the_floor_at_now),
		TEST(test_each_turn_of_a_priority_has_its_floor),
		TEST(test_a_priority_that_had_jobs_is_looked_at_from_now_on),
		TEST(test_more_priorities_than_floors_are_no_overflow),
		TEST(test_a_report_says_what_is_due),
		TEST(test_nothing_next_and_nobody_are_no_zero),
		TEST(test_a_walk_ends_where_the_table_ended_when_it_began),
		TEST(test_so_does_a_walk_through_the_sessions),
		TEST(test_walks_are_as_frequent_as_entries_are_short_lived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
