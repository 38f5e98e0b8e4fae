/*
 * The shared mapping between real processes: texts read while they are written, the ring of deaths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/deaths.h"
#include "scoreboard/trouble.h"
#include "scoreboard_fixture.h"

static void test_fresh(void **state)
{
	char text[SCOREBOARD_TEXT] = "?";

	(void)state;
	for (int i = 0; i < GAUGE_COUNT; i++)
		assert_int_equal(atomic_load(&sb->gauges[i]), -1);	/* unknown, not none */
	assert_true(atomic_load(&sb->job_budget) == INT64_MAX);
	assert_in_range(now_ms() - atomic_load(&sb->started_ms), 0, 10000);
	assert_in_range(wall_ms() - atomic_load(&sb->started_wall_ms), 0, 10000);
	assert_int_equal(scoreboard_sum(sb, COUNTER_JOBS_CLAIMED), 0);
	assert_true(shared_text_get(&sb->slots[0].error, text));
	assert_string_equal(text, "");
	assert_null(deaths_peek(&sb->deaths, 0));
}

static void test_counters_of_other_processes(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();

		assert_int_not_equal(pid, -1);
		if (pid == 0) {
			slot_count(&sb->slots[i * 128], COUNTER_LINES_RATED, 5);
			slot_count(&sb->slots[i * 128], COUNTER_LINES_RATED, (uint64_t)i << 40);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	assert_true(scoreboard_sum(sb, COUNTER_LINES_RATED) == 15 + (UINT64_C(3) << 40));
	assert_int_equal(scoreboard_sum(sb, COUNTER_LINES_SKIPPED), 0);
}

/* What was counted stays whoever comes next; slots that were never used are not looked at. */
static void test_slots_never_used(void **state)
{
	uint64_t counts[LATENCY_BUCKETS];

	(void)state;
	assert_int_equal(scoreboard_slots(sb), SLOT_PUBLISHER);
	slot_count_call(&sb->slots[3], 700, 30);
	slot_count_call(&sb->slots[4], 700, 4);
	slot_count(&sb->slots[3], COUNTER_STATEMENTS, 5);
	slot_count(&sb->slots[4], COUNTER_STATEMENTS, 7);
	atomic_store(&sb->slots_used, 4);
	assert_int_equal(scoreboard_slots(sb), 4);
	assert_int_equal(scoreboard_sum(sb, COUNTER_STATEMENTS), 5);
	assert_int_equal(scoreboard_cost_nanos(sb), 30);
	scoreboard_latency(sb, counts);
	assert_int_equal(counts[LATENCY_UP_TO_1000], 1);
	atomic_store(&sb->slots_used, UINT32_MAX);		/* hearsay, too */
	assert_int_equal(scoreboard_slots(sb), SLOT_PUBLISHER);
	assert_int_equal(scoreboard_cost_nanos(sb), 34);
}

static void test_state_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SLOT_STATE_COUNT; i++) {
		assert_non_null(slot_state_name(i));
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(slot_state_name(i), slot_state_name(k));
	}
	assert_string_equal(slot_state_name(SLOT_BUSY), "busy");
	assert_string_equal(slot_state_name(SLOT_STATE_COUNT), "?");
	assert_string_equal(slot_state_name(UINT32_MAX), "?");
}

static void test_text_is_cut_to_fit(void **state)
{
	char written[SCOREBOARD_TEXT + 100], read[SCOREBOARD_TEXT];
	struct shared_text *t = &sb->slots[1].error;

	(void)state;
	memset(written, 'x', sizeof(written));
	written[sizeof(written) - 1] = '\0';
	shared_text_set(t, written);
	assert_true(shared_text_get(t, read));
	assert_int_equal(strlen(read), SCOREBOARD_TEXT - 1);
	assert_in_range(wall_ms() - atomic_load(&t->wall_ms), 0, 10000);
	shared_text_set(t, "short");
	assert_true(shared_text_get(t, read));
	assert_string_equal(read, "short");
}

/*
 * A writer killed inside leaves an odd count: readers give up, the slot's next child sets it right.
 */
static void test_text_of_a_corpse(void **state)
{
	struct shared_text *t = &sb->slots[1].error;
	char read[SCOREBOARD_TEXT] = "?";

	(void)state;
	shared_text_set(t, "before");
	atomic_fetch_add(&t->seq, 1);
	assert_false(shared_text_get(t, read));
	assert_string_equal(read, "");
	shared_text_set(t, "after");
	assert_true(shared_text_get(t, read));
	assert_string_equal(read, "after");
}

