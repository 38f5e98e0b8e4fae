/*
 * pace.c: no minute holds more than the limit, whatever is taken, used late or given back; nothing
 * leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "scoreboard/pace.h"

#define NOW INT64_C(1000000)
#define USES 200000
#define PENDING 5000

static const int64_t limits[] = { 1, 2, 3, 7, 10, 60, 600, 5000 };
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

/* When shares were used, and how large they were. */
static struct { int64_t at_ms, units; } uses[USES];
static size_t nuses;

/* Shares taken that are not used yet. */
enum fate { USED, GIVEN_BACK, RENEWED };
static struct { int64_t at_ms, units, late_ms; enum fate fate; } pending[PENDING];
static size_t npending;

static int by_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Units in the fullest of all windows of a minute. */
static int64_t fullest(void)
{
	int64_t sum = 0, most = 0;
	size_t first = 0;

	qsort(uses, nuses, sizeof(uses[0]), by_time);
	for (size_t i = 0; i < nuses; i++) {
		sum += uses[i].units;
		while (uses[i].at_ms - uses[first].at_ms >= PACE_WINDOW_MS)
			sum -= uses[first++].units;
		most = sum > most ? sum : most;
	}
	return most;
}

static int64_t total(void)
{
	int64_t sum = 0;

	for (size_t i = 0; i < nuses; i++)
		sum += uses[i].units;
	return sum;
}

static void use(int64_t at_ms, int64_t units)
{
	assert_true(nuses < USES);
	uses[nuses].at_ms = at_ms;
	uses[nuses++].units = units;
}

static void put_off(int64_t at_ms, int64_t units, int64_t late_ms, enum fate fate)
{
	assert_true(npending < PENDING);
	pending[npending].at_ms = at_ms;
	pending[npending].units = units;
	pending[npending].late_ms = late_ms;
	pending[npending++].fate = fate;
}

static size_t earliest(void)
{
	size_t first = 0;

	for (size_t i = 1; i < npending; i++)
		if (pending[i].at_ms < pending[first].at_ms)
			first = i;
	return first;
}

/* What comes of the shares until then, each at its time. */
static void run_pending(struct pace *p, int64_t until)
{
	int64_t wait_ms;

	for (size_t i; npending > 0 && pending[i = earliest()].at_ms <= until; ) {
		if (pending[i].fate == RENEWED) {
			pending[i].fate = USED;
			pending[i].at_ms = pace_renew(p, 1, 0, pending[i].late_ms, 5000,
						      pending[i].at_ms, &wait_ms);
			if (pending[i].at_ms >= 0)
				continue;
		} else if (pending[i].fate == GIVEN_BACK) {
			pace_correct(p, 1, pending[i].units, 0, 0);
		} else {
			use(pending[i].at_ms, pending[i].units);
		}
		pending[i] = pending[--npending];
	}
}

static void begin(struct pace *p, int64_t limit)
{
	memset(p, 0, sizeof(*p));
	pace_set(p, limit, NOW);
	nuses = npending = 0;
	srandom((unsigned)limit);
}

static int64_t below(int64_t n)
{
	return random() % n;
}

/* Used or given back in time, kept for too long and renewed, or lost. */
static void put_off_somehow(int64_t now)
{
	int64_t late = 1 + below(5000);

	switch (below(20)) {
	case 0:
		break;
	case 1:
	case 2:
		put_off(now + below(PACE_FRESH_MS + 1), 1, 0, GIVEN_BACK);
		break;
	case 3:
	case 4:
		put_off(now + PACE_FRESH_MS + late, 1, late, RENEWED);
		break;
	default:
		put_off(now + below(PACE_FRESH_MS + 1), 1, 0, USED);
	}
}

/*
 * Rates from idle to far too much; shares used at once or late, given back, taken ahead, never
 * used.
 */
static void one_schedule(int64_t limit)
{
	int64_t wait, now = NOW, end = NOW + (limit < 100 ? 400 : 12) * PACE_WINDOW_MS, rush = 0;
	struct pace p;

	begin(&p, limit);
	while (now < end) {
		int64_t step = 1 + below(rush > 0 ? 20 : 3000);
		int n;

		now += step;
		rush -= step;
		if (below(200) == 0)
			rush = below(100000);
		run_pending(&p, now);
		if (below(10) == 0) {
			int64_t due = pace_take_ahead(&p, 1, 0, 5000, now, &wait);

			if (due >= 0)
				put_off(due + below(PACE_FRESH_MS), 1, 0, USED);
			continue;
		}
		n = pace_take(&p, 1 + (int)below(20), 1, 0, now, &wait);
		for (int i = 0; i < n; i++)
			put_off_somehow(now);
	}
	run_pending(&p, INT64_MAX);
	assert_int_equal(npending, 0);
	assert_in_range(fullest(), 1, limit);
}

