/* turns.c: which class of a priority comes first, what each gets in the long run, and which are deep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/turns.h"

#define NEXT_TENANT (-4)

static struct turns turns;

static int begin(void **state)
{
	(void)state;
	turns_init(&turns);
	return 0;
}

static int end(void **state)
{
	(void)state;
	turns_check(&turns);
	return 0;
}

/* A queue of classes of one priority, each with so many jobs. */
struct queue_of {
	int n;
	struct floor at[12];
	int jobs[12], got[12];
};

static void add(struct queue_of *q, int32_t turn, int jobs)
{
	q->at[q->n] = (struct floor){ .turn = turn };
	q->jobs[q->n++] = jobs;
}

/* A claim of up to `room` jobs, in the order of the classes. */
static void claim(struct queue_of *q, int room)
{
	struct floors known = { .n = 0 };
	int order[12], left = room;

	for (int i = 0; i < q->n; i++)
		floors_add(&known, &q->at[i]);
	turns_know(&turns, &known);
	turns_order(&turns, q->at, q->n, order);
	for (int i = 0; i < q->n; i++)
		for (int c = order[i]; left > 0 && q->jobs[c] > 0; left--) {
			q->jobs[c]--;
			q->got[c]++;
			turns_brought(&turns, &q->at[c]);
		}
	turns_told(&turns, left == 0);
}

static void forget_what_was_got(struct queue_of *q)
{
	memset(q->got, 0, sizeof(q->got));
}

static void test_a_turn_is_a_tenant_and_a_band(void **state)
{
	(void)state;
	assert_int_equal(turn_band(0), 0);
	assert_int_equal(turn_band(-2), 2);
	assert_int_equal(turn_tenant(-2), 0);
	assert_int_equal(turn_band(-4 * 7 - 1), 1);
	assert_int_equal(turn_tenant(-4 * 7 - 1), 7);
	assert_in_range(turn_band(-3), 0, TURN_BANDS - 1);	/* no job has it, but by hand */
	assert_int_equal(turn_tenant(INT32_MAX), 0);
	assert_in_range(turn_band(INT32_MIN), 0, TURN_BANDS - 1);
}

static void test_nothing_lies_between_neighbours(void **state)
{
	(void)state;
	assert_false(turns_between(-1, 0));
	assert_false(turns_between(-4, -2));	/* -3 is no job's */
	assert_true(turns_between(-2, 0));
	assert_true(turns_between(-5, -2));
	assert_true(turns_between(0, INT32_MAX));
	assert_true(turns_between(INT32_MIN, -2));
}

static void test_the_first_batches_come_first(void **state)
{
	struct queue_of q = { .n = 0 };

	(void)state;
	add(&q, 0, 5);
	add(&q, -1, 5);
	add(&q, -2, 100);
	claim(&q, 7);
	assert_int_equal(q.got[0], 5);
	assert_int_equal(q.got[1], 2);
	assert_int_equal(q.got[2], 0);
}

/* However long the rest has been served: a session that begins is next. */
static void test_who_was_away_is_next_and_has_saved_up_nothing(void **state)
{
	struct queue_of q = { .n = 0 };

	(void)state;
	add(&q, 0, 0);
	add(&q, -2, 1000000);
	for (int i = 0; i < 1000; i++)
		claim(&q, 64);
	assert_int_equal(q.got[1], 64000);
	q.jobs[0] = 1;
	claim(&q, 1);
	assert_int_equal(q.got[0], 1);
	q.jobs[0] = 1000000;
	forget_what_was_got(&q);
	for (int i = 0; i < 9000; i++)
		claim(&q, 1);
	assert_in_range(q.got[1], 900, 1010);		/* one of nine, but for its last claim */
}

static void test_no_band_starves(void **state)
{
	struct queue_of q = { .n = 0 };

	(void)state;
	for (int b = 0; b < TURN_BANDS; b++)
		add(&q, -b, 1000000);
	for (int i = 0; i < 1200; i++)
		claim(&q, 10);
	assert_in_range(q.got[0], 7900, 8100);
	assert_in_range(q.got[1], 2900, 3100);
	assert_in_range(q.got[2], 900, 1100);
}

