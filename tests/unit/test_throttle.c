/*
 * throttle.c and window.c: permits, what calls took, and how many may be open; nothing that a
 * worker had leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "scoreboard/scoreboard.h"
#include "scoreboard/throttle.h"

#define NOW INT64_C(1000000)
#define LATER (NOW + 100000)	/* when nothing of what was before counts any more */

static struct scoreboard *sb;
enum { one = SLOT_FIRST_WORKER, other };
static int64_t wait_ms;

static int setup(void **state)
{
	(void)state;
	sb = scoreboard_new();
	return sb ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return munmap(sb, sizeof(*sb));
}

static struct permit permit_of(int wanted, int expected, int64_t now)
{
	struct permit permit;

	assert_int_equal(
		throttle_reserve(&sb->throttle, one, wanted, false, now, &permit, &wait_ms),
		expected);
	return permit;
}

static void test_without_limits_there_is_nothing_to_keep_to(void **state)
{
	struct permit permit;

	(void)state;
	assert_false(throttle_active(&sb->throttle));
	assert_true(throttle_has_room(&sb->throttle));
	assert_true(throttle_reserve_ahead(&sb->throttle, &permit, NOW, &wait_ms));
	assert_int_equal(permit.at_ms, NOW);
	assert_int_equal(throttle_wait_ms(&sb->throttle, NOW), 0);
}

static void test_what_was_not_used_comes_back(void **state)
{
	struct permit permit;

	(void)state;
	throttle_set(&sb->throttle, 600, 0, NOW);
	assert_true(throttle_active(&sb->throttle));
	permit = permit_of(100, 8, LATER);
	assert_int_equal(atomic_load(&sb->throttle.calls_open[one]), 8);
	permit_of(100, 0, LATER);
	assert_true(wait_ms > 0);
	throttle_give_back(&sb->throttle, &permit, 3, LATER + PACE_FRESH_MS);
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), 3);
	/* Too late. */
	throttle_give_back(&sb->throttle, &permit, 3, LATER + PACE_FRESH_MS + 1);
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), 3);
	permit.ahead = true;
	throttle_give_back(&sb->throttle, &permit, 3, LATER);
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), 3);
}

static void test_both_budgets_have_to_allow_it(void **state)
{
	struct permit permit;

	(void)state;
	throttle_set(&sb->throttle, 600, 62000, NOW);		/* a token a millisecond */
	/* Of 500 tokens, before anything is known. */
	permit = permit_of(100, 2, LATER);
	assert_int_equal(permit.tokens, 500);
	assert_int_equal(atomic_load(&sb->throttle.calls_open[one]), 2);
	/* The others are not lost. */
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), 6);
	permit_of(100, 0, LATER);
	assert_in_range(wait_ms, 1, 500);
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), 6);
	assert_int_equal(throttle_wait_ms(&sb->throttle, LATER), wait_ms);
}

static void settle(struct permit permit, size_t bytes, int64_t tokens, int64_t now)
{
	struct call_end end = { .permit = permit,
				.sent_ms = now - 100,
				.bytes = bytes,
				.tokens = tokens,
				.answered = true,
				.most = 100 };

	throttle_settle(&sb->throttle, &end, now);
}

