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
	return (struct floor){ .priority = 1, .available_at = n };
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
	assert_true(quarantine_found(&q, &(struct floor){ .available_at = 7 }, 1000));
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
	assert_true(quarantine_found(&q, NULL, 1000));
	assert_int_equal(q.n, 0);
	assert_int_equal(quarantine_cap(&q, 64), 64);
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
	for (int i = 0; i < QUARANTINE_PLACES; i++) {
		struct floor f = place(i);

		assert_true(quarantine_found(&q, &f, 1000));
	}
	assert_false(quarantine_found(&q, &(struct floor){ .available_at = 99 }, 1000));
	assert_int_equal(q.n, QUARANTINE_PLACES);
	assert_int_equal(q.places[0].available_at, 1);
	assert_int_equal(q.places[QUARANTINE_PLACES - 1].available_at, 99);
	quarantine_check(&q);
}

static void test_they_are_tried_again_after_a_minute(void **state)
{
	struct quarantine q = { .n = 0 };
	struct floor f = place(1);

	(void)state;
	quarantine_found(&q, &f, 1000);
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
		cmocka_unit_test(test_all_claimed_ends_the_search),
		cmocka_unit_test(test_a_full_list_lets_the_oldest_go),
		cmocka_unit_test(test_they_are_tried_again_after_a_minute),
	};

	return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
