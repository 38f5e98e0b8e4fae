/*
 * A scoreboard into which somebody wrote garbage, as a child that goes wild may: whoever reads it
 * gets an answer of bounded size, in bounded time, and without undefined behaviour (which
 * sanitizer builds of this test tell).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/log.h"
#include "control/commands.h"
#include "fake_pool.h"
#include "scoreboard/census.h"
#include "scoreboard/floor.h"
#include "scoreboard/pass.h"
#include "scoreboard/recent.h"
#include "scoreboard/throttle.h"
#include "scoreboard/window.h"

#define ROUNDS 60
#define ANSWER_CAP_BYTES (1u << 20)

static uint64_t random_state;

/* xorshift64* (Vigna): the same garbage in each run. */
static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

/* Numbers at the ends of their ranges more often than others: there sums overflow. */
static uint64_t next_word(void)
{
	static const uint64_t ends[] = {
		0, 1, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN, (uint64_t)INT64_MIN + 1,
		INT32_MAX, UINT32_MAX, (uint64_t)INT32_MAX << 32, UINT64_C(0x8000000080000000),
	};
	uint64_t at = next_random() % 32;

	return at < sizeof(ends) / sizeof(ends[0]) ? ends[at] : next_random();
}

static void fill(void *memory, size_t size)
{
	unsigned char *p = memory;

	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t word = next_word();

		memcpy(p + i, &word, size - i < sizeof(word) ? size - i : sizeof(word));
	}
}

/* The whole mapping, or one slot of a pool that is otherwise well. */
static void fill_board(int round)
{
	struct scoreboard *sb = fake.sb;

	if (round % 3 == 0)
		fill(sb, sizeof(*sb));
	else if (round % 3 == 1)
		fill(sb->slots, sizeof(sb->slots));
	else
		fill(&sb->slots[next_random() % SLOT_COUNT], sizeof(sb->slots[0]));
}

/* ---- who reads ---- */

static void run(const char *line)
{
	struct buf out;
	struct err err;

	buf_init(&out, ANSWER_CAP_BYTES);
	assert_int_equal(command_run(&fake.pool, line, false, &out, &err), 0);
	assert_true(buf_ok(&out));
	assert_true(out.len > 0);
	buf_free(&out);
}

static void show_all(void)
{
	static const char *const subjects[] = {
		"status", "workers", "queue", "metrics", "config", "errors", "limits", "version",
	};
	char line[64];

	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		snprintf(line, sizeof(line), "show %s", subjects[i]);
		run(line);
		snprintf(line, sizeof(line), "show %s json", subjects[i]);
		run(line);
	}
}

static void read_floors(void)
{
	struct floors floors;

	floors_read(fake.sb, now_ms(), 5000, &floors);
	assert_in_range(floors.n, 0, FLOORS_MAX);
	floors_read(fake.sb, now_ms(), INT64_MAX, &floors);
	assert_in_range(floors.n, 0, FLOORS_MAX);
}

static void read_passes(void)
{
	struct floor highest = { .priority = 3, .available_at = INT64_MAX };
	struct floors passes, more = { .n = 1 };

	memset(highest.id, 0xff, sizeof(highest.id));
	more.at[0] = pass_behind(&highest);
	pass_read(fake.sb, &passes);
	assert_in_range(passes.n, 0, FLOORS_MAX);
	pass_take_walk(fake.sb, SLOT_FIRST_WORKER);
	pass_raise(fake.sb, SLOT_FIRST_WORKER, &more);
	assert_true(pass_is_on(fake.sb));
	pass_read(fake.sb, &passes);
	assert_in_range(passes.n, 0, FLOORS_MAX);
	pass_is_walked(fake.sb);
	pass_end(fake.sb, pass_raised(fake.sb));
	assert_false(pass_is_on(fake.sb));
}

static void ask_breaker(void)
{
	struct breaker *b = &fake.sb->breaker;
	struct err err = { .kind = ERR_LIMITED, .after_ms = INT64_MAX, .text = "limited" };
	int64_t wait = 0;

	assert_in_range(breaker_allow(b, 8, now_ms(), &wait), 0, 8);
	assert_true(wait >= 0);
	assert_true(breaker_wait_ms(b, now_ms()) >= 0);
	breaker_state_name(breaker_state(b, now_ms()));
	breaker_answered_lately(b, 3000, now_ms());
	breaker_unclear(b, "a job", 3000, now_ms());
	breaker_doubt(b, now_ms());
	breaker_is_flaky(b, 100, now_ms());
	breaker_failure(b, &err, true, now_ms());
	breaker_success(b, now_ms());
}

