/* utf8.c: what counts as a character, cutting, cleaning; and buf_json(), which relies on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/utf8.h"

static void test_next_decodes_well_formed_characters_only(void **state)
{
	static const struct { const char *text; size_t len; uint32_t code; } cases[] = {
		{ "A", 1, 'A' }, { "\x7f", 1, 0x7f },
		{ "\xc2\x80", 2, 0x80 }, { "\xdf\xbf", 2, 0x7ff },
		{ "\xe0\xa0\x80", 3, 0x800 }, { "\xed\x9f\xbf", 3, 0xd7ff },
		{ "\xef\xbf\xbf", 3, 0xffff },
		{ "\xf0\x90\x80\x80", 4, 0x10000 }, { "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
		{ "\x80", 0, 0 }, { "\xc0\xaf", 0, 0 }, { "\xc1\xbf", 0, 0 },	/* overlong */
		{ "\xe0\x9f\xbf", 0, 0 }, { "\xf0\x8f\xbf\xbf", 0, 0 },
		{ "\xed\xa0\x80", 0, 0 },	/* a surrogate */
		{ "\xf4\x90\x80\x80", 0, 0 }, { "\xf5\x80\x80\x80", 0, 0 }, { "\xff", 0, 0 },
		{ "\xe2\x82", 0, 0 }, { "\xe2\x28\xa1", 0, 0 }, { "\xf0\x9f\x98", 0, 0 },
		{ "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t code = 0;
		size_t len = strlen(cases[i].text);

		assert_int_equal(utf8_next(cases[i].text, len, &code), cases[i].len);
		if (cases[i].len)
			assert_int_equal(code, cases[i].code);
		assert_int_equal(utf8_is_valid(cases[i].text, len), cases[i].len == len);
	}
}

static void test_next_reads_no_further_than_told(void **state)
{
	uint32_t code;

	(void)state;
	assert_int_equal(utf8_next("\xe2\x82\xac", 3, &code), 3);
	assert_int_equal(utf8_next("\xe2\x82\xac", 2, &code), 0);
	assert_int_equal(utf8_next("\xe2\x82\xac", 1, &code), 0);
	assert_int_equal(utf8_next("A", 0, &code), 0);
	assert_false(utf8_is_valid("ab\xe2\x82", 4));
	assert_true(utf8_is_valid("", 0));
}

static void test_blank_is_unicode_white_space(void **state)
{
	static const char *const blank[] = { "", " ", " \t\r\n\v\f", "\xc2\xa0",
					     "\xe3\x80\x80\xe2\x80\x89" };
	static const char *const not_blank[] = { "a", "  .  ", "\xe2\x80\x8b", "\xc2", "\xc3\xa0" };

	(void)state;
	for (size_t i = 0; i < sizeof(blank) / sizeof(blank[0]); i++)
		assert_true(utf8_is_all_blank(blank[i], strlen(blank[i])));
	for (size_t i = 0; i < sizeof(not_blank) / sizeof(not_blank[0]); i++)
		assert_false(utf8_is_all_blank(not_blank[i], strlen(not_blank[i])));
	assert_false(utf8_is_all_blank("\0", 1));
}

static void test_cut_never_splits_a_character(void **state)
{
	const char *text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";	/* 1 + 2 + 3 + 4 bytes */
	static const size_t cuts[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10 };

	(void)state;
	for (size_t cap = 0; cap < sizeof(cuts) / sizeof(cuts[0]); cap++)
		assert_int_equal(utf8_cut(text, strlen(text), cap), cuts[cap]);
}

static void check_clean(const char *in, size_t len, enum utf8_controls controls, const char *out)
{
	char text[64];

	memcpy(text, in, len);
	assert_int_equal(utf8_clean(text, len, controls), strlen(out));
	assert_memory_equal(text, out, strlen(out));
}

static void test_clean(void **state)
{
	(void)state;
	check_clean("a\0b", 3, UTF8_KEEP_CONTROLS, "a b");
	check_clean("a\x1b[1m\r\n\t\x7f", 9, UTF8_KEEP_CONTROLS, "a\x1b[1m\r\n\t\x7f");
	check_clean("a\x1b[1m\r\n\t\x7f", 9, UTF8_BLANK_BUT_LINES, "a [1m \n\t ");
	check_clean("a\n\tb\0", 5, UTF8_BLANK_CONTROLS, "a  b ");
	check_clean("\xc2\x9b" "31m\xc3\xa9", 7, UTF8_BLANK_BUT_LINES, " 31m\xc3\xa9");
	check_clean("x\xff\xe2\x82y\xed\xa0\x80", 8, UTF8_KEEP_CONTROLS, "x???y???");
	check_clean("", 0, UTF8_BLANK_CONTROLS, "");
}

static void test_buf_json_escapes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_json(&b, "q\" b\\ n\n \x01\x7f \xc3\xa9 \xed\xa0\x80 \xf0\x9f\x98\x80 \xe2\x82");
	assert_string_equal(buf_text(&b), "\"q\\\" b\\\\ n\\u000a \\u0001\\u007f \xc3\xa9 "
			    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
			    "\xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd\"");
	buf_free(&b);
}

/* Every byte at every place of a word of eight, among plain ones. */
static void test_a_plain_run_ends_at_what_is_not_plain(void **state)
{
	char text[24];

	(void)state;
	for (int byte = 0; byte < 256; byte++)
		for (size_t at = 0; at < sizeof(text); at++) {
			bool plain = byte >= 0x20 && byte < 0x7f;

			memset(text, at % 2 ? ' ' : '~', sizeof(text));
			text[at] = (char)byte;
			assert_int_equal(utf8_plain_run(text, sizeof(text)),
					 plain ? sizeof(text) : at);
			assert_int_equal(utf8_plain_run(text, at), at);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_decodes_well_formed_characters_only),
		cmocka_unit_test(test_next_reads_no_further_than_told),
		cmocka_unit_test(test_blank_is_unicode_white_space),
		cmocka_unit_test(test_cut_never_splits_a_character),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_buf_json_escapes),
		cmocka_unit_test(test_a_plain_run_ends_at_what_is_not_plain),
	};

	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
