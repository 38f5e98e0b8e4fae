/* csv.c: fields that RFC 4180 reads back, and that no spreadsheet takes for a formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/csv.h"

static void check(const char *text, const char *expected)
{
	struct buf out;

	buf_init(&out, 4096);
	csv_text(&out, text);
	assert_true(buf_ok(&out));
	assert_string_equal(buf_text(&out), expected);
	buf_free(&out);
}

static void test_what_needs_quotes_has_them(void **state)
{
	(void)state;
	check("", "");
	check("good", "good");
	check("a b", "a b");
	check("a, b", "\"a, b\"");
	check("say \"hi\"", "\"say \"\"hi\"\"\"");
	check("\"", "\"\"\"\"");
	check(" a", "\" a\"");
	check("a ", "\"a \"");
	check("one\ntwo", "\"one\ntwo\"");
	check("it's", "it's");
	check("za\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87 \xf0\x9f\x8d\xa8", "za\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87 \xf0\x9f\x8d\xa8");
}

static void test_no_text_is_a_formula(void **state)
{
	(void)state;
	check("=1+1", "'=1+1");
	check("+49 30", "'+49 30");
	check("-", "'-");
	check("@SUM(A1)", "'@SUM(A1)");
	check("\t=1", "'\t=1");
	check("=HYPERLINK(\"http://x\", \"y\")", "\"'=HYPERLINK(\"\"http://x\"\", \"\"y\"\")\"");
	check("\xef\xbc\x9d" "1", "'\xef\xbc\x9d" "1");
	check("\xef\xbc\x8b" "1", "'\xef\xbc\x8b" "1");
	check("\xef\xbc\x8d" "1", "'\xef\xbc\x8d" "1");
	check("\xef\xbc\xa0" "a", "'\xef\xbc\xa0" "a");
	check("\r=1", "\"'\n=1\"");
	check("\n=1", "\"'\n=1\"");
	check("1=1", "1=1");
	check("'=1", "'=1");
	check("a\n=1", "\"a\n=1\"");	/* the middle of a cell is no formula */
}

static void test_control_characters_are_no_orders(void **state)
{
	(void)state;
	check("a\tb", "a\tb");
	check("a\r\nb\rc\r", "\"a\nb\nc\n\"");
	check("red\x1b[31m", "red\xef\xbf\xbd[31m");
	check("\x07\x7f", "\xef\xbf\xbd\xef\xbf\xbd");
	check("c1 \xc2\x9b" "31m", "c1 \xef\xbf\xbd" "31m");
	check("\xff" "a\xc3", "\xef\xbf\xbd" "a\xef\xbf\xbd");
	check("\xc2\xa0", "\xc2\xa0");	/* a blank of its own kind */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_needs_quotes_has_them),
		cmocka_unit_test(test_no_text_is_a_formula),
		cmocka_unit_test(test_control_characters_are_no_orders),
	};

	return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}
