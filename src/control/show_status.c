/* `show status`: the pool at a glance; and `show queue`. Supervisor; it reads and never waits. */
#include "show.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/saturate.h"
#include "scoreboard/census.h"
#include "scoreboard/outcome.h"
#include "show_cells.h"

#define LONG_WAIT_MS 1000		/* for a minute's budget */
#define COST_DECIMALS 6

/* ---- the queue, in both ---- */

static void status_queue(struct table *t, const struct scoreboard *sb)
{
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_PENDING]));
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_DUE]));
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_PROCESSING]));
	cell_known_ms(t, atomic_load(&sb->gauges[GAUGE_QUEUE_OLDEST_MS]));
	cell_age(t, now_ms(), atomic_load(&sb->gauges_ms));
}

/* ---- show status ---- */

static void cell_sum(struct table *t, const struct scoreboard *sb, enum counter c)
{
	table_int(t, (int64_t)scoreboard_sum(sb, c));
}

static const char *const status_columns[] = {
	"summary", "version", "phase", "paused", "uptime_ms",
	"workers_wanted", "workers_alive", "workers_idle", "workers_busy", "workers_connecting",
	"restarts", "reloads",
	"jobs_in_flight", "jobs_completed", "jobs_failed", "jobs_retried",
	"lines_rated", "lines_failed", "outcomes", "cache_hit_percent",
	"rater", "model", "breaker", "breaker_until_ms", "breaker_reason",
	"fallback", "fallback_in_use",
	"children", "database_connected", "database_listening",
	"queue_pending", "queue_due", "queue_processing", "queue_oldest_due_ms", "queue_age_ms",
	"rows_refused",
	"calls", "call_p50_ms", "call_p95_ms", "call_p99_ms", "tokens_last_minute", "cost",
	"queue_empty_in_ms", "log_lines_dropped", "log_error", "reload_error",
	NULL
};

static const char *phase_name(const struct scoreboard *sb)
{
	static const char *const names[] = {
		[POOL_STARTING] = "starting", [POOL_UP] = "up", [POOL_DRAINING] = "draining",
	};

	return NAME_OF(names, atomic_load(&sb->phase));
}

static const char *summary_of_breaker(const struct scoreboard *sb)
{
	switch (atomic_load(&sb->breaker.kind)) {
	case ERR_DENIED:
		return "waiting for an operator: the rater refuses our calls, or answers nothing "
		       "of use; see breaker_reason";
	case ERR_LIMITED:
		return "waiting for the rater: it limits our rate";
	default:
		return "waiting for the rater: the breaker is open";
	}
}

/* The one thing to know first: what keeps the pool from working, or that nothing does. */
static const char *summary_of(const struct scoreboard *sb, const struct census *census,
			      bool has_fallback)
{
	if (atomic_load(&sb->phase) == POOL_DRAINING)
		return "draining: nothing more is claimed, then the daemon stops";
	if (atomic_load(&sb->phase) == POOL_STARTING)
		return atomic_load(&sb->database_away) ? "waiting for the database" : "starting";
	if (census->connected == 0)
		return "waiting for the database";
	if (atomic_load(&sb->paused))
		return "paused by an operator: nothing is claimed until \"resume\"";
	if (has_fallback && !breaker_is_closed(&sb->breaker, now_ms()))
		return atomic_load(&sb->breaker.held) ?
		       "at work with rater.fallback: the breaker is held open by an operator" :
		       "at work with rater.fallback: the breaker is open";
	if (atomic_load(&sb->breaker.held))
		return "breaker held open by an operator: nothing is claimed until "
		       "\"close breaker\"";
	if (!breaker_is_closed(&sb->breaker, now_ms()))
		return summary_of_breaker(sb);
	if (census->connected < census->children || census->alive < atomic_load(&sb->workers))
		return "at work, not all children are up";
	if (throttle_wait_ms(&sb->throttle, now_ms()) > LONG_WAIT_MS)
		return "at work, as far as requests or tokens a minute allow: see \"show limits\"";
	return "at work";
}

/*
 * "rated 120, missing 2": how lines fared with the rater, as far as there are any; null: not asked
 * yet.
 */
static void cell_outcomes(struct table *t, const struct scoreboard *sb)
{
	struct buf text;

	buf_init(&text, 1000);
	for (int i = 0; i < OUTCOME_COUNT; i++) {
		enum counter c = outcome_counter((enum outcome)i);
		uint64_t n = c == COUNTER_COUNT ? 0 : scoreboard_sum(sb, c);

		if (n > 0)
			buf_printf(&text, "%s%s %" PRIu64, text.len ? ", " : "",
				   outcome_name((enum outcome)i), n);
	}
	if (text.len)
		table_text(t, buf_text(&text));
	else
		table_null(t);
	buf_free(&text);
}