static void test_no_minute_holds_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < LIMITS; i++)
		one_schedule(limits[i]);
}

/* Takers that come back a while after they were told to. */
static void test_a_steady_demand_gets_its_share(void **state)
{
	(void)state;
	for (size_t i = 0; i < LIMITS; i++) {
		int64_t minutes = limits[i] < 100 ? 300 : 20, now = NOW, wait;
		struct pace p;

		begin(&p, limits[i]);
		while (now < NOW + minutes * PACE_WINDOW_MS) {
			int n = pace_take(&p, 32, 1, 0, now, &wait);

			for (int k = 0; k < n; k++)
				use(now, 1);
			assert_true(n > 0 || wait > 0);
			now += n > 0 ? 1 : wait + below(300);
		}
		assert_in_range(fullest(), 1, limits[i]);
		assert_true(total() >= limits[i] * minutes * 95 / 100);
	}
}

/* Shares of about the spared size never overdraw; those far larger go out one at a time. */
static void test_large_shares(void **state)
{
	static const int64_t sizes[] = { 90, 1000, 4000, 30000, 100000 };
	const int64_t limit = 60000, minutes = 300;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int64_t now = NOW, wait, size = sizes[i];
		struct pace p;

		begin(&p, limit);
		while (now < NOW + minutes * PACE_WINDOW_MS) {
			int n = pace_take(&p, 32, size, size, now, &wait);

			for (int k = 0; k < n; k++)
				use(now, size);
			now += n > 0 ? 1 : wait;
		}
		if (size <= limit / 2)
			assert_in_range(fullest(), size, limit);
		else
			assert_int_equal(fullest(), size);
		if (size <= 1000)
			assert_true(total() >= limit * minutes * 94 / 100);
		assert_true(total() >= (size < limit ? size : limit) * minutes * 90 / 100);
	}
}

/* What was learnt later counts as if it had been known. */
static void test_corrections(void **state)
{
	struct pace p;
	int64_t wait;

	(void)state;
	begin(&p, 6200);		/* ten ms a unit */
	assert_int_equal(pace_take(&p, 1, 10, 0, NOW + 10000, &wait), 1);
	pace_correct(&p, 1, 10, 300, 0);
	assert_int_equal(pace_take(&p, 1, 10, 0, NOW + 10000, &wait), 0);
	assert_in_range(wait, 3000 - PACE_BURST_MS, 3001 - PACE_BURST_MS);
	assert_int_equal(pace_wait_ms(&p, NOW + 10000), wait);
	pace_correct(&p, 1, 300, 20, 0);
	assert_in_range(pace_free(&p, NOW + 10000), 54, 56);
	/* Nothing of what was given back too often is saved up. */
	pace_correct(&p, 1, 100000, 0, 0);
	assert_int_equal(pace_take(&p, 1000, 1, 0, NOW + 20000, &wait), 75);
	/* Larger than a minute's, and still only a minute. */
	pace_take(&p, 1, 1, 0, NOW + 40000, &wait);
	pace_correct(&p, 1, 1, INT64_MAX / 1000, 0);
	assert_in_range(pace_wait_ms(&p, NOW + 40000), 60000, PACE_PERIOD_MS);
	pace_correct(&p, 1, INT64_MAX / 1000, 1, 0);
	assert_int_equal(pace_wait_ms(&p, NOW + 40000), 0);
}

static void test_ahead_of_its_time(void **state)
{
	struct pace p;
	int64_t wait;

	(void)state;
	begin(&p, 62);			/* a second each */
	assert_int_equal(pace_take_ahead(&p, 1, 0, 5000, NOW + 10000, &wait), NOW + 10000);
	assert_int_equal(pace_take_ahead(&p, 1, 0, 5000, NOW + 10000, &wait),
			 NOW + 11000 - PACE_BURST_MS + 1);
	assert_int_equal(pace_take(&p, 1, 1, 0, NOW + 10500, &wait), 0);	/* it went before */
	for (int i = 0; i < 4; i++)
		assert_true(pace_take_ahead(&p, 1, 0, 5000, NOW + 10000, &wait) > 0);
	assert_int_equal(pace_take_ahead(&p, 1, 0, 5000, NOW + 10000, &wait), -1);
	assert_in_range(wait, 5001, 5300);
}