static void test_tokens_are_settled_as_reported(void **state)
{
	struct permit permit;
	int64_t before;

	(void)state;
	throttle_set(&sb->throttle, 0, 62000, NOW);
	permit = permit_of(1, 1, LATER);
	before = atomic_load(&sb->throttle.tokens.run_off_ns);
	throttle_sent(&sb->throttle, &permit, 8000, LATER);
	/* Four bytes a token, and it is 1500 more than thought. */
	assert_int_equal(permit.tokens, 2001);
	assert_true(atomic_load(&sb->throttle.tokens.run_off_ns) >
		    before + 1500 * INT64_C(1000000));
	settle(permit, 8000, 600, LATER + 100);
	assert_in_range(atomic_load(&sb->throttle.tokens.run_off_ns),
			before + 90 * INT64_C(1000000), before + 110 * INT64_C(1000000));
	assert_int_equal(tally_sum(&sb->throttle.tokens_used, LATER + 100), 600);
	assert_int_equal(tally_sum(&sb->throttle.requests_sent, LATER + 100), 1);
	assert_int_equal(atomic_load(&sb->throttle.usual_tokens), 600);
	assert_in_range(throttle_estimate(&sb->throttle, 8000), 598, 603);
	/* One that takes more than was thought. */
	permit = permit_of(1, 1, LATER + 10000);
	assert_int_equal(permit.tokens, 600);
	throttle_sent(&sb->throttle, &permit, 8000, LATER + 10000);
	before = atomic_load(&sb->throttle.tokens.run_off_ns);
	settle(permit, 8000, 3000, LATER + 10000);
	assert_true(atomic_load(&sb->throttle.tokens.run_off_ns) >
		    before + 2300 * INT64_C(1000000));
	assert_int_equal(atomic_load(&sb->throttle.usual_tokens), 900);
	/* One that reports nothing stays as it was thought to be. */
	permit = permit_of(1, 1, LATER + 20000);
	throttle_sent(&sb->throttle, &permit, 8000, LATER + 20000);
	before = atomic_load(&sb->throttle.tokens.run_off_ns);
	settle(permit, 8000, 0, LATER + 20000);
	assert_true(atomic_load(&sb->throttle.tokens.run_off_ns) == before);
	settle(permit, 8000, INT64_MAX, LATER + 20000);	/* whatever it says */
	assert_in_range(throttle_wait_ms(&sb->throttle, LATER + 20000), 1, PACE_PERIOD_MS + 2000);
}

static void test_a_call_that_was_never_sent_costs_nothing(void **state)
{
	struct call_end end = {
		.sent_ms = LATER, .bytes = 8000, .never_sent = true, .limited = true
	};
	int64_t before;

	(void)state;
	throttle_set(&sb->throttle, 600, 62000, NOW);
	before = pace_free(&sb->throttle.tokens, LATER);
	end.permit = permit_of(1, 1, LATER);
	throttle_sent(&sb->throttle, &end.permit, 8000, LATER);
	throttle_settle(&sb->throttle, &end, LATER + 20);
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), 8);
	assert_in_range(pace_free(&sb->throttle.tokens, LATER), before - 1, before);
	assert_int_equal(tally_sum(&sb->throttle.requests_sent, LATER + 20), 0);
	assert_int_equal(window_size(&sb->throttle.window), 0);
	/* Nobody knows when it gave up; the provider may have counted it by then. */
	end.permit = permit_of(1, 1, LATER);
	throttle_sent(&sb->throttle, &end.permit, 8000, LATER);
	throttle_settle(&sb->throttle, &end, LATER + 10000);
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), 7);
}

static void test_a_further_call_goes_before_new_jobs(void **state)
{
	struct permit permit;

	(void)state;
	throttle_set(&sb->throttle, 60, 0, NOW);
	permit_of(1, 1, LATER);
	permit_of(1, 0, LATER);
	assert_true(throttle_reserve_ahead(&sb->throttle, &permit, LATER, &wait_ms));
	assert_true(permit.ahead);
	assert_in_range(permit.at_ms, LATER + 1, LATER + 1100);
	assert_true(throttle_is_fresh(&permit, permit.at_ms + PACE_FRESH_MS));
	permit_of(1, 0, permit.at_ms);			/* that moment is taken */
	for (int i = 0; i < 10 && throttle_reserve_ahead(&sb->throttle, &permit, LATER, &wait_ms);
	     i++)
		assert_true(permit.at_ms <= LATER + THROTTLE_PATIENCE_MS);
	assert_false(throttle_reserve_ahead(&sb->throttle, &permit, LATER, &wait_ms));
	assert_true(wait_ms > THROTTLE_PATIENCE_MS);
}

/*
 * A look-up took long: the permit is good again, for as long as it was late, since a new one would
 * cost more.
 */
