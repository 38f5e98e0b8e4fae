/* pgarray.c: array literals that Postgres reads as what was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pg/pgarray.h"

static void check(const char *const *items, size_t n, const char *expected)
{
	struct buf out;

	buf_init(&out, 1024);
	pgarray_begin(&out);
	for (size_t i = 0; i < n; i++)
		pgarray_text(&out, items[i]);
	pgarray_end(&out);
	assert_string_equal(buf_text(&out), expected);
	buf_free(&out);
}
#define CHECK(expected, ...) \
	check((const char *const[]){ __VA_ARGS__ }, \
	      sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *), expected)

static void test_items_are_quoted(void **state)
{
	(void)state;
	check(NULL, 0, "{}");
	CHECK("{\"a\"}", "a");
	CHECK("{\"a\",\"b c\",\"\"}", "a", "b c", "");
	CHECK("{\"x, {y}\"}", "x, {y}");
}

static void test_quotes_and_backslashes_are_escaped(void **state)
{
	(void)state;
	CHECK("{\"say \\\"hi\\\"\",\"C:\\\\\"}", "say \"hi\"", "C:\\");
	CHECK("{\"{\"}", "{");
	CHECK("{\"{\",\"b\"}", "{", "b");
}

/* A text of these four letters is no null. */
static void test_null_is_told_from_its_name(void **state)
{
	(void)state;
	CHECK("{NULL,\"NULL\",NULL}", NULL, "NULL", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items_are_quoted),
		cmocka_unit_test(test_quotes_and_backslashes_are_escaped),
		cmocka_unit_test(test_null_is_told_from_its_name),
	};

	return cmocka_run_group_tests_name("pgarray", tests, NULL, NULL);
}
