/* recent.c: rates of the last minute, whatever came before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "scoreboard/recent.h"
#include "scoreboard/scoreboard.h"

#define START 1000000

static struct scoreboard *sb;
static struct recent recent;
static int64_t now;

static int set_up(void **state)
{
	(void)state;
	sb = scoreboard_new();
	memset(&recent, 0, sizeof(recent));
	now = START;
	recent_take(&recent, sb, now);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	munmap(sb, sizeof(*sb));
	return 0;
}

/* So many samples later; each time so many tokens and jobs more. */
static void go_on(int samples, uint64_t tokens, uint64_t jobs)
{
	for (int i = 0; i < samples; i++) {
		slot_count(&sb->slots[1], COUNTER_PROMPT_TOKENS, tokens);
		slot_count(&sb->slots[2], COUNTER_JOBS_COMPLETED, jobs);
		now += RECENT_EVERY_MS;
		recent_take(&recent, sb, now);
	}
}

static struct recent_rates rates(void)
{
	return recent_rates(&recent, sb, now);
}

static void test_nothing_was_done(void **state)
{
	struct recent none = { .taken = 0 };

	(void)state;
	assert_int_equal(recent_rates(&none, sb, now).tokens_per_minute, 0);
	assert_int_equal(rates().tokens_per_minute, 0);
	assert_true(!(rates().jobs_per_ms > 0));
	assert_int_equal(latency_quantile(rates().latency, 0.5), -1);
}

static void test_the_first_minute_is_not_blown_up(void **state)
{
	(void)state;
	slot_count(&sb->slots[1], COUNTER_COMPLETION_TOKENS, 700);
	slot_count(&sb->slots[1], COUNTER_JOBS_FAILED, 20);
	now += 1000;
	assert_int_equal(rates().tokens_per_minute, 700);
	assert_int_equal((int)(rates().jobs_per_ms * 60000 + 0.5), 1200);	/* 20 in a second */
}

static void test_what_is_older_than_a_minute_does_not_count(void **state)
{
	(void)state;
	go_on(5, 1000, 100);
	slot_count_call(&sb->slots[1], 700, 0);
	go_on(RECENT_SAMPLES - 5, 10, 2);
	assert_int_equal(rates().tokens_per_minute, 4 * 1000 + 8 * 10);
	assert_int_equal(latency_quantile(rates().latency, 0.5), 750);
	go_on(5, 10, 2);
	assert_int_equal(rates().tokens_per_minute, 12 * 10);
	assert_int_equal((int)(rates().jobs_per_ms * 60000 + 0.5), 12 * 2);
	assert_int_equal(latency_quantile(rates().latency, 0.5), -1);
	go_on(1000, 0, 0);
	assert_int_equal(rates().tokens_per_minute, 0);
	assert_true(!(rates().jobs_per_ms > 0));
}

/* Between two samples the window is longer than a minute, and the rate is still one of a minute. */
static void test_a_sample_that_is_due_later(void **state)
{
	(void)state;
	go_on(20, 120, 0);
	now += RECENT_EVERY_MS / 2;
	slot_count(&sb->slots[1], COUNTER_PROMPT_TOKENS, 60);
	assert_int_equal(rates().tokens_per_minute, 12 * 120);
}

static void test_the_count_wraps(void **state)
{
	(void)state;
	recent.taken = UINT32_MAX - UINT32_MAX % RECENT_SAMPLES - RECENT_SAMPLES;
	go_on(3 * RECENT_SAMPLES, 10, 1);
	assert_int_equal(rates().tokens_per_minute, 12 * 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_was_done),
		TEST(test_the_first_minute_is_not_blown_up),
		TEST(test_what_is_older_than_a_minute_does_not_count),
		TEST(test_a_sample_that_is_due_later),
		TEST(test_the_count_wraps),
	};

	return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
