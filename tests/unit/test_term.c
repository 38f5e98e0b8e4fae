/* term.c: others' texts made harmless, lines broken at blanks, bars. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/term.h"

static struct buf out;

static int begin(void **state)
{
	(void)state;
	buf_init(&out, 4096);
	return 0;
}

static int end(void **state)
{
	(void)state;
	buf_free(&out);
	return 0;
}

static void check_escape(const char *text, const char *expected)
{
	buf_reset(&out);
	term_escape(&out, text);
	assert_string_equal(buf_text(&out), expected);
}

static void test_control_characters_are_shown(void **state)
{
	(void)state;
	check_escape("plain text", "plain text");
	check_escape("a\nb\tc", "a\\nb\\tc");
	check_escape("\x1b[31mred", "\\x1b[31mred");
	check_escape("\x7f", "\\x7f");
	check_escape("\xc2\x9b" "31m", "\\u009b31m");		/* CSI in one character */
	check_escape("\xc3\xa9", "\xc3\xa9");
	check_escape("\xff!", "\xef\xbf\xbd!");
}

static void test_json_stays_json(void **state)
{
	(void)state;
	buf_reset(&out);
	term_json(&out, "{\"a\": \"\\u001b \x7f \xc2\x9b \xc3\xa9\"}");
	assert_string_equal(buf_text(&out), "{\"a\": \"\\u001b \\u007f \\u009b \xc3\xa9\"}");
}

static void check_wrap(int width, const char *text, int indent, const char *expected)
{
	struct term t = { .width = width };

	buf_reset(&out);
	term_wrap(&t, &out, text, indent);
	assert_string_equal(buf_text(&out), expected);
}

static void test_lines_are_broken_at_blanks(void **state)
{
	(void)state;
	check_wrap(10, "one two three", 0, "one two\nthree");
	check_wrap(10, "one two three", 4, "one\n    two\n    three");
	check_wrap(10, "0123456789", 0, "0123456789");
	check_wrap(10, "01234567890123 x", 0, "01234567890123\nx");	/* the terminal breaks it */
	check_wrap(10, "one  two", 0, "one  two");		/* blanks within a line stay */
	check_wrap(10, "", 4, "");
}

static void test_without_a_terminal_lines_are_endless(void **state)
{
	(void)state;
	check_wrap(0, "one two three four", 2, "one two three four");
}

static void test_columns_are_counted_not_bytes(void **state)
{
	(void)state;
	setlocale(LC_CTYPE, "C.UTF-8");
	check_wrap(8, "\xc3\xa9\xc3\xa9\xc3\xa9 \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 0,
		   "\xc3\xa9\xc3\xa9\xc3\xa9 \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	setlocale(LC_CTYPE, "C");
}

static void check_bar(bool unicode, double fraction, const char *expected)
{
	struct term t = { .unicode = unicode };

	buf_reset(&out);
	term_bar(&t, &out, fraction, 4);
	assert_string_equal(buf_text(&out), expected);
}

static void test_bars(void **state)
{
	(void)state;
	check_bar(false, 0, "----");
	check_bar(false, 0.5, "##--");
	check_bar(false, 1, "####");
	check_bar(true, 0.5, "\u2588\u2588\u2591\u2591");
	check_bar(true, 0.375, "\u2588\u258c\u2591\u2591");		/* one and a half of four */
}

static void test_one_is_no_plural(void **state)
{
	(void)state;
	assert_string_equal(term_plural(0), "s");
	assert_string_equal(term_plural(1), "");
	assert_string_equal(term_plural(2), "s");
}

static void test_styles_only_where_there_is_colour(void **state)
{
	struct term plain = { .colour = false }, colour = { .colour = true };

	(void)state;
	assert_string_equal(term_style(&plain, TERM_RED), "");
	assert_string_equal(term_style(&colour, TERM_RED), "\033[31m");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control_characters_are_shown),
		cmocka_unit_test(test_json_stays_json),
		cmocka_unit_test(test_lines_are_broken_at_blanks),
		cmocka_unit_test(test_without_a_terminal_lines_are_endless),
		cmocka_unit_test(test_columns_are_counted_not_bytes),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_one_is_no_plural),
		cmocka_unit_test(test_styles_only_where_there_is_colour),
	};

	return cmocka_run_group_tests_name("term", tests, begin, end);
}