static void ask_pace(struct pace *p)
{
	int64_t wait = 0;

	assert_in_range(pace_take(p, 5, 10, 10, now_ms(), &wait), 0, 5);
	assert_true(wait >= 0);
	pace_take_ahead(p, 10, 10, 5000, now_ms(), &wait);
	pace_renew(p, 10, 10, INT64_MAX / 2, 5000, now_ms(), &wait);
	pace_correct(p, 5, 10, 20, 10);
	assert_true(pace_free(p, now_ms()) >= 0);
	assert_true(pace_wait_ms(p, now_ms()) >= 0);
	assert_true(pace_share_ms(p, 10) >= 0);
}

static void ask_throttle(void)
{
	struct throttle *t = &fake.sb->throttle;
	struct call_end end = { .tokens = 700, .bytes = 4000, .answered = true, .most = 128 };
	struct permit permit;
	int64_t wait = 0;

	ask_pace(&t->requests);
	ask_pace(&t->tokens);
	throttle_active(t);
	throttle_has_room(t);
	assert_true(throttle_calls_open(t) >= 0);
	assert_true(throttle_estimate(t, 5000) > 0);
	assert_true(throttle_wait_ms(t, now_ms()) >= 0);
	assert_in_range(throttle_reserve(t, 3, 4, false, now_ms(), &permit, &wait), 0, 4);
	throttle_give_back(t, &permit, 1, now_ms());
	throttle_reserve_ahead(t, &permit, now_ms(), &wait);
	throttle_renew(t, &permit, now_ms());
	throttle_sent(t, &permit, 5000, now_ms());
	end.permit = permit;
	throttle_settle(t, &end, now_ms());
	end.limited = true;
	end.sent_ms = INT64_MAX;
	throttle_settle(t, &end, now_ms());
	assert_true(window_size(&t->window) >= 0);
}

static void take_samples(void)
{
	struct recent *recent = &fake.recent;
	struct recent_rates rates;

	recent_take(recent, fake.sb, now_ms() - 2 * RECENT_WINDOW_MS);
	fill_board(1);
	recent_take(recent, fake.sb, now_ms());
	rates = recent_rates(recent, fake.sb, now_ms());
	assert_true(rates.tokens_per_minute >= 0);
	assert_true(rates.jobs_per_ms >= 0);
}

/* As the janitor does: it ends, and what it hands on is text. */
static void take_deaths(void)
{
	struct deaths *deaths = &fake.sb->deaths;
	const struct death *d;

	kept_deaths_tidy(&fake.sb->kept_deaths);
	kept_deaths_any(&fake.sb->kept_deaths);
	for (int i = 0; i < KEPT_DEATHS_MAX; i++)
		assert_true(death_is_readable(&fake.sb->kept_deaths.at[i].death));
	for (int i = 0; deaths_peek(deaths, 0); i++) {
		unsigned n = 0;

		assert_true(i < 2);
		for (; (d = deaths_peek(deaths, n)); n++) {
			assert_true(strnlen(d->identity, IDENTITY_SIZE) < IDENTITY_SIZE);
			assert_true(strnlen(d->how, sizeof(d->how)) < sizeof(d->how));
			assert_true(strnlen(d->in_hand, UUID_SIZE) < UUID_SIZE);
			kept_deaths_add(&fake.sb->kept_deaths, d);
		}
		assert_in_range(n, 1, DEATHS_MAX);
		deaths_pop(deaths, n);
	}
}

static void look_at_slots(void)
{
	struct census census = scoreboard_census(fake.sb);
	char text[SCOREBOARD_TEXT], job[UUID_SIZE];
	int64_t claim;
	int32_t line;

	assert_in_range(census.children, 0, SLOT_COUNT);
	for (int c = 0; c < COUNTER_COUNT; c++)
		assert_true(scoreboard_sum(fake.sb, (enum counter)c) <= INT64_MAX);
	for (int i = 0; i < SLOT_COUNT; i++) {
		shared_text_get(&fake.sb->slots[i].error, text);
		assert_true(strnlen(text, sizeof(text)) < sizeof(text));
		breadcrumb_get(&fake.sb->slots[i].in_hand, job, &claim, &line);
		assert_true(strnlen(job, sizeof(job)) < sizeof(job));
	}
}

