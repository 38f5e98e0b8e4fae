/* migrate_ahead.c, its pure part: how large a step is. The walk itself: tests/integration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/migrate_ahead.h"

static void test_steps_grow_while_they_are_short(void **state)
{
	(void)state;
	assert_int_equal(migrate_ahead_pages(16, 5), 32);
	assert_int_equal(migrate_ahead_pages(16, 50), 16);
	assert_int_equal(migrate_ahead_pages(256, 0), 256);
}

static void test_steps_shrink_when_they_take_long(void **state)
{
	(void)state;
	assert_int_equal(migrate_ahead_pages(16, 81), 8);
	assert_int_equal(migrate_ahead_pages(1, 10000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps_grow_while_they_are_short),
		cmocka_unit_test(test_steps_shrink_when_they_take_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
