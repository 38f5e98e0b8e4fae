/* queue_claim.c: which spans of the index a claim asks for, in which order, and where classes begin. */
#include <stdlib.h>

#include "worker_fixture.h"

#include "queue/turns.h"

#define SPANS 300
#define SECOND_US 1000000

static struct turns turns;
static struct floors floors, passes;

struct span {
	int64_t low, high, begins, passed;
	int32_t turn_low, turn_high;
};

static struct { int n; struct span at[SPANS]; } sent;

static int set_up(void **state)
{
	turns_init(&turns);
	floors = passes = (struct floors){ .n = 0 };
	return set_up_worker(state);
}

/* Item i of an array parameter, as 4 or 8 bytes; how many there are in *n. */
static int64_t item(int param, int i, size_t size, int *n)
{
	const struct buf *b = &fake_pg.sent[0].params[param];
	const char *at = b->data + 12;
	uint32_t count, four;
	uint64_t eight;

	memcpy(&count, at, sizeof(count));
	*n = (int)ntohl(count);
	assert_int_equal(b->len, 20 + (size_t)*n * (4 + size));
	at += 8 + (size_t)i * (4 + size) + 4;
	if (size == 4) {
		memcpy(&four, at, sizeof(four));
		return (int32_t)ntohl(four);
	}
	memcpy(&eight, at, sizeof(eight));
	return (int64_t)be64toh(eight);
}

static void send_claim(int64_t slack_ms)
{
	struct claim claim = { .jobs = 10, .floors = &floors, .passes = &passes,
			       .turns = &turns, .slack_ms = slack_ms };

	assert_int_equal(queue_peek(&queue, &claim, NULL, NULL), 0);
	sent.n = 1;
	for (int i = 0; i < sent.n; i++)
		sent.at[i] = (struct span){
			.low = item(1, i, 8, &sent.n), .high = item(2, i, 8, &sent.n),
			.turn_low = (int32_t)item(3, i, 4, &sent.n),
			.turn_high = (int32_t)item(4, i, 4, &sent.n),
			.begins = item(5, i, 8, &sent.n), .passed = item(8, i, 8, &sent.n),
		};
	assert_in_range(sent.n, 1, SPANS);
	free_sent(&fake_pg.sent[--fake_pg.n]);
}

static bool is_class(const struct span *s)
{
	return s->low == s->high && s->turn_low == s->turn_high;
}

/* As sql/pieces/due.sql reads it. */
static bool has(const struct span *s, int64_t priority, int32_t turn)
{
	if (s->low < s->high)
		return priority > s->low && priority < s->high;
	if (priority != s->low)
		return false;
	if (is_class(s))
		return turn == s->turn_low;
	return turn > s->turn_low && turn < s->turn_high;
}

static int find(int64_t priority, int32_t turn)
{
	int found = -1;

	for (int i = 0; i < sent.n; i++)
		if (has(&sent.at[i], priority, turn)) {
			assert_int_equal(found, -1);		/* nothing is looked at twice */
			found = i;
		}
	return found;
}

static void assert_all_is_covered(void)
{
	static const int64_t priorities[] = {
		INT64_MAX - 1, INT32_MAX, 7, 3, 2, 1, 0, -1, -9, INT32_MIN, INT64_MIN + 1,
	};
	int last = -1;

	for (size_t p = 0; p < sizeof(priorities) / sizeof(priorities[0]); p++) {
		int lowest = last;

		for (int32_t turn = -60; turn < 20; turn++) {
			int at = find(priorities[p], turn);

			if (turn < 0 && -turn % 4 == 3)
				continue;		/* no job's */
			assert_true(at >= last);	/* behind all higher priorities */
			lowest = at > lowest ? at : lowest;
		}
		assert_true(find(priorities[p], INT16_MIN) >= last);
		assert_true(find(priorities[p], INT16_MAX) >= last);
		last = lowest;
	}
}

static void test_a_claim_looks_at_all_of_the_index_once(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 300; round++) {
		floors.n = passes.n = 0;
		for (int i = rand() % 12; i > 0; i--)
			floors_add(&floors, &(struct floor){ .priority = rand() % 4,
							     .turn = -(rand() % 14) });
		for (int i = rand() % 4; i > 0; i--)
			floors_add(&passes, &(struct floor){ .priority = rand() % 5 - 1,
							     .turn = -(rand() % 14) });
		turns_know(&turns, &floors);
		for (int i = 0; i < floors.n && rand() % 3; i++)
			turns_brought(&turns, &floors.at[i]);
		turns_told(&turns, rand() % 2);
		send_claim(0);
		assert_all_is_covered();
	}
}

static void test_with_one_class_little_is_asked(void **state)
{
	(void)state;
	floors_add(&floors, &(struct floor){ .priority = 0, .available_at = 5 });
	turns.known_first = true;
	send_claim(10000);
	assert_int_equal(find(1, 0), 0);
	assert_int_equal(find(0, 0), 1);
	assert_int_equal(find(0, 1), 2);
	assert_int_equal(find(0, -1), 3);
	assert_int_equal(find(-1, 0), 4);
	assert_int_equal(sent.n, 5);
}

static void test_a_class_that_is_not_deep_begins_a_little_earlier(void **state)
{
	struct floor deep = { .turn = -2, .available_at = 70 * (int64_t)SECOND_US };
	struct floor shallow = { .turn = 0, .available_at = 80 * (int64_t)SECOND_US };

	(void)state;
	floors_add(&floors, &deep);
	floors_add(&floors, &shallow);
	turns_brought(&turns, &deep);
	turns_told(&turns, true);
	send_claim(0);
	assert_int_equal(sent.at[find(0, -2)].begins, 70 * SECOND_US);
	assert_int_equal(sent.at[find(0, 0)].begins, 79 * SECOND_US);
	send_claim(10000);			/* then all begin early anyway */
	assert_int_equal(sent.at[find(0, 0)].begins, 80 * SECOND_US);
}

static void test_only_its_own_class_is_passed(void **state)
{
	(void)state;
	floors_add(&floors, &(struct floor){ .turn = 0 });
	floors_add(&floors, &(struct floor){ .turn = -1 });
	floors_add(&passes, &(struct floor){ .turn = -1, .available_at = 99 });
	floors_add(&passes, &(struct floor){ .turn = -6, .available_at = 98 });
	send_claim(0);
	assert_true(sent.at[find(0, 0)].passed == INT64_MIN);
	assert_int_equal(sent.at[find(0, -1)].passed, 99);
	assert_int_equal(sent.at[find(0, -6)].passed, 98);
	assert_true(sent.at[find(0, -5)].passed == INT64_MIN);
	assert_true(is_class(&sent.at[find(0, -6)]));
}

#define SPANS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_worker)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPANS_TEST(test_a_claim_looks_at_all_of_the_index_once),
		SPANS_TEST(test_with_one_class_little_is_asked),
		SPANS_TEST(test_a_class_that_is_not_deep_begins_a_little_earlier),
		SPANS_TEST(test_only_its_own_class_is_passed),
	};

	return cmocka_run_group_tests_name("spans", tests, NULL, NULL);
}
