/*
 * The pool's breaker. Any worker moves it, the supervisor shows it and moves it for an operator. It
 * never waits and holds no lock.
 */
#include "scoreboard/breaker.h"

#include <stdatomic.h>
#include <stddef.h>

#include "base/log.h"
#include "scoreboard/scoreboard.h"

enum breaker_state breaker_state(const struct scoreboard *sb, int64_t now_ms)
{
	int64_t probe = atomic_load(&sb->breaker_probe_ms);

	if (atomic_load(&sb->breaker_held))
		return BREAKER_OPEN;
	if (!atomic_load(&sb->breaker_until_ms))
		return BREAKER_CLOSED;
	return probe && now_ms - probe < BREAKER_PROBE_MS ? BREAKER_PROBING : BREAKER_OPEN;
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = { "closed", "open", "probing" };

	return names[state];
}

int breaker_allow(struct scoreboard *sb, int wanted, int64_t now_ms, int64_t *wait_ms)
{
	int64_t until = atomic_load(&sb->breaker_until_ms);
	int64_t probe = atomic_load(&sb->breaker_probe_ms);

	*wait_ms = BREAKER_FIRST_MS;
	if (atomic_load(&sb->breaker_held))
		return 0;
	if (!until || wanted <= 0)
		return wanted;
	if (now_ms < until) {
		*wait_ms = until - now_ms;
		return 0;
	}
	if (probe && now_ms - probe < BREAKER_PROBE_MS)
		return 0;
	return atomic_compare_exchange_strong(&sb->breaker_probe_ms, &probe, now_ms) ? 1 : 0;
}

int64_t breaker_wait_ms(const struct scoreboard *sb, int64_t now_ms)
{
	int64_t until = atomic_load(&sb->breaker_until_ms);

	if (breaker_state(sb, now_ms) == BREAKER_CLOSED)
		return 0;
	return until > now_ms ? until - now_ms : BREAKER_FIRST_MS;
}

bool breaker_answered_lately(const struct scoreboard *sb, int64_t window_ms, int64_t now_ms)
{
	int64_t answered = atomic_load(&sb->rater_answered_ms);

	return answered && now_ms - answered < (window_ms > BREAKER_RECENT_MS ? window_ms : BREAKER_RECENT_MS);
}

/* FNV-1a: to tell one job from the next. */
static uint64_t hash_of(const char *job)
{
	uint64_t hash = 14695981039346656037u;

	for (; *job; job++)
		hash = (hash ^ (unsigned char)*job) * 1099511628211u;
	return hash;
}

/* Each job once, however often it is asked about: a few that cannot be rated must not stop the others. */
static bool too_many_in_a_row(struct scoreboard *sb, const char *job)
{
	uint32_t n = atomic_load(&sb->breaker_unclear);
	uint64_t hash = hash_of(job);

	for (uint32_t i = 0; i < n && i < BREAKER_UNCLEAR_IN_A_ROW; i++)
		if (atomic_load(&sb->breaker_unclear_jobs[i]) == hash)
			return n >= BREAKER_UNCLEAR_IN_A_ROW;
	if (n < BREAKER_UNCLEAR_IN_A_ROW) {
		n = atomic_fetch_add(&sb->breaker_unclear, 1);
		if (n < BREAKER_UNCLEAR_IN_A_ROW)
			atomic_store(&sb->breaker_unclear_jobs[n], hash);
		n++;
	}
	return n >= BREAKER_UNCLEAR_IN_A_ROW;
}

bool breaker_unclear(struct scoreboard *sb, const char *job, int64_t window_ms, int64_t now_ms)
{
	return too_many_in_a_row(sb, job) || !breaker_answered_lately(sb, window_ms, now_ms);
}

void breaker_doubt(struct scoreboard *sb, int64_t now_ms)
{
	tally_add(&sb->breaker_doubts, 1, now_ms);
}

