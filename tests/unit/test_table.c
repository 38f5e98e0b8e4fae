/* table.c: both renderings, alignment, odd texts, and what is done wrong by a caller. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/table.h"

static const char *const columns[] = { "name", "n", "ratio", "ok", "age_ms", NULL };
static const char *const pair[] = { "long_name", "x_ms", NULL };

static void expect(struct table *t, bool json, const char *text)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	table_render(t, json, &out);
	assert_true(buf_ok(&out));
	assert_string_equal(buf_text(&out), text);
	buf_free(&out);
}

static void expect_failure(struct table *t)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	table_render(t, false, &out);
	assert_false(buf_ok(&out));
	buf_free(&out);
}

static struct table *two_rows(void)
{
	struct table *t = table_new(columns, false);

	table_row(t);
	table_text(t, "first");
	table_int(t, 7);
	table_real(t, 0.5, 2);
	table_bool(t, true);
	table_ms(t, 90000);
	table_row(t);
	table_text(t, "2nd");
	table_int(t, -1234567);
	table_null(t);
	table_bool(t, false);
	table_null(t);
	return t;
}

static void test_columns_are_aligned(void **state)
{
	struct table *t = two_rows();

	(void)state;
	expect(t, false,
	       "name          n  ratio  ok      age\n"
	       "first         7   0.50  yes  1m 30s\n"
	       "2nd    -1234567      -  no        -\n");
	table_free(t);
}

static void test_rows_as_json(void **state)
{
	struct table *t = two_rows();

	(void)state;
	expect(t, true,
	       "[{\"name\":\"first\",\"n\":7,\"ratio\":0.50,\"ok\":true,\"age_ms\":90000},\n"
	       " {\"name\":\"2nd\",\"n\":-1234567,\"ratio\":null,\"ok\":false,\"age_ms\":null}]\n");
	table_free(t);
}

static void test_record(void **state)
{
	struct table *t = table_new(pair, true);

	(void)state;
	table_row(t);
	table_text(t, "v");
	table_ms(t, 12);
	expect(t, false, "long name: v\nx:         12ms\n");
	expect(t, true, "{\"long_name\":\"v\",\"x_ms\":12}\n");
	table_free(t);
}

static void test_nothing_to_show(void **state)
{
	struct table *t = table_new(columns, false);

	(void)state;
	expect(t, false, "none\n");
	expect(t, true, "[]\n");
	table_free(t);
}

static void test_missing_cells_are_null(void **state)
{
	struct table *t = table_new(pair, false);

	(void)state;
	table_row(t);
	table_row(t);
	table_text(t, "b");
	expect(t, true,
	       "[{\"long_name\":null,\"x_ms\":null},\n {\"long_name\":\"b\",\"x_ms\":null}]\n");
	table_free(t);
}

static void test_text_cannot_break_the_layout(void **state)
{
	struct table *t = table_new(pair, false);

	(void)state;
	table_row(t);
	table_text(t, "a\nb\x1b[2J\tc\x7f");
	table_int(t, 1);
	table_row(t);
	table_text(t, "gr\xc3\xbc\xc3\x9f");	/* five bytes wider than it looks */
	table_int(t, 22);
	table_row(t);
	table_text(t, "");
	table_int(t, 3);
	expect(t, false,
	       "long_name    x\n"
	       "a b [2J c    1\n"
	       "gr\xc3\xbc\xc3\x9f        22\n"
	       "\"\"           3\n");
	expect(t, true,
	       "[{\"long_name\":\"a\\u000ab\\u001b[2J\\u0009c\\u007f\",\"x_ms\":1},\n"
	       " {\"long_name\":\"gr\xc3\xbc\xc3\x9f\",\"x_ms\":22},\n"
	       " {\"long_name\":\"\",\"x_ms\":3}]\n");
	table_free(t);
}

static void test_no_number_is_null(void **state)
{
	struct table *t = table_new(pair, false);
	struct buf out;

	(void)state;
	table_row(t);
	table_real(t, NAN, 1);
	table_real(t, INFINITY, 1);
	table_row(t);
	table_real(t, 1e308, 0);
	table_real(t, -0.25, 1);
	buf_init(&out, 4096);
	table_render(t, true, &out);
	assert_true(buf_ok(&out));
	assert_non_null(strstr(buf_text(&out), "{\"long_name\":null,\"x_ms\":null}"));
	assert_non_null(strstr(buf_text(&out), "{\"long_name\":1000000000"));
	buf_free(&out);
	table_free(t);
}

static void test_many_rows(void **state)
{
	struct table *t = table_new(pair, false);
	struct buf out;
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		table_row(t);
		table_int(t, i);
		table_text(t, "x");
	}
	buf_init(&out, 1 << 20);
	table_render(t, false, &out);
	assert_true(buf_ok(&out));
	for (const char *p = buf_text(&out); *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 1001);
	assert_non_null(strstr(buf_text(&out), "      999  x\n"));
	buf_free(&out);
	table_free(t);
}

static void test_misuse_fails_the_answer(void **state)
{
	struct table *t = table_new(pair, false);

	(void)state;
	table_int(t, 1);			/* before any row */
	expect_failure(t);
	table_free(t);
	t = table_new(pair, false);
	table_row(t);
	for (int i = 0; i < 3; i++)
		table_int(t, i);		/* a cell too many */
	expect_failure(t);
	table_free(t);
}

static void test_out_of_memory_fails_the_answer(void **state)
{
	(void)state;
	table_row(NULL);
	table_text(NULL, "x");
	table_int(NULL, 1);
	table_null(NULL);
	expect_failure(NULL);
	table_free(NULL);
}

static void test_the_cap_fails_the_answer(void **state)
{
	struct table *t = two_rows();
	struct buf out;

	(void)state;
	buf_init(&out, 20);
	table_render(t, false, &out);
	assert_false(buf_ok(&out));
	assert_true(out.len <= 20);
	buf_free(&out);
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_aligned),
		cmocka_unit_test(test_rows_as_json),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_nothing_to_show),
		cmocka_unit_test(test_missing_cells_are_null),
		cmocka_unit_test(test_text_cannot_break_the_layout),
		cmocka_unit_test(test_no_number_is_null),
		cmocka_unit_test(test_many_rows),
		cmocka_unit_test(test_misuse_fails_the_answer),
		cmocka_unit_test(test_out_of_memory_fails_the_answer),
		cmocka_unit_test(test_the_cap_fails_the_answer),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