static void test_a_late_permit_is_renewed(void **state)
{
	struct permit permit;
	int64_t now = LATER + PACE_FRESH_MS + 700;

	(void)state;
	/* 10.3 s a request, 0.5 s its tokens. */
	throttle_set(&sb->throttle, 6, 62000, NOW);
	permit = permit_of(1, 1, LATER);
	assert_false(throttle_is_fresh(&permit, now));
	assert_true(throttle_renew(&sb->throttle, &permit, now));
	assert_int_equal(permit.at_ms, now);
	assert_in_range(throttle_wait_ms(&sb->throttle, LATER), 10334 + 700 - PACE_BURST_MS,
			10335 + 700 - PACE_BURST_MS);
	permit_of(1, 1, now + 11000);
	/* It was later than it is worth. */
	assert_false(throttle_renew(&sb->throttle, &permit, now + 12000));
	assert_false(permit.held);
}

/*
 * Tokens that somebody else has used up: the request that was to go with them is free for others.
 */
static void check_renewal_without_tokens(int64_t requests, int64_t late_ms)
{
	struct permit late, large;
	int64_t now = LATER + PACE_FRESH_MS + late_ms, now_ns = now * 1000000, before;

	throttle_set(&sb->throttle, requests, 62000, NOW);		/* a token a millisecond */
	late = permit_of(1, 1, LATER);
	large = (struct permit){ .held = true, .setting = late.setting, .tokens = 500 };
	throttle_sent(&sb->throttle, &large, 400000, LATER);
	before = atomic_load(&sb->throttle.requests.run_off_ns);
	assert_false(throttle_renew(&sb->throttle, &late, now));
	assert_false(late.held);
	assert_true(atomic_load(&sb->throttle.requests.run_off_ns) <=
		    (before > now_ns ? before : now_ns));
}

static void test_a_permit_without_tokens_keeps_no_request(void **state)
{
	(void)state;
	/* A request in 0.1 s: a new one would have been taken. */
	check_renewal_without_tokens(600, 700);
}

static void test_nor_does_one_that_was_made_good_for_its_lateness(void **state)
{
	(void)state;
	check_renewal_without_tokens(6, 700);		/* a request in ten seconds */
}

/*
 * A worker that took ten of 6,000 a minute and claimed nothing, when the limit has become one a
 * minute.
 */
static void test_a_permit_of_other_limits_is_no_share_of_these(void **state)
{
	struct permit older;

	(void)state;
	throttle_set(&sb->throttle, 6000, 6000000, NOW);
	older = permit_of(10, 10, NOW + 2000);
	throttle_set(&sb->throttle, 1, 1000, NOW + 2001);
	throttle_give_back(&sb->throttle, &older, 10, NOW + 2002);
	assert_true(throttle_wait_ms(&sb->throttle, NOW + 2002) > 50000);
	throttle_sent(&sb->throttle, &older, 100, NOW + 2003);
	throttle_settle(
		&sb->throttle,
		&(struct call_end){ .permit = older, .sent_ms = NOW + 2003, .never_sent = true },
		NOW + 2004);
	assert_true(throttle_wait_ms(&sb->throttle, NOW + 2004) > 50000);
	assert_false(throttle_renew(&sb->throttle, &older, NOW + 2010));
	assert_false(older.held);
	permit_of(1, 1, LATER);
}

/* What waits for tokens takes no request with it. */
static void test_a_further_call_takes_both_or_none(void **state)
{
	struct permit permit;
	int64_t requests;

	(void)state;
	throttle_set(&sb->throttle, 600, 1000, NOW);
	permit = permit_of(1, 1, LATER);
	throttle_sent(&sb->throttle, &permit, 4000, LATER);
	requests = pace_free(&sb->throttle.requests, LATER);
	assert_false(throttle_reserve_ahead(&sb->throttle, &permit, LATER, &wait_ms));
	assert_int_equal(pace_free(&sb->throttle.requests, LATER), requests);
}

static void test_the_last_minute(void **state)
{
	struct permit none = { .held = false };

	(void)state;
	for (int i = 0; i < 200; i++)
		throttle_sent(&sb->throttle, &none, 100, NOW + i * 1000);
	assert_int_equal(tally_sum(&sb->throttle.requests_sent, NOW + 199000), 60);
	assert_int_equal(tally_sum(&sb->throttle.requests_sent, NOW + 229000), 30);
	assert_int_equal(tally_sum(&sb->throttle.requests_sent, NOW + 400000), 0);
}

