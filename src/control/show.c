/*
 * The views behind `show`: what an operator asks, read from the scoreboard and the configuration.
 * Supervisor; a torn text or an odd number in shared memory is shown, never believed.
 */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/table.h"
#include "config/config_show.h"
#include "scoreboard/breaker.h"
#include "scoreboard/outcome.h"
#include "scoreboard/throttle.h"
#include "supervisor/supervisor.h"

#define LONG_WAIT_MS 1000		/* for a minute's budget */
#define COST_DECIMALS 6

#define COLUMNS(...) (const char *const[]){ __VA_ARGS__, NULL }

/* ---- cells ---- */

/* How long ago at_ms was; null when it never was. */
static void cell_age(struct table *t, int64_t now, int64_t at_ms)
{
	if (at_ms == 0)
		table_null(t);
	else
		table_ms(t, now > at_ms ? now - at_ms : 0);
}

static void cell_known(struct table *t, int64_t value)
{
	if (value < 0)
		table_null(t);
	else
		table_int(t, value);
}

static void cell_known_ms(struct table *t, int64_t ms)
{
	if (ms < 0)
		table_null(t);
	else
		table_ms(t, ms);
}

static void cell_shared(struct table *t, const struct shared_text *shared)
{
	char text[SCOREBOARD_TEXT];

	if (shared_text_get(shared, text) && text[0])
		table_text(t, text);
	else
		table_null(t);
}

static void cell_sum(struct table *t, const struct scoreboard *sb, enum counter c)
{
	table_int(t, (int64_t)scoreboard_sum(sb, c));
}

/* A number from shared memory, or of a newer enum, may lie outside of its names. */
#define NAME_OF(names, value) \
	((size_t)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[value] : "?")

static const char *const backend_names[] = {
	[RATER_RUBRIC] = "rubric", [RATER_OPENAI] = "openai", [RATER_COMMAND] = "command",
};

static const char *role_of(int slot)
{
	return slot == SLOT_JANITOR ? "janitor" : "worker";
}

/* ---- the breaker, in status and limits ---- */

static const char *breaker_name(const struct scoreboard *sb)
{
	static const char *const names[] = {
		[BREAKER_CLOSED] = "closed", [BREAKER_OPEN] = "open", [BREAKER_PROBING] = "probing",
	};

	return atomic_load(&sb->breaker.held) ? "held open" : NAME_OF(names, breaker_state(&sb->breaker, now_ms()));
}

static bool breaker_is_closed(const struct scoreboard *sb)
{
	return !atomic_load(&sb->breaker.held) && breaker_state(&sb->breaker, now_ms()) == BREAKER_CLOSED;
}

/* When it will be tried again; null when it is closed or only an operator closes it. */
static void cell_breaker_until(struct table *t, const struct scoreboard *sb)
{
	int64_t left = atomic_load(&sb->breaker.until_ms) - now_ms();

	if (breaker_is_closed(sb) || atomic_load(&sb->breaker.held))
		table_null(t);
	else
		table_ms(t, left > 0 ? left : 0);
}

static void cell_breaker_reason(struct table *t, const struct scoreboard *sb)
{
	if (breaker_is_closed(sb))
		table_null(t);
	else
		cell_shared(t, &sb->breaker.reason);
}

/* ---- show status ---- */

static const char *const status_columns[] = {
	"summary", "version", "phase", "paused", "uptime_ms",
	"workers_wanted", "workers_alive", "workers_idle", "workers_busy", "workers_connecting",
	"restarts", "reloads",
	"jobs_in_flight", "jobs_completed", "jobs_failed", "jobs_retried", "lines_rated", "lines_failed",
	"outcomes", "cache_hit_percent",
	"rater", "model", "breaker", "breaker_until_ms", "breaker_reason", "fallback", "fallback_in_use",
	"children", "database_connected", "database_listening",
	"queue_pending", "queue_due", "queue_processing", "queue_oldest_due_ms", "queue_age_ms",
	"calls", "call_p50_ms", "call_p95_ms", "call_p99_ms", "tokens_last_minute", "cost", "queue_empty_in_ms",
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
		return "waiting for an operator: the rater refuses our calls, or answers nothing of use; see breaker_reason";
	case ERR_LIMITED:
		return "waiting for the rater: it limits our rate";
	default:
		return "waiting for the rater: the breaker is open";
	}
}