static void test_breadcrumb(void **state)
{
	static const char job[] = "0190e3a2-0000-7000-8000-00000000002a";
	struct breadcrumb *b = &sb->slots[3].in_hand;
	char read[UUID_SIZE] = "?";
	int64_t claim = 1;
	int32_t line = 1;

	(void)state;
	breadcrumb_job(job, 4711);		/* of a process that leaves no crumbs: nothing happens */
	breadcrumb_line(12);
	assert_false(breadcrumb_get(b, read, &claim, &line));
	breadcrumb_begin(b);
	assert_false(breadcrumb_get(b, read, &claim, &line));
	assert_string_equal(read, "");
	assert_int_equal(line, BREADCRUMB_NO_LINE);
	breadcrumb_job(job, 4711);
	assert_true(breadcrumb_get(b, read, &claim, &line));
	assert_string_equal(read, job);
	assert_int_equal(claim, 4711);
	assert_int_equal(line, BREADCRUMB_NO_LINE);
	breadcrumb_line(12);
	assert_true(breadcrumb_get(b, read, &claim, &line));
	assert_int_equal(line, 12);
	breadcrumb_job(job, 4711);		/* a line is of one job */
	assert_true(breadcrumb_get(b, read, &claim, &line));
	assert_int_equal(line, BREADCRUMB_NO_LINE);
	breadcrumb_end();
	assert_false(breadcrumb_get(b, read, &claim, &line));
	assert_string_equal(read, "");
	assert_int_equal(claim, 0);
	breadcrumb_job(job, 4711);
	assert_false(breadcrumb_get_only(b, read, &claim));
	assert_string_equal(read, "");
	breadcrumb_only(job, 4711);
	breadcrumb_only(job, 4712);		/* the same one, claimed again */
	assert_true(breadcrumb_get_only(b, read, &claim));
	assert_string_equal(read, job);
	assert_int_equal(claim, 4712);
	breadcrumb_end();			/* the CPU is elsewhere, and it goes on */
	assert_true(breadcrumb_get_only(b, read, &claim));
	breadcrumb_only(NULL, 0);
	assert_false(breadcrumb_get_only(b, read, &claim));
	breadcrumb_job(job, 4711);
	breadcrumb_only(job, 4711);
	breadcrumb_begin(b);		/* the next child of the slot has nothing in hand */
	assert_false(breadcrumb_get_only(b, read, &claim));
	assert_false(breadcrumb_get(b, read, &claim, &line));
	breadcrumb_begin(NULL);
}

static void test_trouble(void **state)
{
	struct shared_text *t = &sb->slots[3].error;
	char read[SCOREBOARD_TEXT] = "?";

	(void)state;
	trouble_say("to nobody");
	trouble_begin(t);
	assert_true(shared_text_get(t, read));
	assert_string_equal(read, "");
	trouble_say("the database is away");
	assert_true(shared_text_get(t, read));
	assert_string_equal(read, "the database is away");
	trouble_begin(NULL);
}

static size_t length_for(char letter)
{
	return (size_t)(letter - 'a') * 9 + 1;
}

static _Noreturn void write_for_ever(struct shared_text *t)
{
	char text[SCOREBOARD_TEXT];

	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* however the test ends */
	for (char letter = 'a'; ; letter = letter == 'z' ? 'a' : letter + 1) {
		size_t len = length_for(letter);

		memset(text, letter, len);
		text[len] = '\0';
		shared_text_set(t, text);
	}
}

/* Of one letter, and as long as that letter goes: else it is torn. */
static bool is_whole(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 1; i < len; i++)
		if (text[i] != text[0])
			return false;
	return len == length_for(text[0]);
}