/* ---- the window ---- */

static void end_one(bool limited, int64_t sent_ms, int64_t now)
{
	struct call_end end = {
		.sent_ms = sent_ms, .limited = limited, .answered = !limited, .most = 100
	};

	atomic_fetch_sub(&sb->throttle.calls_open[one], 1);
	throttle_settle(&sb->throttle, &end, now);
	atomic_fetch_add(&sb->throttle.calls_open[one], 1);
}

static void test_a_limit_halves_the_window_once_a_round_trip(void **state)
{
	(void)state;
	atomic_store(&sb->throttle.calls_open[one], 24);
	atomic_store(&sb->throttle.calls_open[other], 16);
	end_one(true, NOW, NOW + 50);
	assert_int_equal(window_size(&sb->throttle.window), 20);
	assert_true(throttle_active(&sb->throttle));
	end_one(true, NOW + 10, NOW + 60);		/* it was open at the same time */
	end_one(true, NOW + 50, NOW + 90);
	assert_int_equal(window_size(&sb->throttle.window), 20);
	atomic_store(&sb->throttle.calls_open[one], 4);
	/* Sent after that; fuller than the window is no news. */
	end_one(true, NOW + 51, NOW + 100);
	assert_int_equal(window_size(&sb->throttle.window), 10);
	assert_int_equal(atomic_load(&sb->throttle.window.halvings), 2);
	for (int i = 1; i < 10; i++)
		end_one(true, NOW + i * 1000, NOW + i * 1000 + 1);
	assert_int_equal(window_size(&sb->throttle.window), 1);		/* never under 1 */
}

static void test_a_call_that_was_alone_halves_nothing(void **state)
{
	(void)state;
	atomic_store(&sb->throttle.calls_open[one], 1);
	end_one(true, NOW, NOW + 50);
	assert_int_equal(window_size(&sb->throttle.window), 0);
	atomic_store(&sb->throttle.calls_open[one], 40);
	end_one(true, NOW + 100, NOW + 150);
	atomic_store(&sb->throttle.calls_open[one], 1);
	for (int i = 1; i < 10; i++)
		end_one(true, NOW + i * 1000, NOW + i * 1000 + 50);
	assert_int_equal(window_size(&sb->throttle.window), 20);
	assert_int_equal(atomic_load(&sb->throttle.window.halvings), 1);
}

static void test_the_window_climbs_by_one_a_round_trip(void **state)
{
	(void)state;
	atomic_store(&sb->throttle.calls_open[one], 20);
	end_one(true, NOW, NOW + 50);
	assert_int_equal(window_size(&sb->throttle.window), 10);
	/* Less than half of it in use: no reason to. */
	atomic_store(&sb->throttle.calls_open[one], 4);
	for (int i = 0; i < 100; i++)
		end_one(false, NOW, NOW + 100);
	assert_int_equal(window_size(&sb->throttle.window), 10);
	atomic_store(&sb->throttle.calls_open[one], 10);
	for (int i = 0; i < 11; i++)
		end_one(false, NOW, NOW + 100);
	assert_int_equal(window_size(&sb->throttle.window), 11);
	atomic_store(&sb->throttle.calls_open[one], 100);
	for (int i = 0; i < 100 * 100; i++)
		end_one(false, NOW, NOW + 100);
	/* All there can be: no bound. */
	assert_int_equal(window_size(&sb->throttle.window), 0);
	assert_false(throttle_active(&sb->throttle));
}

/* So many windows' worth of good answers until it has grown back, or is no bound any more. */
static int windows_until(int size)
{
	int n = 0;

	for (int open; (open = window_size(&sb->throttle.window)) && open < size; n++) {
		atomic_store(&sb->throttle.calls_open[one], (uint32_t)open);
		for (int i = 0; i < open; i++)
			end_one(false, NOW, NOW + 100);
	}
	return n;
}

