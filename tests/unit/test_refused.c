/* refused.c: which rows are said to be refused, for how long, and what a reader sees of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "scoreboard/census.h"
#include "scoreboard_fixture.h"

#define MINUTE 60000

static const struct err guard = { .sqlstate = "55000", .text = "not now (SQLSTATE 55000)" };
static struct refused_row rows[REFUSED_MAX];

static struct shared_refused *table(void)
{
	return &sb->slots[SLOT_JANITOR].refused;
}

static bool put(const char *id, int64_t now)
{
	return refused_put(table(), "reap", id, &guard, now, now + MINUTE);
}

static void test_a_row_is_new_once(void **state)
{
	(void)state;
	assert_int_equal(refused_list(table(), 1000, rows), 0);
	assert_true(put("a", 1000));
	assert_false(put("a", 61000));		/* refused again: it is renewed */
	assert_true(refused_put(table(), "clean_jobs", "a", &guard, 61000, 121000));
	assert_int_equal(refused_list(table(), 61000, rows), 2);
	assert_string_equal(rows[0].id, "a");
	assert_string_equal(rows[0].statement, "reap");
	assert_string_equal(rows[0].sqlstate, "55000");
	assert_string_equal(rows[0].text, guard.text);
	assert_int_equal(rows[0].since_ms, 1000);
	assert_int_equal(rows[0].next_ms, 121000);
}

static void test_what_is_done_is_gone(void **state)
{
	(void)state;
	put("a", 1000);
	put("b", 1000);
	refused_drop(table(), "reap", "a");
	refused_drop(table(), "reap", "never there");
	refused_drop(table(), "recover", "b");	/* another statement's */
	assert_int_equal(refused_list(table(), 1000, rows), 1);
	assert_string_equal(rows[0].id, "b");
	assert_true(put("a", 2000));
}

/* The application may have deleted it: nobody will say that it is done. */
static void test_what_nobody_tries_again_is_no_longer_shown(void **state)
{
	(void)state;
	put("a", 1000);
	assert_int_equal(refused_list(table(), 1000 + 2 * MINUTE, rows), 1);
	assert_int_equal(refused_list(table(), 1001 + 2 * MINUTE, rows), 0);
	assert_true(put("a", 1001 + 2 * MINUTE));	/* and is news again */
}

static void test_of_too_many_the_newest_are_named(void **state)
{
	char id[REFUSED_ID_SIZE];
	bool last = false;
	size_t n;

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "row %d", i);
		assert_true(put(id, 1000 + i));
	}
	n = refused_list(table(), 1100, rows);
	assert_int_equal(n, REFUSED_MAX);
	for (size_t i = 0; i < n; i++)
		last |= strcmp(rows[i].id, "row 99") == 0;
	assert_true(last);
}

static void test_texts_are_cut_at_a_character(void **state)
{
	struct err err = { .kind = ERR_RETRY };

	(void)state;
	memset(err.text, 'x', REFUSED_TEXT_SIZE - 2);
	strcpy(err.text + REFUSED_TEXT_SIZE - 2, "\xc3\xa9\xc3\xa9");
	refused_put(table(), "a statement with a very long name", "an id of many more bytes than forty "
		    "and so on", &err, 1, 2);
	assert_int_equal(refused_list(table(), 1, rows), 1);
	assert_int_equal(strlen(rows[0].text), REFUSED_TEXT_SIZE - 2);
	assert_int_equal(strlen(rows[0].id), REFUSED_ID_SIZE - 1);
	assert_false(refused_put(table(), "a statement with a very long name", "an id of many more "
				 "bytes than forty and so on", &err, 1, 2));
}

/* What a dead writer or a stray one left is no table, and harms nobody. */
static void test_garbage_is_read_without_harm(void **state)
{
	(void)state;
	put("a", 1000);
	atomic_fetch_add(&table()->seq, 1);
	assert_int_equal(refused_list(table(), 1000, rows), 0);
	memset(table(), 0xff, sizeof(*table()));
	atomic_store(&table()->seq, 2);
	for (size_t i = refused_list(table(), 1000, rows); i-- > 0;)
		assert_int_equal(strlen(rows[i].id), REFUSED_ID_SIZE - 1);
}

static void test_they_are_counted_over_the_slots(void **state)
{
	(void)state;
	atomic_store(&sb->slots_used, 4);
	refused_put(&sb->slots[0].refused, "reap", "a", &guard, now_ms(), now_ms() + MINUTE);
	refused_put(&sb->slots[3].refused, "clean", "b", &guard, now_ms(), now_ms() + MINUTE);
	refused_put(&sb->slots[3].refused, "clean", "c", &guard, now_ms(), now_ms() + MINUTE);
	assert_int_equal(scoreboard_census(sb).refused, 3);
}

/* Of those that cannot be claimed slots name a few; all of them are in a table of the host. */
static void test_jobs_set_aside_are_counted_once(void **state)
{
	unsigned char id[UUID_BYTES] = { 1 };

	(void)state;
	atomic_store(&sb->slots_used, 4);
	refused_put(&sb->slots[3].refused, ASIDE_STATEMENT, "a", &guard, now_ms(),
		    now_ms() + MINUTE);
	aside_put(&sb->asides, id, now_ms() + MINUTE);
	id[0] = 2;
	aside_put(&sb->asides, id, now_ms() + MINUTE);
	assert_int_equal(scoreboard_census(sb).refused, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_scoreboard, unmap_scoreboard)
	const struct CMUnitTest tests[] = {
		TEST(test_a_row_is_new_once),
		TEST(test_what_is_done_is_gone),
		TEST(test_what_nobody_tries_again_is_no_longer_shown),
		TEST(test_of_too_many_the_newest_are_named),
		TEST(test_texts_are_cut_at_a_character),
		TEST(test_garbage_is_read_without_harm),
		TEST(test_they_are_counted_over_the_slots),
		TEST(test_jobs_set_aside_are_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