/* The one thing to know first: what keeps the pool from working, or that nothing does. */
static const char *summary_of(const struct scoreboard *sb, const struct pool_census *census, bool has_fallback)
{
	if (atomic_load(&sb->phase) == POOL_DRAINING)
		return "draining: nothing more is claimed, then the daemon stops";
	if (atomic_load(&sb->phase) == POOL_STARTING)
		return "starting";
	if (census->connected == 0)
		return "waiting for the database";
	if (atomic_load(&sb->paused))
		return "paused by an operator: nothing is claimed until \"resume\"";
	if (has_fallback && !breaker_is_closed(sb))
		return atomic_load(&sb->breaker.held) ?
		       "at work with rater.fallback: the breaker is held open by an operator" :
		       "at work with rater.fallback: the breaker is open";
	if (atomic_load(&sb->breaker.held))
		return "breaker held open by an operator: nothing is claimed until \"close breaker\"";
	if (!breaker_is_closed(sb))
		return summary_of_breaker(sb);
	if (census->connected < census->children || census->alive < atomic_load(&sb->workers))
		return "at work, not all children are up";
	if (throttle_wait_ms(&sb->throttle, now_ms()) > LONG_WAIT_MS)
		return "at work, as far as requests or tokens a minute allow: see \"show limits\"";
	return "at work";
}

/* "rated 120, missing 2": how lines fared with the rater, as far as there are any; null: not asked yet. */
static void cell_outcomes(struct table *t, const struct scoreboard *sb)
{
	struct buf text;

	buf_init(&text, 1000);
	for (int i = 0; i < OUTCOME_COUNT; i++) {
		enum counter c = outcome_counter((enum outcome)i);
		uint64_t n = c == COUNTER_COUNT ? 0 : scoreboard_sum(sb, c);

		if (n > 0)
			buf_printf(&text, "%s%s %" PRIu64, text.len ? ", " : "", outcome_name((enum outcome)i), n);
	}
	if (text.len)
		table_text(t, buf_text(&text));
	else
		table_null(t);
	buf_free(&text);
}

static void status_work(struct table *t, const struct scoreboard *sb, const struct pool_census *census)
{
	uint64_t hits = scoreboard_sum(sb, COUNTER_CACHE_HITS);
	uint64_t asked = hits + scoreboard_sum(sb, COUNTER_CACHE_MISSES);

	hits += scoreboard_sum(sb, COUNTER_CACHE_SHARED);

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

/* Who rates instead, null for nobody, and whether that is so now. */
static void cells_fallback(struct table *t, const struct supervisor *s)
{
	int fallback = supervisor_config(s)->rater.fallback;

	if (fallback == RATER_NONE)
		table_null(t);
	else
		table_text(t, NAME_OF(backend_names, fallback));
	table_bool(t, fallback != RATER_NONE && !breaker_is_closed(supervisor_scoreboard(s)));
}

static void status_rater(struct table *t, const struct supervisor *s)
{
	const struct config *config = supervisor_config(s);
	const struct scoreboard *sb = supervisor_scoreboard(s);

	table_text(t, NAME_OF(backend_names, config->rater.backend));
	table_text(t, model_of(config));
	table_text(t, breaker_name(sb));
	cell_breaker_until(t, sb);
	cell_breaker_reason(t, sb);
	cells_fallback(t, s);
}

static void status_queue(struct table *t, const struct scoreboard *sb)
{
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_PENDING]));
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_DUE]));
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_PROCESSING]));
	cell_known_ms(t, atomic_load(&sb->gauges[GAUGE_QUEUE_OLDEST_MS]));
	cell_age(t, now_ms(), atomic_load(&sb->gauges_ms));
}

/* What all calls have cost; null without prices. */
static void cell_cost(struct table *t, const struct supervisor *s)
{
	if (config_has_prices(supervisor_config(s)))
		table_real(t, (double)scoreboard_cost_nanos(supervisor_scoreboard(s)) / 1e9, COST_DECIMALS);
	else
		table_null(t);
}