static void test_the_longer_it_goes_well_the_faster_it_climbs(void **state)
{
	(void)state;
	atomic_store(&sb->throttle.calls_open[one], 20);
	end_one(true, NOW, NOW + 50);
	/* By one at first: near to what was too much. */
	assert_in_range(windows_until(14), 4, 5);
	assert_in_range(windows_until(90), 10, 16);
	atomic_store(&sb->throttle.calls_open[one], 20);
	end_one(true, NOW + 100, NOW + 150);		/* and then again */
	assert_in_range(windows_until(14), 4, 5);
}

static void test_the_window_bounds_claims(void **state)
{
	struct permit permit;

	(void)state;
	atomic_store(&sb->throttle.calls_open[one], 12);
	end_one(true, NOW, NOW + 50);
	assert_int_equal(window_size(&sb->throttle.window), 6);
	permit_of(10, 0, NOW + 100);
	assert_true(wait_ms > 0);
	assert_int_equal(atomic_load(&sb->throttle.calls_open[one]), 12);
	assert_false(throttle_has_room(&sb->throttle));
	atomic_store(&sb->throttle.calls_open[one], 1);
	atomic_store(&sb->throttle.calls_open[other], 3);
	permit_of(10, 2, NOW + 100);
	assert_int_equal(atomic_load(&sb->throttle.calls_open[one]), 3);
	/* The breaker's probe goes out whatever is still open. */
	assert_int_equal(
		throttle_reserve(&sb->throttle, one, 1, true, NOW + 100, &permit, &wait_ms), 1);
	/* A dead worker's calls are nobody's. */
	throttle_leave(&sb->throttle, other);
	assert_int_equal(throttle_calls_open(&sb->throttle), 4);
	permit_of(10, 2, NOW + 100);
}

/*
 * Enters and leaves as fast as it can; returns whether there were ever more inside than the window
 * has room for.
 */
static bool crowd(int mine, _Atomic int *inside)
{
	struct permit permit;
	bool crowded = false;

	for (int i = 0; i < 50000; i++) {
		int n = throttle_reserve(&sb->throttle, mine, 3, false, NOW, &permit, &wait_ms);

		crowded |= atomic_fetch_add(inside, n) + n > 4;
		if (i % 16 == 0)
			sched_yield();
		atomic_fetch_sub(inside, n);
		atomic_fetch_sub(&sb->throttle.calls_open[mine], (uint32_t)n);
	}
	return crowded;
}

static void test_the_window_holds_between_processes(void **state)
{
	_Atomic int *inside = mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool crowded;
	pid_t pid;
	int status;

	(void)state;
	assert_ptr_not_equal(inside, MAP_FAILED);
	atomic_store(&sb->throttle.window.size, 4 * 1024);
	pid = fork();
	assert_true(pid >= 0);
	crowded = crowd(pid ? one : other, inside);
	if (!pid)
		_exit(crowded);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(crowded);
	assert_int_equal(throttle_calls_open(&sb->throttle), 0);
	munmap((void *)inside, sizeof(*inside));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_without_limits_there_is_nothing_to_keep_to),
		TEST(test_what_was_not_used_comes_back),
		TEST(test_both_budgets_have_to_allow_it),
		TEST(test_tokens_are_settled_as_reported),
		TEST(test_a_call_that_was_never_sent_costs_nothing),
		TEST(test_a_further_call_goes_before_new_jobs),
		TEST(test_a_late_permit_is_renewed),
		TEST(test_a_permit_without_tokens_keeps_no_request),
		TEST(test_nor_does_one_that_was_made_good_for_its_lateness),
		TEST(test_a_permit_of_other_limits_is_no_share_of_these),
		TEST(test_a_further_call_takes_both_or_none),
		TEST(test_the_last_minute),
		TEST(test_a_limit_halves_the_window_once_a_round_trip),
		TEST(test_a_call_that_was_alone_halves_nothing),
		TEST(test_the_window_climbs_by_one_a_round_trip),
		TEST(test_the_longer_it_goes_well_the_faster_it_climbs),
		TEST(test_the_window_bounds_claims),
		TEST(test_the_window_holds_between_processes),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