static void status_work(struct table *t, const struct scoreboard *sb, const struct census *census)
{
	uint64_t hits = scoreboard_sum(sb, COUNTER_CACHE_HITS);
	uint64_t asked = sat_count(hits, scoreboard_sum(sb, COUNTER_CACHE_MISSES));

	hits = sat_count(hits, scoreboard_sum(sb, COUNTER_CACHE_SHARED));

	table_int(t, (int64_t)census->in_flight);
	cell_sum(t, sb, COUNTER_JOBS_COMPLETED);
	cell_sum(t, sb, COUNTER_JOBS_FAILED);
	cell_sum(t, sb, COUNTER_JOBS_RETRIED);
	cell_sum(t, sb, COUNTER_LINES_RATED);
	cell_sum(t, sb, COUNTER_LINES_FAILED);
	cell_outcomes(t, sb);
	if (asked)
		table_real(t, 100.0 * (double)hits / (double)asked, 1);
	else
		table_null(t);
}

static const char *model_of(const struct config *config)
{
	switch (config->rater.backend) {
	case RATER_OPENAI:
		return config->openai.model;
	case RATER_COMMAND:
		return config->command.argv.n > 0 ? config->command.argv.items[0] : "?";
	default:
		return "rubric";
	}
}

static void status_rater(struct table *t, const struct pool *pool)
{
	const struct config *config = pool_config(pool);
	const struct scoreboard *sb = pool->sb;

	table_text(t, backend_name(config->rater.backend));
	table_text(t, model_of(config));
	cell_breaker(t, &sb->breaker);
	cell_breaker_until(t, &sb->breaker);
	cell_breaker_reason(t, &sb->breaker);
	cells_fallback(t, pool);
}

/* What all calls have cost; null without prices. */
static void cell_cost(struct table *t, const struct pool *pool)
{
	if (config_has_prices(pool_config(pool)))
		table_real(t, (double)scoreboard_cost_nanos(pool->sb) / 1e9, COST_DECIMALS);
	else
		table_null(t);
}

/*
 * If all goes on as in the last minute; null when nothing was done, nothing waits, or nothing may
 * be done now.
 */
static void cell_empty_in(struct table *t, const struct pool *pool,
			  const struct recent_rates *rates)
{
	const struct scoreboard *sb = pool->sb;
	int64_t pending = atomic_load(&sb->gauges[GAUGE_QUEUE_PENDING]);
	bool barred = !breaker_is_closed(&sb->breaker, now_ms()) &&
		      pool_config(pool)->rater.fallback == RATER_NONE;

	if (pending <= 0 || barred || atomic_load(&sb->paused) || !(rates->jobs_per_ms > 0))
		table_null(t);
	else
		table_ms(t, sat_from_double((double)pending / rates->jobs_per_ms));
}

static void status_calls(struct table *t, const struct pool *pool)
{
	static const double shares[] = { 0.5, 0.95, 0.99 };
	const struct scoreboard *sb = pool->sb;
	struct recent_rates rates = recent_rates(pool->recent, sb, now_ms());

	cell_sum(t, sb, COUNTER_RATER_CALLS);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		cell_known_ms(t, latency_quantile(rates.latency, shares[i]));
	table_int(t, rates.tokens_per_minute);
	cell_cost(t, pool);
	cell_empty_in(t, pool, &rates);
}

/* What is dropped, and while that goes on, why. */
static void status_log(struct table *t, const struct scoreboard *sb)
{
	const struct log_loss *failing = scoreboard_log_loss(sb, true);

	table_int(t, (int64_t)scoreboard_log_dropped(sb));
	if (failing)
		table_text(t, log_loss_reason(failing));
	else
		table_null(t);
}

static void fill_status(const struct pool *pool, struct table *t)
{
	const struct scoreboard *sb = pool->sb;
	struct census census = scoreboard_census(sb);

	table_row(t);
	table_text(t, summary_of(sb, &census, pool_config(pool)->rater.fallback != RATER_NONE));
	table_text(t, VERSION);
	table_text(t, phase_name(sb));
	table_bool(t, atomic_load(&sb->paused));
	cell_age(t, now_ms(), atomic_load(&sb->started_ms));
	table_int(t, atomic_load(&sb->workers));
	table_int(t, census.alive);
	table_int(t, census.idle);
	table_int(t, census.busy);
	table_int(t, census.connecting);
	table_int(t, (int64_t)atomic_load(&sb->restarts));
	table_int(t, (int64_t)atomic_load(&sb->reloads));
	status_work(t, sb, &census);
	status_rater(t, pool);
	table_int(t, census.children);
	table_int(t, census.connected);
	table_bool(t, atomic_load(&sb->listening));
	status_queue(t, sb);
	table_int(t, census.refused);
	status_calls(t, pool);
	status_log(t, sb);
	cell_shared(t, &sb->reload_error);
}

const struct view view_status = { status_columns, true, fill_status };

/* ---- show queue ---- */

static void fill_queue(const struct pool *pool, struct table *t)
{
	const struct scoreboard *sb = pool->sb;

	table_row(t);
	status_queue(t, sb);
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_FAILED]));
	table_bool(t, atomic_load(&sb->listening));
}

const struct view view_queue = {
	COLUMNS("pending", "due", "processing", "oldest_due_ms", "age_ms", "failed", "listening"),
	true, fill_queue
};
