/* Durations as people write and read them, and clocks that move forward. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DAY INT64_C(86400000)

static const struct { const char *text; int64_t ms; } durations[] = {
	{ "0", 0 }, { "0s", 0 }, { "1ms", 1 }, { "999ms", 999 }, { "30s", 30000 },
	{ "30 s", 30000 },
	{ "10m", 600000 }, { "24h", DAY }, { "1d", DAY }, { "365d", 365 * DAY }, { "007s", 7000 },
	{ "1000000000d", 1000000000 * DAY },
};

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(durations); i++) {
		int64_t ms = -1;

		assert_int_equal(duration_parse(durations[i].text, &ms), 0);
		assert_int_equal(ms, durations[i].ms);
	}
}

static const char *const no_durations[] = {
	"", " ", "5", "s", "5x", "5sec", "5S", "-5s", "+5s", " 5s", "5s ", "5.5s", "5s5", "1h30m",
	"0x10s",
	"99999999999s", "99999999999999999999999999s", "forever",
};

static void test_parse_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(no_durations); i++) {
		int64_t ms = 42;

		if (duration_parse(no_durations[i], &ms) != -1)
			fail_msg("\"%s\" was taken", no_durations[i]);
		assert_int_equal(ms, 42);
	}
}

static const struct { int64_t ms; const char *exact, *human; } forms[] = {
	{ 0, "0", "0ms" }, { 1, "1ms", "1ms" }, { 450, "450ms", "450ms" }, { 1000, "1s", "1.0s" },
	{ 1500, "1500ms", "1.5s" }, { 10000, "10s", "10s" }, { 59999, "59999ms", "59s" },
	{ 60000, "1m", "1m" }, { 90000, "90s", "1m 30s" }, { 3600000, "1h", "1h" },
	{ 3 * 3600000 + 12 * 60000, "192m", "3h 12m" }, { DAY, "1d", "1d" },
	{ DAY + 5 * 3600000 + 1, "104400001ms", "1d 5h" }, { 400 * DAY, "400d", "400d" },
};

static void test_forms(void **state)
{
	char out[32];

	(void)state;
	for (size_t i = 0; i < COUNT(forms); i++) {
		int64_t again = -1;

		assert_string_equal(duration_format(forms[i].ms, out, sizeof(out)), forms[i].exact);
		assert_int_equal(duration_parse(out, &again), 0);
		assert_int_equal(again, forms[i].ms);
		assert_string_equal(duration_human(forms[i].ms, out, sizeof(out)), forms[i].human);
	}
}

static void test_small_output_is_cut(void **state)
{
	char out[4] = "abc";

	(void)state;
	assert_string_equal(duration_format(90 * DAY, out, 3), "90");
	assert_string_equal(duration_human(90000, out, sizeof(out)), "1m ");
}

static void test_clocks(void **state)
{
	int64_t before = now_ms();

	(void)state;
	assert_true(now_ms() >= before);
	assert_true(wall_ms() > INT64_C(1600000000000));	/* ms since 1970, not s or us */
	assert_true(wall_ms() < INT64_C(16000000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_small_output_is_cut),
		cmocka_unit_test(test_clocks),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
