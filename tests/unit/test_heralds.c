/* By which numbers the janitor notices that others move sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "janitor/heralds.h"

static void test_nothing_moves(void **state)
{
	(void)state;
	assert_false(heralds_others_moved(0, 0, 0, 0));
}

/* A claim draws a number, a settlement one or more of 64. */
static void test_our_own_work_explains_it(void **state)
{
	(void)state;
	assert_false(heralds_others_moved(100, 0, 100, 0));
	assert_false(heralds_others_moved(100, 64 * 100, 100, 100));
	assert_false(heralds_others_moved(0, 64 * 10, 0, 10));		/* claimed before */
}

static void test_others_claim_or_settle(void **state)
{
	(void)state;
	assert_true(heralds_others_moved(1, 0, 0, 0));
	assert_true(heralds_others_moved(0, 64, 0, 0));
	assert_true(heralds_others_moved(100, 64 * 101, 100, 100));
}

/* A restore, or a row that others changed: never below what it was. */
static void test_numbers_that_go_back_are_nobodys(void **state)
{
	(void)state;
	assert_false(heralds_others_moved(-5, -64, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_moves),
		cmocka_unit_test(test_our_own_work_explains_it),
		cmocka_unit_test(test_others_claim_or_settle),
		cmocka_unit_test(test_numbers_that_go_back_are_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
