/* fnv.h: the numbers that its authors publish, and places in a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fnv.h"

/* The algorithm's authors list "", "a" and "foobar" among others. */
static void test_values_are_the_published_ones(void **state)
{
	(void)state;
	assert_int_equal(fnv32("", 0), 0x811c9dc5);
	assert_int_equal(fnv32("a", 1), 0xe40c292c);
	assert_int_equal(fnv32("foobar", 6), 0xbf9cf968);
	assert_int_equal(fnv32_text("foobar"), 0xbf9cf968);
	assert_true(fnv64_text("") == UINT64_C(0xcbf29ce484222325));
	assert_true(fnv64_text("a") == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(fnv64_text("foobar") == UINT64_C(0x85944171f73967e8));
}

static void test_a_byte_at_a_time_is_the_same(void **state)
{
	uint32_t small = FNV32_BEGIN;
	uint64_t large = FNV64_BEGIN;

	(void)state;
	for (const char *p = "foobar"; *p; p++) {
		small = fnv32_step(small, (unsigned char)*p);
		large = fnv64_step(large, (unsigned char)*p);
	}
	assert_int_equal(small, 0xbf9cf968);
	assert_true(large == UINT64_C(0x85944171f73967e8));
}

/* Bytes above 127 count as they are, whether char has a sign or not; a NUL within bytes counts. */
static void test_every_byte_counts_as_it_is(void **state)
{
	(void)state;
	assert_true(fnv64_text("\xff") == UINT64_C(0xaf64724c8602eb6e));
	assert_int_equal(fnv32("\xff", 1), 0x7a0b824e);
	assert_int_not_equal(fnv32("a\0b", 3), fnv32("a", 1));
}

/* Equal low bits, other high ones: another place. */
static void test_places_are_of_all_bits(void **state)
{
	(void)state;
	assert_int_equal(fnv32_place(0x00000001, 256), 1);
	assert_int_equal(fnv32_place(0x00020001, 256), 3);
	assert_int_equal(fnv32_place(0xffffffff, 7), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_are_the_published_ones),
		cmocka_unit_test(test_a_byte_at_a_time_is_the_same),
		cmocka_unit_test(test_every_byte_counts_as_it_is),
		cmocka_unit_test(test_places_are_of_all_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
