/*
 * The pool's breaker. Any worker moves it, the supervisor shows it and moves it for an operator. It
 * never waits and holds no lock.
 */
#include "scoreboard/breaker.h"

#include <stdatomic.h>
#include <stddef.h>

#include "base/fnv.h"
#include "base/log.h"
#include "base/saturate.h"

static bool is_probed(int64_t probe_ms, int64_t now_ms)
{
	return probe_ms && sat_sub(now_ms, probe_ms) < BREAKER_PROBE_MS;
}

enum breaker_state breaker_state(const struct breaker *b, int64_t now_ms)
{
	int64_t probe = atomic_load(&b->probe_ms);

	if (atomic_load(&b->held))
		return BREAKER_OPEN;
	if (!atomic_load(&b->until_ms))
		return BREAKER_CLOSED;
	return is_probed(probe, now_ms) ? BREAKER_PROBING : BREAKER_OPEN;
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = { "closed", "open", "probing" };

	return names[state];
}

int breaker_allow(struct breaker *b, int wanted, int64_t now_ms, int64_t *wait_ms)
{
	int64_t until = atomic_load(&b->until_ms);
	int64_t probe = atomic_load(&b->probe_ms);

	*wait_ms = BREAKER_FIRST_MS;
	if (atomic_load(&b->held))
		return 0;
	if (!until || wanted <= 0)
		return wanted;
	if (now_ms < until) {
		*wait_ms = until - now_ms;
		return 0;
	}
	if (is_probed(probe, now_ms))
		return 0;
	return atomic_compare_exchange_strong(&b->probe_ms, &probe, now_ms) ? 1 : 0;
}

int64_t breaker_wait_ms(const struct breaker *b, int64_t now_ms)
{
	int64_t until = atomic_load(&b->until_ms);

	if (breaker_state(b, now_ms) == BREAKER_CLOSED)
		return 0;
	return until > now_ms ? until - now_ms : BREAKER_FIRST_MS;
}

bool breaker_answered_lately(const struct breaker *b, int64_t window_ms, int64_t now_ms)
{
	int64_t answered = atomic_load(&b->answered_ms);

	if (window_ms < BREAKER_RECENT_MS)
		window_ms = BREAKER_RECENT_MS;
	return answered && sat_sub(now_ms, answered) < window_ms;
}

/*
 * Each job once, however often it is asked about: a few that cannot be rated must not stop the
 * others.
 */
static bool too_many_in_a_row(struct breaker *b, const char *job)
{
	uint32_t n = atomic_load(&b->unclear);
	uint64_t hash = fnv64_text(job);

	for (uint32_t i = 0; i < n && i < BREAKER_UNCLEAR_IN_A_ROW; i++)
		if (atomic_load(&b->unclear_jobs[i]) == hash)
			return n >= BREAKER_UNCLEAR_IN_A_ROW;
	if (n < BREAKER_UNCLEAR_IN_A_ROW) {
		n = atomic_fetch_add(&b->unclear, 1);
		if (n < BREAKER_UNCLEAR_IN_A_ROW)
			atomic_store(&b->unclear_jobs[n], hash);
		n++;
	}
	return n >= BREAKER_UNCLEAR_IN_A_ROW;
}

bool breaker_unclear(struct breaker *b, const char *job, int64_t window_ms, int64_t now_ms)
{
	return too_many_in_a_row(b, job) || !breaker_answered_lately(b, window_ms, now_ms);
}

void breaker_doubt(struct breaker *b, int64_t now_ms)
{
	tally_add(&b->doubts, 1, now_ms);
}

bool breaker_is_flaky(const struct breaker *b, int64_t calls, int64_t now_ms)
{
	int64_t doubts = tally_sum(&b->doubts, now_ms);

	return doubts >= BREAKER_DOUBTS && doubts * BREAKER_DOUBTS_PER >= calls;
}

void breaker_alive(struct breaker *b, int64_t now_ms)
{
	atomic_store(&b->answered_ms, now_ms);
	if (atomic_load(&b->asked_ms) > now_ms)
		return;
	atomic_store(&b->failures, 0);
	if (!atomic_load(&b->until_ms))
		return;
	atomic_store(&b->probe_ms, 0);
	if (atomic_exchange(&b->until_ms, 0))
		log_info("the rater answers again: the breaker is closed");
}

void breaker_success(struct breaker *b, int64_t now_ms)
{
	atomic_store(&b->unclear, 0);
	breaker_alive(b, now_ms);
}

bool breaker_useless(struct breaker *b, const char *job, int64_t now_ms)
{
	if (too_many_in_a_row(b, job))
		return true;
	breaker_alive(b, now_ms);
	return false;
}

bool breaker_refused(struct breaker *b, const char *job)
{
	return too_many_in_a_row(b, job);
}

/* Doubles with each failure from the one on that opened it. */
static int64_t pause_ms(uint32_t failures)
{
	int64_t pause = BREAKER_FIRST_MS;

	for (uint32_t i = BREAKER_AFTER_FAILURES; i < failures && pause < BREAKER_MAX_MS; i++)
		pause *= 2;
	return pause < BREAKER_MAX_MS ? pause : BREAKER_MAX_MS;
}

void breaker_failure(struct breaker *b, const struct err *err, bool told, int64_t now_ms)
{
	int64_t until = atomic_load(&b->until_ms), pause;
	bool at_once = err->after_ms > 0 || err->kind == ERR_DENIED ||
		(told && !breaker_answered_lately(b, 0, now_ms));
	bool probing = breaker_state(b, now_ms) == BREAKER_PROBING;
	uint32_t failures;

	/* Open already: calls that were in flight with the first one make no pause longer. */
	if (until > now_ms && err->after_ms <= until - now_ms)
		return;
	failures = atomic_fetch_add(&b->failures, 1) + 1;
	pause = pause_ms(failures);
	if (failures < BREAKER_AFTER_FAILURES && !at_once && !probing)
		return;
	if (err->after_ms > 0)
		atomic_store(&b->asked_ms, sat_add(now_ms, err->after_ms));
	if (err->after_ms > pause)
		pause = err->after_ms;
	shared_text_set(&b->reason, err->text);
	atomic_store(&b->kind, (uint32_t)err->kind);
	atomic_store(&b->until_ms, sat_add(now_ms, pause));
	atomic_store(&b->probe_ms, 0);
	if (!until) {
		atomic_fetch_add(&b->trips, 1);
		log_warn("%s; the breaker is open: the rater is given a rest until one call "
			 "succeeds", err->text);
	}
}

void breaker_probe_unused(struct breaker *b)
{
	atomic_store(&b->probe_ms, 0);
}

void breaker_hold(struct breaker *b, const char *reason)
{
	shared_text_set(&b->reason, reason);
	atomic_store(&b->kind, ERR_NONE);
	atomic_store(&b->held, 1);
}

static void shut(struct breaker *b)
{
	atomic_store(&b->failures, 0);
	atomic_store(&b->probe_ms, 0);
	atomic_store(&b->until_ms, 0);
}

void breaker_forget(struct breaker *b, int64_t now_ms)
{
	if (atomic_load(&b->asked_ms) > now_ms)
		return;
	atomic_store(&b->unclear, 0);
	shut(b);
}

void breaker_release(struct breaker *b)
{
	atomic_store(&b->held, 0);
	atomic_store(&b->asked_ms, 0);
	shut(b);
}
