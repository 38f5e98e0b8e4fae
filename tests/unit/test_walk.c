/* walk.c: the walk through what claims pass: what it tries, who is set aside, when it ends. */
#include <stdlib.h>

#include "worker_fixture.h"

#include "scoreboard/pass.h"
#include "worker/walk.h"

static struct walk walk;
static int64_t now;
static int still_there;		/* places that try_next() finds when it looks again */

static int set_up_walk(void **state)
{
	if (set_up_worker(state) == -1)
		return -1;
	atomic_store(&child.slot->pid, getpid());
	walk_init(&walk, &ctx);
	now = 1000;
	still_there = 0;
	return 0;
}

static int tear_down_walk(void **state)
{
	walk_check(&walk);
	walk_leave(&walk);
	return tear_down_worker(state);
}

#define WALK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_walk, tear_down_walk)

/* ---- a queue of which claims pass the first n jobs, numbered from 1 ---- */

static void pass(int n)
{
	struct floors more = { .n = 1, .at = { { .available_at = 1000 + n + 1 } } };

	pass_raise(sb, child.index, &more);
}

static PGresult *places(int first, int n, int large)
{
	PGresult *result = rows_of(5);

	for (int i = 0; i < n; i++) {
		cell_uuid(result, i, 0, id_of(first + i));
		cell_int4(result, i, 1, 0);
		cell_int8(result, i, 2, 1000 + first + i);
		cell_int4(result, i, 3, 0);
		cell_bytes(result, i, 4, first + i == large ? "\1" : "", 1);
	}
	return result;
}

static enum walk_step next(int64_t *wait)
{
	int64_t ignored;

	return walk_next(&walk, now, wait ? wait : &ignored);
}

/* All jobs from first on are seen on one page. */
static void look(int first, int n, int large)
{
	PGresult *result = places(first, n, large);

	assert_int_equal(next(NULL), WALK_LOOK);
	walk_looked(&walk, result);
	PQclear(result);
}

static int number_of(const struct floor *f)
{
	char text[UUID_SIZE];

	uuid_text(f->id, text);
	return atoi(text + UUID_SIZE - 6);
}

static PGresult *claimed(void)
{
	PGresult *result = rows_of(16);

	for (int i = 0; i < walk.nthese; i++)
		claimed_row(result, i, number_of(&walk.these[i]), 999, 1, "a line");
	return result;
}

static bool is_bad(const bool *bad, int n)
{
	for (int i = 0; i < n; i++)
		if (bad[number_of(&walk.these[i])])
			return true;
	return false;
}

/* The database refuses what has a bad one in it. Returns whether anything was tried. */
static bool try_next(const bool *bad, const char *sqlstate, bool others)
{
	struct err err = { .kind = ERR_RETRY };
	PGresult *result;
	int64_t wait;

	switch (next(&wait)) {
	case WALK_REST:
		return false;
	case WALK_LOOK:
		walk_looked(&walk, result = places(1, still_there, 0));
		PQclear(result);
		return true;
	case WALK_TRY:
		break;
	}
	assert_true(walk_gather(&walk, 64, now) > 0);
	if (is_bad(bad, walk.nthese)) {
		snprintf(err.sqlstate, sizeof(err.sqlstate), "%s", sqlstate);
		snprintf(err.text, sizeof(err.text), "not now");
		now++;
		walk_tried(&walk, NULL, &err, now, others);
		return true;
	}
	result = claimed();
	slot_count(child.slot, COUNTER_JOBS_CLAIMED, (uint64_t)walk.nthese);
	walk_tried(&walk, result, NULL, now, others);
	PQclear(result);
	return true;
}

static bool is_aside(int n)
{
	unsigned char id[UUID_BYTES];

	uuid_bytes(id_of(n), id);
	return aside_has(&sb->asides, id);
}

/* Until all of the set are claimed or set aside. Returns how long that took. */
static int64_t work_off(const bool *bad, const char *sqlstate)
{
	int64_t began = now;

	while (!TAILQ_EMPTY(&walk.set.rows) && now - began < 600000)
		if (!try_next(bad, sqlstate, false))
			now += 10;
	return now - began;
}

/* ---- tests ---- */

