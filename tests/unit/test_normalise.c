/* normalise.c and fold.c: which phrases are equal, and that no locale has a say in it. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wctype.h>

#include <cmocka.h>

#include "base/fold.h"
#include "base/normalise.h"

static void check_normal(const char *text, const char *expected)
{
	struct arena arena = { 0 };

	assert_string_equal(normalise_dup(&arena, text), expected);
	arena_free(&arena);
}

static void test_normalise(void **state)
{
	enum { N = 5000 };		/* more than an arena keeps spare */
	static char grows[2 * N + 1], grown[3 * N + 1];

	(void)state;
	check_normal("", "");
	check_normal(" \t\n ", "");
	check_normal("Hello", "hello");
	check_normal("  Hello,\t\r\n WORLD!  ", "hello, world!");
	check_normal("a\xc2\xa0\xe3\x80\x80" "b", "a b");
	check_normal("\xc3\x89T\xc3\x89 \xce\xa3\xd0\x96", "\xc3\xa9t\xc3\xa9 \xcf\x83\xd0\xb6");
	/* A final sigma; i without a dot and a long s, which are small letters of their own. */
	check_normal("\xce\x9f\xce\xa3 \xce\xbf\xcf\x82", "\xce\xbf\xcf\x83 \xce\xbf\xcf\x83");
	check_normal("\xc4\xb1\xc5\xbf", "\xc4\xb1\xc5\xbf");
	check_normal("Stra\xc3\x9f" "e", "stra\xc3\x9f" "e");	/* one letter never becomes two */
	check_normal("\xc2\xb5", "\xce\xbc");			/* the micro sign is a small mu */
	check_normal("e\xcc\x81", "e\xcc\x81");		/* decomposed letters stay so */
	check_normal("A\xff\xc3 B\xed\xa0\x80", "a\xff\xc3 b\xed\xa0\x80");
	check_normal("\xf0\x90\x90\x80", "\xf0\x90\x90\xa8");	/* four bytes */
	for (int i = 0; i < N; i++) {			/* U+023A: two bytes become three */
		memcpy(grows + 2 * i, "\xc8\xba", 2);
		memcpy(grown + 3 * i, "\xe2\xb1\xa5", 3);
	}
	check_normal(grows, grown);
}

/* Hosts share the cache, and operators have locales. */
static void test_the_locale_of_the_process_decides_nothing(void **state)
{
	static const char *const locales[] = { "C", "C.UTF-8", "tr_TR.UTF-8", "POSIX" };

	(void)state;
	for (size_t i = 0; i < sizeof(locales) / sizeof(locales[0]); i++) {
		if (!setlocale(LC_ALL, locales[i]))
			continue;
		check_normal("TITLE \xc3\x89", "title \xc3\xa9");
	}
	setlocale(LC_ALL, "C");
}

/*
 * One that knows the letters of another year leaves some alone that the table has, or the other way
 * round.
 */
static void test_fold_agrees_with_the_c_library(void **state)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	int folded = 0;

	(void)state;
	for (uint32_t code = 0; code <= 0x10ffff; code++) {
		uint32_t small = fold(code);
		wint_t capital, theirs;

		folded += small != code;
		assert_int_equal(fold(small), small);
		if (!locale)
			continue;
		capital = towupper_l((wint_t)code, locale);
		theirs = towlower_l(code >= 0x80 && capital < 0x80 ? (wint_t)code : capital,
				    locale);
		if (small != code && theirs != (wint_t)code)
			assert_int_equal(small, theirs);
	}
	assert_int_equal(folded, 1454);
	if (locale)
		freelocale(locale);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_fold_agrees_with_the_c_library),
		cmocka_unit_test(test_the_locale_of_the_process_decides_nothing),
	};

	return cmocka_run_group_tests_name("normalise", tests, NULL, NULL);
}