/* If all goes on as in the last minute; null when nothing was done, nothing waits, or nothing may be done now. */
static void cell_empty_in(struct table *t, const struct supervisor *s, const struct recent_rates *rates)
{
	const struct scoreboard *sb = supervisor_scoreboard(s);
	int64_t pending = atomic_load(&sb->gauges[GAUGE_QUEUE_PENDING]);
	bool barred = breaker_state(&sb->breaker, now_ms()) != BREAKER_CLOSED && supervisor_config(s)->rater.fallback == RATER_NONE;

	if (pending <= 0 || barred || atomic_load(&sb->paused) || !(rates->jobs_per_ms > 0))
		table_null(t);
	else
		table_ms(t, (int64_t)((double)pending / rates->jobs_per_ms));
}

static void status_calls(struct table *t, const struct supervisor *s)
{
	static const double shares[] = { 0.5, 0.95, 0.99 };
	const struct scoreboard *sb = supervisor_scoreboard(s);
	struct recent_rates rates = recent_rates(supervisor_recent(s), sb, now_ms());

	cell_sum(t, sb, COUNTER_RATER_CALLS);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		cell_known_ms(t, latency_quantile(rates.latency, shares[i]));
	table_int(t, rates.tokens_per_minute);
	cell_cost(t, s);
	cell_empty_in(t, s, &rates);
}

static void fill_status(const struct supervisor *s, struct table *t)
{
	const struct scoreboard *sb = supervisor_scoreboard(s);
	struct pool_census census = metrics_census(sb);

	table_row(t);
	table_text(t, summary_of(sb, &census, supervisor_config(s)->rater.fallback != RATER_NONE));
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
	status_rater(t, s);
	table_int(t, census.children);
	table_int(t, census.connected);
	table_bool(t, atomic_load(&sb->listening));
	status_queue(t, sb);
	status_calls(t, s);
}

const struct view view_status = { status_columns, true, fill_status };

/* ---- show workers ---- */

static const char *const workers_columns[] = {
	"slot", "role", "pid", "state", "age_ms", "beat_age_ms", "in_flight", "claimed", "completed", "failed",
	"lines", "restarts", "crashes", "restart_in_ms", "error_age_ms", "error", NULL
};

static void worker_work(struct table *t, const struct slot *slot)
{
	static const enum counter shown[] = {
		COUNTER_JOBS_CLAIMED, COUNTER_JOBS_COMPLETED, COUNTER_JOBS_FAILED, COUNTER_LINES_RATED,
	};

	table_int(t, atomic_load(&slot->in_flight));
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		table_int(t, (int64_t)atomic_load(&slot->counters[shown[i]]));
}

static void worker_row(const struct supervisor *s, int i, struct table *t)
{
	const struct slot *slot = &supervisor_scoreboard(s)->slots[i];
	int64_t now = now_ms();
	int32_t pid = atomic_load(&slot->pid);
	uint32_t generation = atomic_load(&slot->generation);

	table_row(t);
	table_int(t, i);
	table_text(t, role_of(i));
	cell_known(t, pid ? pid : -1);
	table_text(t, slot_state_name(atomic_load(&slot->state)));
	cell_age(t, now, pid ? atomic_load(&slot->started_ms) : 0);
	cell_age(t, now, pid ? atomic_load(&slot->beat_ms) : 0);
	worker_work(t, slot);
	table_int(t, generation ? generation - 1 : 0);
	table_int(t, supervisor_restarts(s, i));
	cell_known_ms(t, supervisor_restart_in_ms(s, i));
	cell_age(t, wall_ms(), atomic_load(&slot->error.wall_ms));	/* it may be long over */
	cell_shared(t, &slot->error);
}

static void fill_workers(const struct supervisor *s, struct table *t)
{
	const struct scoreboard *sb = supervisor_scoreboard(s);

	for (int i = 0; i < SLOT_COUNT; i++)
		if (atomic_load(&sb->slots[i].state) != SLOT_EMPTY)
			worker_row(s, i, t);
}

const struct view view_workers = { workers_columns, false, fill_workers };

/* ---- show queue ---- */

static void fill_queue(const struct supervisor *s, struct table *t)
{
	const struct scoreboard *sb = supervisor_scoreboard(s);

	table_row(t);
	status_queue(t, sb);
	cell_known(t, atomic_load(&sb->gauges[GAUGE_QUEUE_FAILED]));
	table_bool(t, atomic_load(&sb->listening));
}

