/* The growable buffer: its cap, its failure that sticks, and JSON strings from any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/buf.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define REPLACEMENT "\xef\xbf\xbd"

static void test_empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_string_equal(buf_text(&b), "");
	buf_add(&b, "", 0);
	buf_str(&b, "");
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(b.len, 0);
	assert_true(buf_ok(&b));
	buf_free(&b);
	buf_free(&b);
}

static void test_cap(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	buf_str(&b, "12345");
	assert_true(buf_ok(&b));
	buf_add(&b, "", 0);
	assert_true(buf_ok(&b));
	buf_char(&b, '6');
	assert_false(buf_ok(&b));
	assert_string_equal(buf_text(&b), "12345");
	buf_reset(&b);
	assert_true(buf_ok(&b));
	assert_string_equal(buf_text(&b), "");
	buf_str(&b, "123");
	buf_str(&b, "456");			/* whole or not at all */
	assert_false(buf_ok(&b));
	assert_string_equal(buf_text(&b), "123");
	buf_free(&b);
}

static void test_failure_sticks(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	buf_str(&b, "123456");
	assert_false(buf_ok(&b));
	buf_str(&b, "1");
	buf_printf(&b, "%d", 1);
	buf_json(&b, "1");
	assert_int_equal(b.len, 0);
	assert_false(buf_ok(&b));
	buf_free(&b);
	assert_true(buf_ok(&b));		/* free is a fresh start, with the same cap */
	buf_str(&b, "12345");
	assert_string_equal(buf_text(&b), "12345");
	buf_free(&b);
}

static void test_sizes_that_would_wrap(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX / 4);
	buf_str(&b, "x");
	buf_add(&b, "y", SIZE_MAX);
	assert_false(buf_ok(&b));
	assert_string_equal(buf_text(&b), "x");
	buf_free(&b);
}

static void test_growth_keeps_every_byte(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	for (int i = 0; i < 10000; i++)
		buf_printf(&b, "%04d,", i);
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, 50000);
	assert_int_equal(strlen(buf_text(&b)), 50000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(atoi(buf_text(&b) + 5 * i), i);
	buf_free(&b);
}

static void test_binary(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	buf_add(&b, "a\0b", 3);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "a\0b\0", 4);
	buf_free(&b);
}

static void test_printf_at_the_cap(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4);
	buf_printf(&b, "%s", "1234");
	assert_true(buf_ok(&b));
	assert_string_equal(buf_text(&b), "1234");
	buf_printf(&b, "%s", "");
	assert_true(buf_ok(&b));
	buf_printf(&b, "%d", 5);
	assert_false(buf_ok(&b));
	buf_free(&b);
}

static const struct { const char *text, *json; } strings[] = {
	{ "", "\"\"" },
	{ "plain", "\"plain\"" },
	{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
	{ "\n\t\x01\x1f\x7f", "\"\\u000a\\u0009\\u0001\\u001f\\u007f\"" },
	{ "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82",
	  "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82\"" },
	{ "\xed\x9f\xbf\xee\x80\x80",
	  "\"\xed\x9f\xbf\xee\x80\x80\"" },	/* around the surrogates */
	{ "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"" },				/* U+10FFFF */
	/* not UTF-8: lone, cut, overlong, surrogate, too high */
	{ "\x80", "\"" REPLACEMENT "\"" },
	{ "a\xff" "b", "\"a" REPLACEMENT "b\"" },
	{ "\xc3", "\"" REPLACEMENT "\"" },
	{ "\xe2\x82", "\"" REPLACEMENT REPLACEMENT "\"" },
	{ "\xf0\x9f\x99", "\"" REPLACEMENT REPLACEMENT REPLACEMENT "\"" },
	{ "\xe2\x82x", "\"" REPLACEMENT REPLACEMENT "x\"" },
	{ "\xc0\xaf", "\"" REPLACEMENT REPLACEMENT "\"" },
	{ "\xe0\x80\xaf", "\"" REPLACEMENT REPLACEMENT REPLACEMENT "\"" },
	{ "\xed\xa0\x80", "\"" REPLACEMENT REPLACEMENT REPLACEMENT "\"" },
	{ "\xf4\x90\x80\x80", "\"" REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT "\"" },
};

static void test_json(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 200);
	for (size_t i = 0; i < COUNT(strings); i++) {
		buf_reset(&b);
		buf_json(&b, strings[i].text);
		assert_true(buf_ok(&b));
		assert_string_equal(buf_text(&b), strings[i].json);
	}
	buf_free(&b);
}

/* Every pair of bytes becomes JSON that a strict parser takes. */
static void test_json_is_json(void **state)
{
	struct json_tokener *tokener = json_tokener_new();
	struct buf b;

	(void)state;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	buf_init(&b, 200);
	for (int i = 0x0101; i <= 0xffff; i++) {
		char text[3] = { (char)(i >> 8), (char)i, '\0' };
		struct json_object *parsed;

		buf_reset(&b);
		buf_json(&b, text);
		json_tokener_reset(tokener);
		parsed = json_tokener_parse_ex(tokener, buf_text(&b), (int)b.len + 1);
		if (json_object_get_type(parsed) != json_type_string)
			fail_msg("%04x gave %s", i, buf_text(&b));
		json_object_put(parsed);
	}
	buf_free(&b);
	json_tokener_free(tokener);
}

static void test_billionths(void **state)
{
	static const struct { uint64_t n; const char *text; } cases[] = {
		{ 0, "0" }, { 1, "0.000000001" }, { 1500000000, "1.5" }, { 1000000000, "1" },
		{ 10, "0.00000001" },
		{ 999999999, "0.999999999" }, { 1000000001, "1.000000001" }, { 20000000000, "20" },
		{ UINT64_MAX, "18446744073.709551615" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b;

		buf_init(&b, 100);
		buf_billionths(&b, cases[i].n);
		assert_string_equal(buf_text(&b), cases[i].text);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_failure_sticks),
		cmocka_unit_test(test_sizes_that_would_wrap),
		cmocka_unit_test(test_growth_keeps_every_byte),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_printf_at_the_cap),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_is_json),
		cmocka_unit_test(test_billionths),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
