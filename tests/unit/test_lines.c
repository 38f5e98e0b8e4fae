/* lines.c: cutting a stream into lines, in whatever pieces it comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/lines.h"

#define CAP 5

/*
 * What comes of the text fed in pieces of n bytes: each line in <>, cut ones with a ~; the rest at
 * the end.
 */
static void check(const char *text, size_t n, const char *expected)
{
	struct lines lines;
	char seen[200] = "";
	size_t len = strlen(text);

	lines_init(&lines, CAP);
	while (len > 0) {
		size_t piece = len < n ? len : n;

		while (piece > 0) {
			size_t took = lines_feed(&lines, text, piece);

			assert_in_range(took, 1, piece);
			text += took;
			piece -= took;
			len -= took;
			if (!lines.whole)
				continue;
			sprintf(seen + strlen(seen), "<%s%s>", buf_text(&lines.line),
				lines.cut ? "~" : "");
			lines_next(&lines);
		}
	}
	sprintf(seen + strlen(seen), "%s%s", buf_text(&lines.line), lines.cut ? "~" : "");
	assert_string_equal(seen, expected);
	lines_free(&lines);
}

static void test_lines_come_whole_however_they_are_fed(void **state)
{
	(void)state;
	for (size_t n = 1; n < 30; n++) {
		check("", n, "");
		check("ab", n, "ab");
		check("ab\n", n, "<ab>");
		check("\n\nab\ncd", n, "<><><ab>cd");
		check("12345\n12345", n, "<12345>12345");
		check("a\r\nb\n", n, "<a\r><b>");
	}
}

static void test_a_line_beyond_the_cap_is_cut(void **state)
{
	(void)state;
	for (size_t n = 1; n < 30; n++) {
		check("123456\nab\n", n, "<12345~><ab>");
		check("1234567890", n, "12345~");
		check("1234567890\n\n12345\n", n, "<12345~><><12345>");
	}
}

static void test_a_nul_is_a_byte_like_any_other(void **state)
{
	struct lines lines;

	(void)state;
	lines_init(&lines, CAP);
	assert_int_equal(lines_feed(&lines, "a\0b\nc", 5), 4);
	assert_true(lines.whole);
	assert_int_equal(lines.line.len, 3);
	assert_memory_equal(lines.line.data, "a\0b", 4);
	lines_free(&lines);
}

/* A worker is there for weeks: the memory of one large line must not stay. */
static void test_a_large_line_gives_its_memory_back(void **state)
{
	static char block[100000];
	struct lines lines;

	(void)state;
	memset(block, 'x', sizeof(block));
	lines_init(&lines, 1 << 20);
	lines_feed(&lines, block, sizeof(block));
	lines_feed(&lines, "\n", 1);
	assert_int_equal(lines.line.len, sizeof(block));
	lines_next(&lines);
	assert_int_equal(lines.line.size, 0);
	assert_int_equal(lines.line.len, 0);
	lines_free(&lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_come_whole_however_they_are_fed),
		cmocka_unit_test(test_a_line_beyond_the_cap_is_cut),
		cmocka_unit_test(test_a_nul_is_a_byte_like_any_other),
		cmocka_unit_test(test_a_large_line_gives_its_memory_back),
	};

	return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