/* However much one has waiting, in claims of whatever size. */
static void test_tenants_get_their_weights(void **state)
{
	static const int sizes[] = { 1, 7, 64, 256 };

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct queue_of q = { .n = 0 };
		int total = 100 * sizes[s];

		turns_init(&turns);
		turns_weigh(&turns, 1, 3);
		turns_weigh(&turns, 2, 1);
		add(&q, 1 * NEXT_TENANT, 300000);
		add(&q, 2 * NEXT_TENANT, 90000);
		add(&q, 2 * NEXT_TENANT - 2, 3000000);
		for (int i = 0; i < 100; i++)
			claim(&q, sizes[s]);
		assert_in_range(q.got[0], total * 74 / 100 - 1, total * 76 / 100 + 1);
		assert_int_equal(q.got[0] + q.got[1] + q.got[2], total);
	}
}

static void test_an_idle_tenants_share_is_the_others(void **state)
{
	struct queue_of q = { .n = 0 };

	(void)state;
	for (int t = 0; t < 3; t++)
		add(&q, t * NEXT_TENANT, t == 2 ? 0 : 1000000);
	for (int i = 0; i < 1000; i++)
		claim(&q, 8);
	assert_in_range(q.got[0], 3990, 4010);
	assert_in_range(q.got[1], 3990, 4010);
	q.jobs[2] = 1000000;
	forget_what_was_got(&q);
	for (int i = 0; i < 900; i++)
		claim(&q, 8);
	for (int t = 0; t < 3; t++)
		assert_in_range(q.got[t], 2390, 2410);
}

/* What is asked first at a higher priority leaves no debt at a lower one. */
static void test_a_tenants_urgent_jobs_cost_it_nothing_later(void **state)
{
	struct queue_of urgent = { .n = 0 }, q = { .n = 0 };

	(void)state;
	add(&q, NEXT_TENANT, 100000);
	add(&q, 2 * NEXT_TENANT, 100000);
	claim(&q, 1);
	add(&urgent, NEXT_TENANT, 1000);
	urgent.at[0].priority = 9;
	for (int i = 0; i < 100; i++)
		claim(&urgent, 10);
	forget_what_was_got(&q);
	for (int i = 0; i < 100; i++)
		claim(&q, 10);
	assert_in_range(q.got[0], 480, 520);
}

static void test_a_class_is_deep_when_claims_end_in_it(void **state)
{
	struct queue_of q = { .n = 0 };

	(void)state;
	add(&q, 0, 3);
	add(&q, -1, 50);
	add(&q, -2, 100);
	claim(&q, 8);
	assert_false(turns_is_deep(&turns, &q.at[0]));
	assert_true(turns_is_deep(&turns, &q.at[1]));
	assert_false(turns_is_deep(&turns, &q.at[2]));		/* nobody knows yet */
	claim(&q, 8);
	assert_true(turns_is_deep(&turns, &q.at[2]));		/* it was that one's turn */
	assert_true(turns_is_deep(&turns, &q.at[1]));
	claim(&q, 1000);
	for (int c = 0; c < 3; c++)
		assert_false(turns_is_deep(&turns, &q.at[c]));
}

static void test_the_end_of_a_claim_is_at_its_lowest_priority(void **state)
{
	struct floor high = { .priority = 5, .turn = -2 }, low = { .priority = 0, .turn = 0 };

	(void)state;
	turns_brought(&turns, &high);
	turns_brought(&turns, &low);
	turns_told(&turns, true);
	assert_true(turns_is_deep(&turns, &low));
	assert_false(turns_is_deep(&turns, &high));
}

static void test_more_tenants_than_shares_are_told_apart_from_nobody(void **state)
{
	(void)state;
	for (int32_t t = 1; t < 3 * TURN_SHARES; t++) {
		struct floor place = { .turn = t * NEXT_TENANT };

		turns_weigh(&turns, t, t);
		turns_brought(&turns, &place);
		turns_told(&turns, true);
	}
	assert_int_equal(turns.n, TURN_SHARES);
	assert_int_equal(turns.of[0].weight, 1);
}

#define TURNS_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TURNS_TEST(test_a_turn_is_a_tenant_and_a_band),
		TURNS_TEST(test_nothing_lies_between_neighbours),
		TURNS_TEST(test_the_first_batches_come_first),
		TURNS_TEST(test_who_was_away_is_next_and_has_saved_up_nothing),
		TURNS_TEST(test_no_band_starves),
		TURNS_TEST(test_tenants_get_their_weights),
		TURNS_TEST(test_an_idle_tenants_share_is_the_others),
		TURNS_TEST(test_a_tenants_urgent_jobs_cost_it_nothing_later),
		TURNS_TEST(test_a_class_is_deep_when_claims_end_in_it),
		TURNS_TEST(test_the_end_of_a_claim_is_at_its_lowest_priority),
		TURNS_TEST(test_more_tenants_than_shares_are_told_apart_from_nobody),
	};

	return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