bool breaker_is_flaky(const struct scoreboard *sb, int64_t now_ms)
{
	int64_t doubts = tally_sum(&sb->breaker_doubts, now_ms);

	return doubts >= BREAKER_DOUBTS &&
	       doubts * BREAKER_DOUBTS_PER >= tally_sum(&sb->throttle.requests_sent, now_ms);
}

void breaker_alive(struct scoreboard *sb, int64_t now_ms)
{
	atomic_store(&sb->rater_answered_ms, now_ms);
	if (atomic_load(&sb->breaker_asked_ms) > now_ms)
		return;
	atomic_store(&sb->breaker_failures, 0);
	if (!atomic_load(&sb->breaker_until_ms))
		return;
	atomic_store(&sb->breaker_probe_ms, 0);
	if (atomic_exchange(&sb->breaker_until_ms, 0))
		log_info("the rater answers again: the breaker is closed");
}

void breaker_success(struct scoreboard *sb, int64_t now_ms)
{
	atomic_store(&sb->breaker_unclear, 0);
	breaker_alive(sb, now_ms);
}

bool breaker_useless(struct scoreboard *sb, const char *job, int64_t now_ms)
{
	if (too_many_in_a_row(sb, job))
		return true;
	breaker_alive(sb, now_ms);
	return false;
}

/* Doubles with each failure from the one on that opened it. */
static int64_t pause_ms(uint32_t failures)
{
	int64_t pause = BREAKER_FIRST_MS;

	for (uint32_t i = BREAKER_AFTER_FAILURES; i < failures && pause < BREAKER_MAX_MS; i++)
		pause *= 2;
	return pause < BREAKER_MAX_MS ? pause : BREAKER_MAX_MS;
}

void breaker_failure(struct scoreboard *sb, const struct err *err, int64_t now_ms)
{
	int64_t until = atomic_load(&sb->breaker_until_ms), pause;
	bool at_once = err->after_ms > 0 || err->kind == ERR_DENIED;
	bool probing = breaker_state(sb, now_ms) == BREAKER_PROBING;
	uint32_t failures;

	if (until > now_ms && err->after_ms <= until - now_ms)
		return;		/* open already: calls that were in flight with the first one make no pause longer */
	failures = atomic_fetch_add(&sb->breaker_failures, 1) + 1;
	pause = pause_ms(failures);
	if (failures < BREAKER_AFTER_FAILURES && !at_once && !probing)
		return;
	if (err->after_ms > 0)
		atomic_store(&sb->breaker_asked_ms, now_ms + err->after_ms);
	if (err->after_ms > pause)
		pause = err->after_ms;
	shared_text_set(&sb->breaker_reason, err->text);
	atomic_store(&sb->breaker_kind, (uint32_t)err->kind);
	atomic_store(&sb->breaker_until_ms, now_ms + pause);
	atomic_store(&sb->breaker_probe_ms, 0);
	if (!until) {
		atomic_fetch_add(&sb->breaker_trips, 1);
		log_warn("%s; the breaker is open: the rater is given a rest until one call succeeds", err->text);
	}
}

void breaker_probe_unused(struct scoreboard *sb)
{
	atomic_store(&sb->breaker_probe_ms, 0);
}

void breaker_hold(struct scoreboard *sb, const char *reason)
{
	shared_text_set(&sb->breaker_reason, reason);
	atomic_store(&sb->breaker_kind, ERR_NONE);
	atomic_store(&sb->breaker_held, 1);
}

static void shut(struct scoreboard *sb)
{
	atomic_store(&sb->breaker_failures, 0);
	atomic_store(&sb->breaker_probe_ms, 0);
	atomic_store(&sb->breaker_until_ms, 0);
}

void breaker_forget(struct scoreboard *sb, int64_t now_ms)
{
	if (atomic_load(&sb->breaker_asked_ms) > now_ms)
		return;
	atomic_store(&sb->breaker_unclear, 0);
	shut(sb);
}

void breaker_release(struct scoreboard *sb)
{
	atomic_store(&sb->breaker_held, 0);
	atomic_store(&sb->breaker_asked_ms, 0);
	shut(sb);
}