const struct view view_queue = {
	COLUMNS("pending", "due", "processing", "oldest_due_ms", "age_ms", "failed", "listening"),
	true, fill_queue
};

/* ---- show errors ---- */

struct complaint {
	int64_t wall_ms;
	int slot;			/* -1: the breaker */
	const struct shared_text *text;
};

static int newest_first(const void *a, const void *b)
{
	const struct complaint *x = a, *y = b;

	return (x->wall_ms < y->wall_ms) - (x->wall_ms > y->wall_ms);
}

static size_t add_complaint(struct complaint *all, size_t n, int slot, const struct shared_text *text)
{
	if (atomic_load(&text->wall_ms) == 0 || !text->text[0])
		return n;
	all[n] = (struct complaint){ atomic_load(&text->wall_ms), slot, text };
	return n + 1;
}

static void fill_errors(const struct supervisor *s, struct table *t)
{
	const struct scoreboard *sb = supervisor_scoreboard(s);
	struct complaint all[SLOT_COUNT + 1];
	size_t n = add_complaint(all, 0, -1, &sb->breaker.reason);
	int64_t now = wall_ms();	/* another process set them: only the wall clock is with them */

	for (int i = 0; i < SLOT_COUNT; i++)
		n = add_complaint(all, n, i, &sb->slots[i].error);
	qsort(all, n, sizeof(all[0]), newest_first);
	for (size_t i = 0; i < n; i++) {
		table_row(t);
		cell_age(t, now, all[i].wall_ms);
		cell_known(t, all[i].slot);
		table_text(t, all[i].slot < 0 ? "breaker" : role_of(all[i].slot));
		cell_shared(t, all[i].text);
	}
}

const struct view view_errors = { COLUMNS("age_ms", "slot", "role", "error"), false, fill_errors };

/* ---- show limits, config, version ---- */

/* The limit, what the last minute saw, and what may be had now; null without a limit. */
static void cells_pace(struct table *t, const struct pace *pace, const struct tally *tally, int64_t limit)
{
	table_int(t, limit);
	table_int(t, tally_sum(tally, now_ms()));
	cell_known(t, pace_is_set(pace) ? pace_free(pace, now_ms()) : -1);
}

/* A window of null is one that was never halved, or has grown to all the calls that there can be. */
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

static void fill_limits(const struct supervisor *s, struct table *t)
{
	const struct scoreboard *sb = supervisor_scoreboard(s);
	const struct config *config = supervisor_config(s);

	table_row(t);
	table_text(t, breaker_name(sb));
	table_bool(t, atomic_load(&sb->breaker.held));
	cell_breaker_until(t, sb);
	table_int(t, atomic_load(&sb->breaker.failures));
	table_int(t, atomic_load(&sb->breaker.trips));
	cell_breaker_reason(t, sb);
	cells_fallback(t, s);
	cells_pace(t, &sb->throttle.requests, &sb->throttle.requests_sent, config->openai.requests_per_minute);
	cells_pace(t, &sb->throttle.tokens, &sb->throttle.tokens_used, config->openai.tokens_per_minute);
	cells_calls(t, sb);
}

const struct view view_limits = {
	COLUMNS("breaker", "held", "until_ms", "failures", "trips", "reason", "fallback", "fallback_in_use",
		"requests_per_minute", "requests_last_minute", "requests_free",
		"tokens_per_minute", "tokens_last_minute", "tokens_free",
		"tokens_per_call", "next_claim_ms", "calls_open", "calls_window", "window_halvings"),
	true, fill_limits
};

static void fill_config(const struct supervisor *s, struct table *t)
{
	config_show(supervisor_config(s), t);
}

const struct view view_config = { COLUMNS("key", "value", "default", "reload"), false, fill_config };

static void fill_version(const struct supervisor *s, struct table *t)
{
	(void)s;
	table_row(t);
	table_text(t, VERSION);
	table_int(t, (int64_t)sizeof(struct scoreboard));
	table_int(t, getpid());
}

const struct view view_version = { COLUMNS("version", "scoreboard_bytes", "pid"), true, fill_version };

void view_render(const struct view *view, const struct supervisor *s, bool json, struct buf *out)
{
	struct table *t = table_new(view->columns, view->record);

	view->fill(s, t);
	table_render(t, json, out);
	table_free(t);
}