static void test_nobody_walks_while_nothing_is_passed(void **state)
{
	int64_t wait;

	(void)state;
	assert_int_equal(next(&wait), WALK_REST);
	assert_int_equal(wait, -1);
	assert_null(walk.rows);
}

static void test_what_can_be_claimed_is_and_then_it_ends(void **state)
{
	bool bad[8] = { false };

	(void)state;
	pass(4);
	look(1, 4, 0);
	assert_true(try_next(bad, "", false));
	assert_true(TAILQ_EMPTY(&walk.set.rows));
	now += config.queue.poll_ms;		/* the next round finds nothing any more */
	look(1, 0, 0);
	assert_int_equal(next(NULL), WALK_REST);
	assert_false(pass_is_on(sb));
	assert_null(walk.rows);
}

static void test_the_culprits_are_set_aside_and_nobody_else(void **state)
{
	bool bad[101] = { false };

	(void)state;
	for (int i = 20; i < 60; i++)
		bad[i] = true;
	pass(100);
	look(1, 100, 0);
	work_off(bad, "55000");
	for (int i = 1; i <= 100; i++)
		assert_int_equal(is_aside(i), bad[i]);
	assert_true(pass_is_on(sb));
	next(NULL);
	assert_true(pass_is_walked(sb));
}

/* There are many, ahead of all others, and those are found soon. */
static void test_a_thousand_culprits_are_known_soon(void **state)
{
	static bool bad[1101];
	static const char *const states[] = { "55000", "42501", "55P03" };

	(void)state;
	for (int i = 1; i <= 1000; i++)
		bad[i] = true;
	for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
		PGresult *page;

		pass(1100);
		for (int first = 1; first <= 1100; first += WALK_PAGE) {
			int left = 1100 - first + 1;

			assert_int_equal(next(NULL), WALK_LOOK);
			page = places(first, left < WALK_PAGE ? left : WALK_PAGE, 0);
			walk_looked(&walk, page);
			PQclear(page);
		}
		assert_in_range(work_off(bad, states[k]), 0, 20000);
		assert_int_equal(aside_count(&sb->asides), 1000);
		aside_clear(&sb->asides);
		pass_end(sb, pass_raised(sb));
		next(NULL);
	}
}

static void test_once_a_minute_each_is_tried_again(void **state)
{
	bool bad[4] = { false, true, true, true };

	(void)state;
	pass(3);
	look(1, 3, 0);
	work_off(bad, "55000");
	assert_int_equal(aside_count(&sb->asides), 3);
	now += WALK_AGAIN_MS;
	still_there = 3;
	bad[2] = false;				/* the application lifts what was against it */
	for (int i = 0; i < 20; i++)
		try_next(bad, "55000", false);
	assert_true(is_aside(1));
	assert_false(is_aside(2));
	assert_true(is_aside(3));
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 1);
}

static void test_while_others_wait_refusals_take_a_small_share(void **state)
{
	struct err err = { .kind = ERR_RETRY, .sqlstate = "55P03", .text = "locked" };
	int64_t wait;

	(void)state;
	pass(1);
	look(1, 1, 0);
	assert_int_equal(next(NULL), WALK_TRY);
	assert_int_equal(walk.patience_ms, 200);
	walk_gather(&walk, 1, now);
	now += 200;
	walk_tried(&walk, NULL, &err, now, true);
	assert_int_equal(next(&wait), WALK_REST);
	assert_in_range(wait, 2000, 2300);
	assert_int_equal(walk.patience_ms, 100);
}

static void test_large_jobs_go_alone(void **state)
{
	PGresult *result;

	(void)state;
	pass(4);
	look(1, 4, 2);
	assert_int_equal(next(NULL), WALK_TRY);
	assert_int_equal(walk_gather(&walk, 64, now), 3);
	walk_tried(&walk, result = claimed(), NULL, now, false);
	PQclear(result);
	assert_int_equal(next(NULL), WALK_TRY);
	assert_int_equal(walk_gather(&walk, 64, now), 1);
	assert_int_equal(number_of(&walk.these[0]), 2);
	walk_tried(&walk, result = claimed(), NULL, now, false);
	PQclear(result);
}

