/* quarantine.c: places of the queue that are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/quarantine.h"

static const struct err why = { .kind = ERR_PERMANENT, .text = "a trigger is against it" };

static struct floor place(int n)
{
	return (struct floor){ .priority = 1, .available_at = n, .id = { (unsigned char)n } };
}

/* The same place is named twice. */
static enum quarantine_finding find(struct quarantine *q, int n)
{
	struct floor f = place(n);

	assert_int_equal(quarantine_found(q, &f, 1000), QUARANTINE_SUSPECT);
	assert_int_equal(quarantine_cap(q, 64), 1);	/* it is to fail alone once more */
	return quarantine_found(q, &f, 1000);
}

static void test_smaller_claims_find_the_first_of_the_queue(void **state)
{
	struct quarantine q = { .n = 0 };

	(void)state;
	assert_int_equal(quarantine_cap(&q, 64), 64);
	assert_false(quarantine_refused(&q, 64, &why));
	assert_int_equal(quarantine_cap(&q, 64), 32);
	assert_int_equal(quarantine_cap(&q, 5), 5);
	assert_false(quarantine_refused(&q, 3, &why));
	assert_int_equal(quarantine_cap(&q, 64), 1);
	assert_true(quarantine_refused(&q, 1, &why));
	assert_string_equal(q.why.text, why.text);
	assert_int_equal(quarantine_cap(&q, 64), 1);
	assert_int_equal(find(&q, 7), QUARANTINE_ADDED);
	assert_int_equal(q.n, 1);
	assert_int_equal(q.places[0].available_at, 7);
	assert_int_equal(quarantine_cap(&q, 64), 64);
	quarantine_check(&q);
}

static void test_nobody_is_set_aside_when_the_culprit_has_gone(void **state)
{
	struct quarantine q = { .n = 0 };

	(void)state;
	assert_true(quarantine_refused(&q, 1, &why));
	assert_int_equal(quarantine_found(&q, NULL, 1000), QUARANTINE_NOBODY);
	assert_int_equal(q.n, 0);
	assert_int_equal(quarantine_cap(&q, 64), 64);
}

/* Another worker had the culprit locked when this one looked: the next in the queue is innocent. */
static void test_who_is_named_once_may_be_innocent(void **state)
{
	struct quarantine q = { .n = 0 };
	struct floor innocent = place(2), culprit = place(1);

	(void)state;
	assert_int_equal(quarantine_found(&q, &innocent, 1000), QUARANTINE_SUSPECT);
	assert_int_equal(quarantine_found(&q, &culprit, 1000), QUARANTINE_SUSPECT);
	assert_int_equal(quarantine_found(&q, &innocent, 1000), QUARANTINE_SUSPECT);
	assert_int_equal(q.n, 0);
	assert_int_equal(find(&q, 1), QUARANTINE_ADDED);
	assert_int_equal(q.places[0].available_at, 1);
	assert_int_equal(quarantine_found(&q, &innocent, 1000), QUARANTINE_SUSPECT);
	quarantine_all_claimed(&q);		/* it was claimed after all */
	assert_int_equal(quarantine_found(&q, &innocent, 1000), QUARANTINE_SUSPECT);
}

static void test_all_claimed_ends_the_search(void **state)
{
	struct quarantine q = { .n = 0 };

	(void)state;
	quarantine_refused(&q, 64, &why);
	quarantine_all_claimed(&q);
	assert_int_equal(quarantine_cap(&q, 64), 64);
}

static void test_a_full_list_lets_the_oldest_go(void **state)
{
	struct quarantine q = { .n = 0 };

	(void)state;
	for (int i = 0; i < QUARANTINE_PLACES; i++)
		assert_int_equal(find(&q, i), QUARANTINE_ADDED);
	assert_int_equal(find(&q, 99), QUARANTINE_FULL);
	assert_int_equal(q.n, QUARANTINE_PLACES);
	assert_int_equal(q.places[0].available_at, 1);
	assert_int_equal(q.places[QUARANTINE_PLACES - 1].available_at, 99);
	quarantine_check(&q);
}

static void test_they_are_tried_again_after_a_minute(void **state)
{
	struct quarantine q = { .n = 0 };

	(void)state;
	find(&q, 1);
	quarantine_expire(&q, 1000 + QUARANTINE_MS - 1);
	assert_int_equal(q.n, 1);
	quarantine_expire(&q, 1000 + QUARANTINE_MS);
	assert_int_equal(q.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smaller_claims_find_the_first_of_the_queue),
		cmocka_unit_test(test_nobody_is_set_aside_when_the_culprit_has_gone),
		cmocka_unit_test(test_who_is_named_once_may_be_innocent),
		cmocka_unit_test(test_all_claimed_ends_the_search),
		cmocka_unit_test(test_a_full_list_lets_the_oldest_go),
		cmocka_unit_test(test_they_are_tried_again_after_a_minute),
	};

	return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
