/* The mirror's table of sessions, and when each of them is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "publisher/mirrored.h"

static struct mirrored_set *set;

static int set_up(void **state)
{
	(void)state;
	set = calloc(1, sizeof(*set));
	return set ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	while (set->all)
		mirrored_drop(set, set->all);
	free(set);
	return 0;
}

static const unsigned char *id(uint32_t n)
{
	static unsigned char bytes[UUID_BYTES];

	memcpy(bytes, &n, sizeof(n));
	return bytes;
}

static void test_found_by_id(void **state)
{
	struct mirrored *one, *two;

	(void)state;
	assert_null(mirrored_find(set, id(1)));
	one = mirrored_add(set, id(1));
	two = mirrored_add(set, id(2));
	assert_ptr_equal(mirrored_find(set, id(1)), one);
	assert_ptr_equal(mirrored_find(set, id(2)), two);
	mirrored_drop(set, one);
	assert_null(mirrored_find(set, id(1)));
	assert_ptr_equal(mirrored_find(set, id(2)), two);
	assert_int_equal(set->n, 1);
}

/* The ring is walked while sessions go. */
static void test_the_watch_goes_on_behind_one_that_is_dropped(void **state)
{
	struct mirrored *m[3];

	(void)state;
	for (uint32_t n = 0; n < 3; n++)
		m[n] = mirrored_add(set, id(n));
	assert_ptr_equal(set->all, m[0]);
	assert_ptr_equal(m[2]->after, m[0]);
	set->watched = m[1];
	mirrored_drop(set, m[1]);
	assert_ptr_equal(set->watched, m[2]);
	mirrored_drop(set, m[2]);
	assert_null(set->watched);	/* a round is at its end */
	assert_ptr_equal(m[0]->after, m[0]);
	mirrored_drop(set, m[0]);
	assert_null(set->all);
}

static void test_a_full_table_lets_those_go_that_ended_first(void **state)
{
	struct mirrored *m = NULL;

	(void)state;
	for (uint32_t n = 0; n < MIRRORED_MAX; n++)
		m = mirrored_add(set, id(n));
	assert_non_null(m);
	assert_null(mirrored_add(set, id(MIRRORED_MAX)));
	assert_null(mirrored_evictable(set));	/* all are open */
	m = mirrored_find(set, id(5));
	m->ended_ms = 200;
	mirrored_find(set, id(6))->ended_ms = 100;
	mirrored_find(set, id(7))->ended_ms = 50;
	mirrored_find(set, id(7))->step = MIRRORED_READY;	/* it is still to be shown */
	assert_ptr_equal(mirrored_evictable(set), mirrored_find(set, id(6)));
}

static void test_queue(void **state)
{
	struct mirrored_queue q;
	struct mirrored *one = mirrored_add(set, id(1)), *two = mirrored_add(set, id(2));

	(void)state;
	mirrored_queue_init(&q);
	assert_null(mirrored_pop(&q));
	mirrored_push(&q, one);
	mirrored_push(&q, two);
	assert_int_equal(q.n, 2);
	assert_ptr_equal(mirrored_pop(&q), one);
	mirrored_push(&q, one);
	assert_ptr_equal(mirrored_pop(&q), two);
	assert_ptr_equal(mirrored_pop(&q), one);
	assert_null(mirrored_pop(&q));
}

static void test_once_a_second(void **state)
{
	struct mirrored m = { .written_ms = 0 };

	(void)state;
	assert_int_equal(mirrored_wait_ms(&m, 5000), 0);
	m.written_ms = 5000;
	assert_int_equal(mirrored_wait_ms(&m, 5000), MIRROR_EVERY_MS);
	assert_int_equal(mirrored_wait_ms(&m, 5400), MIRROR_EVERY_MS - 400);
	assert_int_equal(mirrored_wait_ms(&m, 9000), 0);
	m.not_before_ms = 9500;
	assert_int_equal(mirrored_wait_ms(&m, 9000), 500);
}

static void test_what_is_refused_waits_longer_and_longer(void **state)
{
	struct mirrored m = { .written_ms = 0 };
	int64_t now = 1000, before = 0;
	int n = 1;

	(void)state;
	while (!mirrored_refused(&m, 1, now)) {
		int64_t wait = mirrored_wait_ms(&m, now);

		assert_true(wait > before);
		before = wait;
		now += wait;
		n++;
	}
	assert_int_equal(n, MIRROR_ASIDE_AFTER);
	assert_true(now - 1000 >= 15000);	/* so long something may be wrong for a while */
	assert_int_equal(mirrored_wait_ms(&m, now), MIRROR_ASIDE_MS);
	assert_false(mirrored_refused(&m, 1, now + MIRROR_ASIDE_MS));	/* it is said once */
	assert_true(m.aside);
	assert_true(mirrored_shown(&m, false, 1, now));		/* and taken back once */
	assert_false(mirrored_shown(&m, false, 1, now));
	assert_int_equal(mirrored_wait_ms(&m, now), 0);
}

/* What takes long costs the other sessions: it has a sixth of the time at most. */
static void test_what_is_slow_waits_longer(void **state)
{
	struct mirrored m = { .written_ms = 0 };

	(void)state;
	mirrored_shown(&m, false, 3000, 10000);
	assert_int_equal(mirrored_wait_ms(&m, 10000), 15000);
	mirrored_refused(&m, 5000, 30000);
	assert_int_equal(mirrored_wait_ms(&m, 30000), 25000);
	mirrored_shown(&m, false, 900, 60000);
	assert_int_equal(mirrored_wait_ms(&m, 60000), 0);
}

static void test_a_lock_is_no_refusal_for_a_minute(void **state)
{
	struct mirrored m = { .written_ms = 0 };
	int64_t now = 0;

	(void)state;
	while (!mirrored_locked(&m, now)) {
		assert_in_range(mirrored_wait_ms(&m, now), 100, 1600);
		now += mirrored_wait_ms(&m, now);
	}
	assert_in_range(now, 50000, 70000);
	assert_false(m.aside);
}

static void test_watched_for_five_minutes(void **state)
{
	struct mirrored m = { .step = MIRRORED_RESTS };

	(void)state;
	mirrored_shown(&m, false, 1, 1000);
	assert_false(mirrored_is_done(&m, 1000000000));		/* open: as long as it is */
	mirrored_shown(&m, true, 1, 2000);
	mirrored_shown(&m, true, 1, 3000);			/* a stale copy came between */
	assert_false(mirrored_is_done(&m, 2000 + MIRROR_WATCH_MS - 1));
	assert_true(mirrored_is_done(&m, 2000 + MIRROR_WATCH_MS));
	m.step = MIRRORED_TIMED;
	assert_false(mirrored_is_done(&m, 2000 + MIRROR_WATCH_MS));
	m.step = MIRRORED_RESTS;
	m.brief = true;						/* it ended long before */
	assert_true(mirrored_is_done(&m, 2001));
	mirrored_shown(&m, false, 1, 4000);			/* it has grown */
	assert_false(mirrored_is_done(&m, 1000000000));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_found_by_id),
		TEST(test_the_watch_goes_on_behind_one_that_is_dropped),
		TEST(test_a_full_table_lets_those_go_that_ended_first),
		TEST(test_queue),
		TEST(test_once_a_second),
		TEST(test_what_is_refused_waits_longer_and_longer),
		TEST(test_what_is_slow_waits_longer),
		TEST(test_a_lock_is_no_refusal_for_a_minute),
		TEST(test_watched_for_five_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
