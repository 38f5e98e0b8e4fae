/* cache_key.c and hash.c: which lines share a cache entry, and that nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "grading/cache_key.h"
#include "lib/hash.h"

static struct config config;
static struct rater rater = { .config = &config, .fingerprint = "f1" };

static void test_hash_text_is_sha256(void **state)
{
	char hex[HASH_HEX_SIZE];

	(void)state;
	hash_text("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_text("", 0, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_hash_parts_are_told_apart(void **state)
{
	static const char *const parts[][2] = {
		{ "ab", "c" }, { "a", "bc" }, { "abc", "" }, { "", "abc" },
	};
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

struct talk { struct job job; struct line lines[3]; };

/* The key of the middle one of three lines. */
static void key_of(const char *before, const char *text, const char *after,
		   char key[PHRASE_KEY_SIZE])
{
	struct talk t = { .lines = {
		{ .index = 4, .speaker = "customer", .text = before, .text_len = strlen(before) },
		{ .index = 5, .speaker = "rep", .text = text, .text_len = strlen(text) },
		{ .index = 6, .speaker = "customer", .text = after, .text_len = strlen(after) },
	} };

	t.lines[1].rated = true;
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
		cmocka_unit_test(test_key_follows_the_phrase),
		cmocka_unit_test(test_key_follows_the_context_asked_for),
		cmocka_unit_test(test_key_tells_before_from_after),
		cmocka_unit_test(test_key_follows_the_rater),
	};

	return cmocka_run_group_tests_name("cache key", tests, NULL, NULL);
}