/* Another worker has it locked, or it is gone: nothing is learnt. */
static void test_who_is_not_there_is_not_blamed(void **state)
{
	PGresult *none = rows_of(16);

	(void)state;
	pass(2);
	look(1, 2, 0);
	assert_int_equal(next(NULL), WALK_TRY);
	walk_gather(&walk, 64, now);
	walk_tried(&walk, none, NULL, now, false);
	PQclear(none);
	assert_int_equal(aside_count(&sb->asides), 0);
	assert_true(TAILQ_EMPTY(&walk.set.rows));
}

static void test_trouble_of_the_whole_blames_nobody(void **state)
{
	struct err full = { .kind = ERR_RETRY, .sqlstate = "53100", .text = "disk full" };
	struct err lost = { .kind = ERR_LOST };

	(void)state;
	pass(2);
	look(1, 2, 0);
	for (int i = 0; i < 20; i++) {
		now += 2000;
		if (next(NULL) != WALK_TRY)
			continue;
		assert_int_equal(walk_gather(&walk, 64, now), 2);
		walk_tried(&walk, NULL, i % 2 ? &full : &lost, now, false);
	}
	assert_int_equal(aside_count(&sb->asides), 0);
}

static void test_what_comes_later_is_found_by_the_next_round(void **state)
{
	bool bad[8] = { false, true };

	(void)state;
	pass(4);
	look(1, 1, 0);
	work_off(bad, "PT403");
	while (next(NULL) != WALK_LOOK)
		now += 10;
	assert_in_range(now, 1000, 1000 + config.queue.poll_ms + 1000);
	look(1, 3, 0);
	work_off(bad, "PT403");
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 2);
}

static void test_another_worker_goes_on_where_one_has_died(void **state)
{
	bool bad[2] = { false, true };
	int64_t wait;

	(void)state;
	pass(1);
	look(1, 1, 0);
	work_off(bad, "55000");
	atomic_store(&sb->slots[2].pid, 77);
	atomic_store(&sb->passing.walker, (uint64_t)2 << 32 | 77);
	assert_int_equal(next(&wait), WALK_REST);
	assert_int_equal(wait, config.queue.poll_ms);
	assert_null(walk.rows);
	atomic_store(&sb->slots[2].pid, 0);
	look(1, 1, 0);				/* it is set aside still */
	assert_true(TAILQ_EMPTY(&walk.set.rows));
}

static void test_an_answer_that_comes_after_it_was_left(void **state)
{
	PGresult *result = places(1, 8, 0);
	struct err err = { .kind = ERR_RETRY, .sqlstate = "55000", .text = "not now" };

	(void)state;
	pass(8);
	assert_int_equal(next(NULL), WALK_LOOK);
	walk_leave(&walk);
	walk_looked(&walk, result);
	PQclear(result);
	walk_check(&walk);

	look(1, 8, 0);
	assert_int_equal(next(NULL), WALK_TRY);
	assert_int_equal(walk_gather(&walk, 64, now), 8);
	result = claimed();
	walk_leave(&walk);
	walk_tried(&walk, result, NULL, now, false);
	walk_tried(&walk, NULL, &err, now, false);
	PQclear(result);
	for (int n = 1; n <= 8; n++)
		assert_false(is_aside(n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WALK_TEST(test_nobody_walks_while_nothing_is_passed),
		WALK_TEST(test_what_can_be_claimed_is_and_then_it_ends),
		WALK_TEST(test_the_culprits_are_set_aside_and_nobody_else),
		WALK_TEST(test_a_thousand_culprits_are_known_soon),
		WALK_TEST(test_once_a_minute_each_is_tried_again),
		WALK_TEST(test_while_others_wait_refusals_take_a_small_share),
		WALK_TEST(test_large_jobs_go_alone),
		WALK_TEST(test_who_is_not_there_is_not_blamed),
		WALK_TEST(test_trouble_of_the_whole_blames_nobody),
		WALK_TEST(test_what_comes_later_is_found_by_the_next_round),
		WALK_TEST(test_another_worker_goes_on_where_one_has_died),
		WALK_TEST(test_an_answer_that_comes_after_it_was_left),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