static void test_readers_take_anything(void **state)
{
	(void)state;
	random_state = UINT64_C(20261129);
	for (int round = 0; round < ROUNDS; round++) {
		fake_reset();
		fill_board(round);
		look_at_slots();
		show_all();
		read_floors();
		read_passes();
		take_samples();
		show_all();
		take_deaths();
		ask_breaker();
		ask_throttle();
		show_all();
	}
}

/* ---- each by itself, with the number that was too much for it ---- */

static void test_sums_stop_at_their_end(void **state)
{
	uint64_t counts[LATENCY_BUCKETS];

	(void)state;
	fake_reset();
	for (int i = 1; i < 4; i++) {
		atomic_store(&fake.sb->slots[i].counters[COUNTER_LINES_RATED], INT64_MAX - 1);
		atomic_store(&fake.sb->slots[i].latency[0], UINT64_MAX);
		atomic_store(&fake.sb->slots[i].cost_nanos, UINT64_MAX);
	}
	assert_true(scoreboard_sum(fake.sb, COUNTER_LINES_RATED) == INT64_MAX);
	assert_true(scoreboard_cost_nanos(fake.sb) == INT64_MAX);
	scoreboard_latency(fake.sb, counts);
	assert_true(counts[0] == INT64_MAX);
	assert_int_equal(latency_quantile(counts, 0.5) >= 0, 1);
}

static void test_open_calls_are_not_below_zero(void **state)
{
	struct throttle *t;

	(void)state;
	fake_reset();
	t = &fake.sb->throttle;
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++)
		atomic_store(&t->calls_open[i], INT32_MAX);
	assert_int_equal(throttle_calls_open(t), INT32_MAX - 1);
	atomic_store(&t->window.size, INT64_MAX);
	assert_int_equal(window_size(&t->window), INT32_MAX);
}

static void test_a_ring_of_deaths_that_cannot_be(void **state)
{
	struct deaths *deaths;
	struct death d = { .identity = "host/1", .how = "was killed" };

	(void)state;
	fake_reset();
	deaths = &fake.sb->deaths;
	atomic_store(&deaths->head, 5);
	atomic_store(&deaths->tail, 10);	/* four thousand million deaths */
	assert_false(deaths_push(deaths, &d));
	assert_non_null(deaths_peek(deaths, DEATHS_MAX - 1));
	assert_null(deaths_peek(deaths, DEATHS_MAX));
	deaths_pop(deaths, DEATHS_MAX);
	assert_null(deaths_peek(deaths, 0));	/* it goes on from where the supervisor is */
	assert_true(deaths_push(deaths, &d));
	assert_string_equal(deaths_peek(deaths, 0)->identity, "host/1");
}

static void test_a_death_that_is_no_text(void **state)
{
	struct deaths *deaths;
	struct death d = { .identity = "host/1", .how = "was killed" };

	(void)state;
	fake_reset();
	deaths = &fake.sb->deaths;
	memset(d.identity, 'x', sizeof(d.identity));
	assert_true(deaths_push(deaths, &d));
	assert_string_equal(deaths_peek(deaths, 0)->identity, "");
	deaths_pop(deaths, 1);
	strcpy(d.identity, "host/\xff");
	assert_true(deaths_push(deaths, &d));
	assert_string_equal(deaths_peek(deaths, 0)->identity, "");
	deaths_pop(deaths, 1);
	strcpy(d.identity, "host/1");
	strcpy(d.in_hand, "0190e3a2");
	assert_true(deaths_push(deaths, &d));
	assert_string_equal(deaths_peek(deaths, 0)->in_hand, "");
}

static int end_group(void **state)
{
	(void)state;
	fake_reset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums_stop_at_their_end),
		cmocka_unit_test(test_open_calls_are_not_below_zero),
		cmocka_unit_test(test_a_ring_of_deaths_that_cannot_be),
		cmocka_unit_test(test_a_death_that_is_no_text),
		cmocka_unit_test(test_readers_take_anything),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("garbage", tests, NULL, end_group);
}
