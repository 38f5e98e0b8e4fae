/*
 * `show limits`: breaker, requests and tokens a minute, open calls. Supervisor; it reads and never
 * waits.
 */
#include "show.h"

#include "base/clock.h"
#include "show_cells.h"

/* The limit, what the last minute saw, and what may be had now; null without a limit. */
static void cells_pace(struct table *t, const struct pace *pace, const struct tally *tally,
		       int64_t limit)
{
	table_int(t, limit);
	table_int(t, tally_sum(tally, now_ms()));
	cell_known(t, pace_is_set(pace) ? pace_free(pace, now_ms()) : -1);
}

/*
 * A window of null is one that was never halved, or has grown to all the calls that there can be.
 */
static void cells_calls(struct table *t, const struct scoreboard *sb)
{
	int64_t usual = atomic_load(&sb->throttle.usual_tokens);
	int window = window_size(&sb->throttle.window);

	cell_known(t, usual > 0 ? usual : -1);
	if (pace_is_set(&sb->throttle.requests) || pace_is_set(&sb->throttle.tokens))
		table_ms(t, throttle_wait_ms(&sb->throttle, now_ms()));
	else
		table_null(t);
	table_int(t, throttle_calls_open(&sb->throttle));
	cell_known(t, window > 0 ? window : -1);
	table_int(t, atomic_load(&sb->throttle.window.halvings));
}

static void fill_limits(const struct pool *pool, struct table *t)
{
	const struct scoreboard *sb = pool->sb;
	const struct config *config = pool_config(pool);

	table_row(t);
	cell_breaker(t, &sb->breaker);
	table_bool(t, atomic_load(&sb->breaker.held));
	cell_breaker_until(t, &sb->breaker);
	table_int(t, atomic_load(&sb->breaker.failures));
	table_int(t, atomic_load(&sb->breaker.trips));
	cell_breaker_reason(t, &sb->breaker);
	cells_fallback(t, pool);
	cells_pace(t, &sb->throttle.requests, &sb->throttle.requests_sent,
		   config->openai.requests_per_minute);
	cells_pace(t, &sb->throttle.tokens, &sb->throttle.tokens_used,
		   config->openai.tokens_per_minute);
	cells_calls(t, sb);
}

const struct view view_limits = {
	COLUMNS("breaker", "held", "until_ms", "failures", "trips", "reason",
		"fallback", "fallback_in_use",
		"requests_per_minute", "requests_last_minute", "requests_free",
		"tokens_per_minute", "tokens_last_minute", "tokens_free", "tokens_per_call",
		"next_claim_ms", "calls_open", "calls_window", "window_halvings"),
	true, fill_limits
};