static void test_reads_are_never_torn(void **state)
{
	struct shared_text *t = &sb->slots[2].error;
	char text[SCOREBOARD_TEXT], last[SCOREBOARD_TEXT] = "";
	unsigned whole = 0, changes = 0;
	int64_t end = now_ms() + 120000;	/* a bound: where many share a processor, they */
	pid_t pid;				/* take turns of some hundredths of a second */

	(void)state;
	shared_text_set(t, "a");
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		write_for_ever(t);
	while ((whole < 400000 || changes < 50) && now_ms() < end) {
		if (!shared_text_get(t, text)) {
			assert_string_equal(text, "");
			continue;
		}
		if (!is_whole(text)) {
			kill(pid, SIGKILL);
			fail_msg("torn: %s", text);
		}
		changes += strcmp(text, last) != 0;
		strcpy(last, text);
		whole++;
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(whole >= 1000);
	assert_true(changes >= 50);		/* the two did run side by side */
}

static bool push(unsigned number)
{
	struct death d = { .how = "was killed by signal 9 (Killed)" };

	snprintf(d.identity, sizeof(d.identity), "host/%u", number);
	return deaths_push(&sb->deaths, &d);
}

static void assert_nth(unsigned nth, unsigned number)
{
	const struct death *d = deaths_peek(&sb->deaths, nth);
	char expected[32];

	assert_non_null(d);
	snprintf(expected, sizeof(expected), "host/%u", number);
	assert_string_equal(d->identity, expected);
	assert_string_equal(d->how, "was killed by signal 9 (Killed)");
}

static void fill_and_empty(void)
{
	for (unsigned i = 0; i < DEATHS_MAX; i++)
		assert_true(push(i));
	assert_false(push(1000));		/* full: nothing is overwritten */
	for (unsigned i = 0; i < DEATHS_MAX; i++)
		assert_nth(i, i);
	assert_null(deaths_peek(&sb->deaths, DEATHS_MAX));
	deaths_pop(&sb->deaths, 10);
	assert_nth(0, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_true(push(DEATHS_MAX + i));
	assert_false(push(1000));
	assert_nth(DEATHS_MAX - 1, DEATHS_MAX + 9);
	deaths_pop(&sb->deaths, DEATHS_MAX);
	assert_null(deaths_peek(&sb->deaths, 0));
}

static void test_deaths(void **state)
{
	(void)state;
	assert_true(push(1));
	assert_nth(0, 1);
	assert_nth(0, 1);			/* a look takes nothing away */
	deaths_pop(&sb->deaths, 1);
	assert_null(deaths_peek(&sb->deaths, 0));
	for (int round = 0; round < 3; round++)
		fill_and_empty();
}

static void test_deaths_when_the_counts_wrap(void **state)
{
	(void)state;
	atomic_store(&sb->deaths.head, UINT32_MAX - 5);
	atomic_store(&sb->deaths.tail, UINT32_MAX - 5);
	fill_and_empty();
}

/* Who lost a line last is who is shown; a process that is gone fails no more. */
static void test_lines_of_the_log(void **state)
{
	(void)state;
	assert_null(scoreboard_log_loss(sb, false));
	assert_int_equal(scoreboard_log_dropped(sb), 0);
	sb->log_loss = (struct log_loss){ .dropped = 3, .wall_ms = 100, .failing = 1 };
	sb->slots[2].log_loss = (struct log_loss){ .dropped = 4, .wall_ms = 200, .failing = 1 };
	assert_int_equal(scoreboard_log_dropped(sb), 7);
	assert_ptr_equal(scoreboard_log_loss(sb, false), &sb->slots[2].log_loss);
	assert_ptr_equal(scoreboard_log_loss(sb, true), &sb->log_loss);
	atomic_store(&sb->slots[2].pid, 77);
	assert_ptr_equal(scoreboard_log_loss(sb, true), &sb->slots[2].log_loss);
	atomic_store(&sb->slots[2].log_loss.failing, 0);
	atomic_store(&sb->log_loss.failing, 0);
	assert_null(scoreboard_log_loss(sb, true));
	assert_ptr_equal(scoreboard_log_loss(sb, false), &sb->slots[2].log_loss);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_scoreboard, unmap_scoreboard)
	const struct CMUnitTest tests[] = {
		TEST(test_fresh),
		TEST(test_counters_of_other_processes),
		TEST(test_slots_never_used),
		TEST(test_state_names),
		TEST(test_text_is_cut_to_fit),
		TEST(test_text_of_a_corpse),
		TEST(test_breadcrumb),
		TEST(test_trouble),
		TEST(test_reads_are_never_torn),
		TEST(test_deaths),
		TEST(test_deaths_when_the_counts_wrap),
		TEST(test_lines_of_the_log),
	};

	return cmocka_run_group_tests_name("scoreboard", tests, NULL, NULL);
}
