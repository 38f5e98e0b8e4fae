/* When a dead child is started again, as a table of deaths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>

#include <cmocka.h>

#include "base/exit_code.h"
#include "supervisor/restart.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define EXITED(code) ((code) << 8)	/* as wait(2) gives it */
#define KILLED(signo) (signo)
#define NO_JITTER 0u
#define FULL_JITTER 0xffffu

static void test_crashes_in_a_row(void **state)
{
	static const int64_t delays[] = {
		0, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000,
	};
	struct restart_history h = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(delays); i++) {
		struct restart_decision d = restart_decide(&h, KILLED(SIGKILL), 100, false, false,
							   NO_JITTER);

		assert_false(d.stop_all);
		assert_int_equal(d.delay_ms, delays[i]);
		assert_int_equal(h.crashes, i + 1);
	}
}

static int64_t delay_after_crash(struct restart_history *h, uint32_t random)
{
	return restart_decide(h, KILLED(SIGSEGV), 0, false, false, random).delay_ms;
}

static void test_thousands_of_crashes_stay_at_the_cap(void **state)
{
	struct restart_history h = { .crashes = UINT32_MAX - 10 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct restart_decision d = restart_decide(&h, EXITED(EXIT_FAILED), 0, false, false,
							   NO_JITTER);

		assert_int_equal(d.delay_ms, 30000);
	}
}

static void test_jitter_takes_off_up_to_half(void **state)
{
	(void)state;
	for (uint32_t random = 0; random <= 0xffff; random += 255) {
		struct restart_history h = { .crashes = 3 };
		int64_t delay = delay_after_crash(&h, random << 16 | random);

		assert_in_range(delay, 1000, 2000);
	}
	for (unsigned crashes = 1; crashes < 12; crashes++) {
		struct restart_history longest = { crashes }, shortest = { crashes };

		assert_int_equal(delay_after_crash(&longest, NO_JITTER),
				 2 * delay_after_crash(&shortest, FULL_JITTER));
	}
}

static const struct {
	const char *what;
	int status;
	int64_t lived_ms;
	bool useful;
	unsigned crashes_before, crashes_after;
	int64_t delay_ms;
} deaths[] = {
	{ "retired young", EXITED(EXIT_STOPPED), 10, false, 0, 0, 0 },
	{ "retired after crashes", EXITED(EXIT_STOPPED), 10, false, 5, 5, 0 },
	{ "retired after a good life", EXITED(EXIT_STOPPED), 60000, false, 5, 0, 0 },
	{ "first failure", EXITED(EXIT_FAILED), 10, false, 0, 1, 0 },
	{ "second failure", EXITED(EXIT_FAILED), 10, false, 1, 2, 500 },
	{ "database away", EXITED(EXIT_TRY_LATER), 10, false, 1, 2, 500 },
	{ "killed", KILLED(SIGKILL), 10, false, 2, 3, 1000 },
	{ "killed by hand", KILLED(SIGTERM), 10, false, 2, 3, 1000 },
	{ "crashed with a core", KILLED(SIGABRT | 0x80), 10, false, 2, 3, 1000 },
	{ "just short of a good life", KILLED(SIGKILL), 59999, false, 5, 6, 8000 },
	{ "crash after a good life", KILLED(SIGKILL), 60000, false, 5, 1, 0 },
	{ "crash after a year", KILLED(SIGKILL), INT64_C(31536000000), false, 50, 1, 0 },
	{ "killed at work, again and again", KILLED(SIGKILL), 10, true, 5, 1, 0 },
	{ "unknown exit status", EXITED(77), 10, false, 1, 2, 500 },
};

static void test_deaths(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(deaths); i++) {
		struct restart_history h = { deaths[i].crashes_before };
		struct restart_decision d = restart_decide(&h, deaths[i].status, deaths[i].lived_ms,
							   deaths[i].useful, false, NO_JITTER);

		if (d.stop_all || d.delay_ms != deaths[i].delay_ms ||
		    h.crashes != deaths[i].crashes_after)
			fail_msg("%s: delay %d, crashes %u", deaths[i].what, (int)d.delay_ms,
				 h.crashes);
	}
}

static void test_only_78_stops_everything(void **state)
{
	struct restart_history up = { 0 };

	(void)state;
	for (int code = 0; code <= 255; code++) {
		struct restart_history h = { 0 };

		assert_int_equal(
			restart_decide(&h, EXITED(code), 10, false, false, NO_JITTER).stop_all,
			code == EXIT_BAD_CONFIG);
	}
	/*
	 * Nor does that, when it has been up: the others go on, and this one is tried again, ever
	 * more seldom.
	 */
	for (int64_t delay = 0; delay <= 2000; delay = delay ? delay * 2 : RESTART_FIRST_DELAY_MS) {
		struct restart_decision d;

		d = restart_decide(&up, EXITED(EXIT_BAD_CONFIG), 10, false, true, NO_JITTER);
		assert_false(d.stop_all);
		assert_int_equal(d.delay_ms, delay);
	}
	for (int signo = 1; signo <= 64; signo++) {
		struct restart_history h = { 0 };

		assert_false(
			restart_decide(&h, KILLED(signo), 10, false, false, NO_JITTER).stop_all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crashes_in_a_row),
		cmocka_unit_test(test_thousands_of_crashes_stay_at_the_cap),
		cmocka_unit_test(test_jitter_takes_off_up_to_half),
		cmocka_unit_test(test_deaths),
		cmocka_unit_test(test_only_78_stops_everything),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
