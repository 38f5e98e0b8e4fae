/* cache_key.c and hash.c: which lines share a cache entry, and that nothing else does. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wctype.h>

#include <cmocka.h>

#include "base/fold.h"
#include "grading/cache_key.h"
#include "lib/hash.h"

static struct config config;
static struct rater rater = { .config = &config, .fingerprint = "f1" };

static void test_hash_text_is_sha256(void **state)
{
	char hex[HASH_HEX_SIZE];

	(void)state;
	hash_text("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_text("", 0, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_hash_parts_are_told_apart(void **state)
{
	static const char *const parts[][2] = { { "ab", "c" }, { "a", "bc" }, { "abc", "" }, { "", "abc" } };
	char hex[4][HASH_HEX_SIZE];

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct hash *h = hash_begin();

		hash_string(h, parts[i][0]);
		hash_string(h, parts[i][1]);
		hash_end(h, hex[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(hex[i], hex[k]);
	}
	/* Stored keys depend on the exact form: eight bytes of length, most significant first. */
	hash_text("\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c", 19, hex[1]);
	assert_string_equal(hex[0], hex[1]);
}

static void check_normal(const char *text, const char *expected)
{
	struct arena arena = { 0 };

	assert_string_equal(phrase_normalise(&arena, text), expected);
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
	check_normal("\xce\x9f\xce\xa3 \xce\xbf\xcf\x82", "\xce\xbf\xcf\x83 \xce\xbf\xcf\x83");	/* final sigma */
	check_normal("\xc4\xb1\xc5\xbf", "\xc4\xb1\xc5\xbf");	/* i without a dot, long s: small letters of their own */
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

/* One that knows the letters of another year leaves some alone that the table has, or the other way round. */
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
		theirs = towlower_l(code >= 0x80 && capital < 0x80 ? (wint_t)code : capital, locale);
		if (small != code && theirs != (wint_t)code)
			assert_int_equal(small, theirs);
	}
	assert_int_equal(folded, 1454);
	if (locale)
		freelocale(locale);
}

struct talk { struct job job; struct line lines[3]; };

/* The key of the middle one of three lines. */
static void key_of(const char *before, const char *text, const char *after, char key[PHRASE_KEY_SIZE])
{
	struct talk t = { .lines = {
		{ .index = 4, .speaker = "customer", .text = before, .text_len = strlen(before) },
		{ .index = 5, .speaker = "rep", .text = text, .text_len = strlen(text), .rated = true },
		{ .index = 6, .speaker = "customer", .text = after, .text_len = strlen(after) },
	} };

	t.job.lines = t.lines;
	t.job.nlines = 3;
	t.job.sales_rep = "";
	t.job.customer = "";
	phrase_key(&rater, &t.job, &t.lines[1], key);
	assert_int_equal(strlen(key), PHRASE_KEY_SIZE - 1);
}

static bool same_key(const char *const a[3], const char *const b[3])
{
	char ka[PHRASE_KEY_SIZE], kb[PHRASE_KEY_SIZE];

	key_of(a[0], a[1], a[2], ka);
	key_of(b[0], b[1], b[2], kb);
	return strcmp(ka, kb) == 0;
}

static void test_key_follows_the_phrase(void **state)
{
	static const char *const base[] = { "x", "Hello there.", "y" };
	static const char *const spaced[] = { "x", " hello\n THERE. ", "y" };
	static const char *const other[] = { "x", "Hello there!", "y" };

	(void)state;
	config.rater.context_lines = 0;
	assert_true(same_key(base, base));
	assert_true(same_key(base, spaced));
	assert_false(same_key(base, other));
}

static void test_key_follows_the_context_asked_for(void **state)
{
	static const char *const base[] = { "x", "Hi", "y" };
	static const char *const swapped[] = { "y", "Hi", "x" };
	static const char *const spaced[] = { " X", "Hi", "Y " };
	static const char *const shifted[] = { "x", "Hi y", "" };

	(void)state;
	config.rater.context_lines = 0;
	assert_true(same_key(base, swapped));
	config.rater.context_lines = 1;
	assert_false(same_key(base, swapped));
	assert_true(same_key(base, spaced));
	assert_false(same_key(base, shifted));
}

static void test_key_tells_before_from_after(void **state)
{
	struct line lines[] = {
		{ .speaker = "rep", .text = "Hi", .text_len = 2, .rated = true },
		{ .speaker = "customer", .text = "x", .text_len = 1 },
		{ .speaker = "rep", .text = "Hi", .text_len = 2, .rated = true },
	};
	struct job job = { .sales_rep = "", .customer = "", .lines = lines, .nlines = 2 };
	char before[PHRASE_KEY_SIZE], after[PHRASE_KEY_SIZE];

	(void)state;
	config.rater.context_lines = 1;
	phrase_key(&rater, &job, &lines[0], before);
	job.lines = &lines[1];
	phrase_key(&rater, &job, &lines[2], after);
	assert_string_not_equal(before, after);
	lines[1].speaker = "rep";
	phrase_key(&rater, &job, &lines[2], before);
	assert_string_not_equal(before, after);
}

static void test_key_follows_the_rater(void **state)
{
	char one[PHRASE_KEY_SIZE], two[PHRASE_KEY_SIZE];

	(void)state;
	config.rater.context_lines = 0;
	key_of("x", "Hi", "y", one);
	strcpy(rater.fingerprint, "f2");
	key_of("x", "Hi", "y", two);
	strcpy(rater.fingerprint, "f1");
	assert_string_not_equal(one, two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_text_is_sha256),
		cmocka_unit_test(test_hash_parts_are_told_apart),
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_fold_agrees_with_the_c_library),
		cmocka_unit_test(test_the_locale_of_the_process_decides_nothing),
		cmocka_unit_test(test_key_follows_the_phrase),
		cmocka_unit_test(test_key_follows_the_context_asked_for),
		cmocka_unit_test(test_key_tells_before_from_after),
		cmocka_unit_test(test_key_follows_the_rater),
	};

	return cmocka_run_group_tests_name("phrase", tests, NULL, NULL);
}