static void test_limits_come_and_go(void **state)
{
	struct pace p;
	int64_t wait;

	(void)state;
	begin(&p, 0);
	assert_false(pace_is_set(&p));
	assert_int_equal(pace_take(&p, 1000, 1, 0, NOW, &wait), 1000);
	assert_int_equal(pace_take_ahead(&p, 1, 0, 0, NOW, &wait), NOW);
	pace_set(&p, 60, NOW);
	assert_true(pace_is_set(&p));
	/* The last minute is not known. */
	assert_int_equal(pace_take(&p, 1, 1, 0, NOW, &wait), 0);
	assert_in_range(wait, 1000, 1100);
	assert_int_equal(pace_take(&p, 5, 1, 0, NOW + wait, &wait), 1);
	assert_int_equal(pace_take(&p, 5, 1, 0, NOW + 300000, &wait), 1);
	pace_set(&p, 60, NOW + 360000);					/* no news */
	assert_int_equal(pace_take(&p, 5, 1, 0, NOW + 360000, &wait), 1);
	pace_set(&p, 6000, NOW + 500000);
	assert_int_equal(pace_take(&p, 5, 1, 0, NOW + 500000, &wait), 0);
	assert_in_range(wait, 10, 60);
	pace_set(&p, 0, NOW + 500000);
	assert_int_equal(pace_take(&p, 5, 1, 0, NOW + 500000, &wait), 5);
	pace_set(&p, INT64_MAX, NOW + 500000);
	assert_int_equal(pace_take(&p, 1000, 1000000, 0, NOW + 500001, &wait), 1000);
}

/* ---- real processes ---- */

#define TAKERS 4
#define RUN_MS 1500
#define FAST 600000		/* a minute */

struct shared {
	struct pace pace;
	_Atomic int64_t taken[TAKERS];
};

static void __attribute__((noreturn)) take_for_a_while(struct shared *s, int i, int64_t until)
{
	int64_t wait;

	while (now_ms() < until) {
		int n = pace_take(&s->pace, 1 + i, 1, 0, now_ms(), &wait);

		atomic_fetch_add(&s->taken[i], n);
		if (n > 1) {			/* gives one of them back */
			atomic_fetch_sub(&s->taken[i], 1);
			pace_correct(&s->pace, 1, 1, 0, 0);
		}
		if (n == 0)
			usleep((useconds_t)(wait * 1000));
	}
	_exit(0);
}

/*
 * One of them dies in the middle; what it had taken is gone, and the others have all of the rest.
 */
static void test_processes_share_it(void **state)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t began = now_ms(), sum = 0, took;
	pid_t pids[TAKERS];

	(void)state;
	assert_ptr_not_equal(s, MAP_FAILED);
	pace_set(&s->pace, FAST, began);
	for (int i = 0; i < TAKERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			take_for_a_while(s, i, began + RUN_MS);
	}
	usleep(RUN_MS / 2 * 1000);
	kill(pids[TAKERS - 1], SIGKILL);
	for (int i = 0; i < TAKERS; i++)
		waitpid(pids[i], NULL, 0);
	took = now_ms() - began;
	for (int i = 0; i < TAKERS; i++)
		sum += atomic_load(&s->taken[i]);
	/*
	 * It began with nothing free. The one that died may have given back what it had not
	 * counted.
	 */
	assert_true(sum <= took * FAST / PACE_PERIOD_MS + TAKERS);
	assert_true(sum >= (RUN_MS - PACE_BURST_MS) * FAST / PACE_PERIOD_MS / 2);
	munmap(s, sizeof(*s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_minute_holds_more),
		cmocka_unit_test(test_a_steady_demand_gets_its_share),
		cmocka_unit_test(test_large_shares),
		cmocka_unit_test(test_corrections),
		cmocka_unit_test(test_ahead_of_its_time),
		cmocka_unit_test(test_limits_come_and_go),
		cmocka_unit_test(test_processes_share_it),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
