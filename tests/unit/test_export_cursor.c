/* export_cursor.c: what it wrote it reads back, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/export_cursor.h"

#define ID "6f1f0000-0000-4000-8000-00000000000a"

static void check(struct export_cursor cursor, const char *expected)
{
	char text[EXPORT_CURSOR_SIZE];
	struct export_cursor back;

	export_cursor_text(&cursor, text);
	assert_string_equal(text, expected);
	assert_int_equal(export_cursor_read(text, &back), 0);
	assert_true(back.cluster == cursor.cluster && back.from == cursor.from &&
		    back.to == cursor.to && back.line == cursor.line &&
		    back.since_us == cursor.since_us);
	assert_string_equal(back.session, cursor.session);
}

static void test_it_goes_to_text_and_back(void **state)
{
	(void)state;
	check((struct export_cursor){ 7301234567890123456, 0, 812, ID, 12, EXPORT_EVER },
	      "x1.7301234567890123456.0.812." ID ".12");
	check((struct export_cursor){ -5, 812, 812, ID, -1, -1 }, "x1.-5.812.812." ID ".-1.-1");
	check((struct export_cursor){ INT64_MIN, INT64_MAX, INT64_MAX, ID, INT32_MAX, INT64_MAX },
	      "x1.-9223372036854775808.9223372036854775807.9223372036854775807." ID
	      ".2147483647.9223372036854775807");
}

static void test_other_texts_are_refused(void **state)
{
	static const char *const texts[] = {
		"", "x1", "x1.", "17", "yesterday", "x2.1.0.5." ID ".1", "x1.1.0.5." ID,
		"x1.1.0.5." ID ".", "x1.1.0.5." ID ".-2", "x1.1.0.5." ID ".2147483648",
		"x1.1.6.5." ID ".1", "x1.1.-1.5." ID ".1", "x1.1.0.5." ID ".1.", "x1.1.0.5." ID ".1.2.3",
		"x1.1.0.5." ID ".1 ", "x1. 1.0.5." ID ".1", "x1.1.0.99999999999999999999." ID ".1",
		"x1.1.0.5.6F1F0000-0000-4000-8000-00000000000A.1",
		"x1.1.0.5.6f1f0000-0000-4000-8000-00000000000.1",
		"x1.1.0.5.6f1f0000'0000'4000'8000'00000000000a.1", "x1.1.0.5..1", "x1.1.0.5",
	};
	struct export_cursor cursor;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (export_cursor_read(texts[i], &cursor) != -1)
			fail_msg("\"%s\" was read", texts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_goes_to_text_and_back),
		cmocka_unit_test(test_other_texts_are_refused),
	};

	return cmocka_run_group_tests_name("export_cursor", tests, NULL, NULL);
}
