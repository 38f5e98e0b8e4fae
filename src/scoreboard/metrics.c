/*
 * The metrics of a scoreboard, as Prometheus text or JSON. Supervisor, and tests; reads shared memory
 * and nothing else.
 */
#include "scoreboard/metrics.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "scoreboard/breaker.h"
#include "scoreboard/scoreboard.h"
#include "scoreboard/throttle.h"

#define X(id, name, help) { name, help },
const struct metric counter_list[COUNTER_COUNT] = { COUNTERS(X) };
const struct metric gauge_list[GAUGE_COUNT] = { GAUGES(X) };
#undef X

#define UNKNOWN (-1)

/* What belongs to the pool as a whole and is in no slot. */
struct pool_metric {
	struct metric metric;
	const char *type;
	int64_t (*read)(const struct scoreboard *sb, const struct pool_census *census);
};

#define READ(field, expression)							\
	static int64_t read_##field(const struct scoreboard *sb, const struct pool_census *census) \
	{									\
		(void)sb, (void)census;						\
		return (int64_t)(expression);					\
	}

READ(start_time, atomic_load(&sb->started_wall_ms) / 1000)
READ(up, atomic_load(&sb->phase) == POOL_UP)
READ(paused, atomic_load(&sb->paused))
READ(listening, atomic_load(&sb->listening))
READ(wanted, atomic_load(&sb->workers))
READ(alive, census->alive)
READ(idle, census->idle)
READ(busy, census->busy)
READ(connecting, census->connecting)
READ(connected, census->connected)
READ(in_flight, census->in_flight)
READ(restarts, atomic_load(&sb->restarts))
READ(reloads, atomic_load(&sb->reloads))
READ(breaker_open, breaker_state(&sb->breaker, now_ms()) != BREAKER_CLOSED)
READ(breaker_trips, atomic_load(&sb->breaker.trips))
READ(requests_minute, tally_sum(&sb->throttle.requests_sent, now_ms()))
READ(tokens_minute, tally_sum(&sb->throttle.tokens_used, now_ms()))
READ(requests_free, pace_is_set(&sb->throttle.requests) ? pace_free(&sb->throttle.requests, now_ms()) : UNKNOWN)
READ(tokens_free, pace_is_set(&sb->throttle.tokens) ? pace_free(&sb->throttle.tokens, now_ms()) : UNKNOWN)
READ(claim_wait, throttle_wait_ms(&sb->throttle, now_ms()))
READ(calls_open, throttle_calls_open(&sb->throttle))
READ(calls_window, window_size(&sb->throttle.window) > 0 ? window_size(&sb->throttle.window) : UNKNOWN)
READ(halvings, atomic_load(&sb->throttle.window.halvings))
READ(gauges_age, atomic_load(&sb->gauges_ms) ? now_ms() - atomic_load(&sb->gauges_ms) : UNKNOWN)

static const struct pool_metric pool_list[] = {
	{ { "start_time_seconds", "when the supervisor started, since 1970" }, "gauge", read_start_time },
	{ { "up", "1 once the pool is up and not draining" }, "gauge", read_up },
	{ { "paused", "1 while an operator has paused claiming" }, "gauge", read_paused },
	{ { "listening", "1 while NOTIFY of new jobs reaches this host" }, "gauge", read_listening },
	{ { "workers_wanted", "workers that should run" }, "gauge", read_wanted },
	{ { "workers_alive", "workers that run" }, "gauge", read_alive },
	{ { "workers_idle", "workers with nothing in hand" }, "gauge", read_idle },
	{ { "workers_busy", "workers with jobs in flight" }, "gauge", read_busy },
	{ { "workers_connecting", "workers waiting for the database" }, "gauge", read_connecting },
	{ { "children_connected", "children connected to Postgres" }, "gauge", read_connected },
	{ { "jobs_in_flight", "jobs in hand of this host's workers" }, "gauge", read_in_flight },
	{ { "restarts_total", "children started again after an unexpected end" }, "counter", read_restarts },
	{ { "reloads_total", "configurations loaded since the start" }, "counter", read_reloads },
	{ { "breaker_open", "1 while the provider is given a rest" }, "gauge", read_breaker_open },
	{ { "breaker_trips_total", "times the breaker opened" }, "counter", read_breaker_trips },
	{ { "requests_last_minute", "calls sent to the openai rater in the last minute" }, "gauge", read_requests_minute },
	{ { "tokens_last_minute", "tokens that it reported in the last minute" }, "gauge", read_tokens_minute },
	{ { "requests_free", "requests that could be sent now; absent without a limit" }, "gauge", read_requests_free },
	{ { "tokens_free", "tokens that could be used now; absent without a limit" }, "gauge", read_tokens_free },
	{ { "claim_wait_milliseconds", "until requests and tokens a minute allow another claim" }, "gauge", read_claim_wait },
	{ { "calls_open", "calls open to the openai rater, or about to be" }, "gauge", read_calls_open },
	{ { "calls_window", "calls that may be open; absent while there is no bound" }, "gauge", read_calls_window },
	{ { "window_halvings_total", "times a 429 halved the calls that may be open" }, "counter", read_halvings },
	{ { "queue_age_milliseconds", "how old the queue_ gauges are" }, "gauge", read_gauges_age },
};
#define POOL_METRICS (sizeof(pool_list) / sizeof(pool_list[0]))

static const struct { struct metric metric; const char *type; } call_seconds =
	{ { "rater_call_seconds", "how long calls to the rater took, failed ones included" }, "histogram" };
static const struct { struct metric metric; const char *type; } cost =
	{ { "cost_total", "cost of all calls at the configured prices" }, "counter" };

typedef void emit_fn(struct buf *out, const struct metric *metric, const char *type, int64_t value);

static void emit_text(struct buf *out, const struct metric *metric, const char *type, int64_t value)
{
	if (value == UNKNOWN)
		return;
	buf_printf(out, "# HELP gradingd_%s %s\n# TYPE gradingd_%s %s\ngradingd_%s %" PRId64 "\n",
		   metric->name, metric->help, metric->name, type, metric->name, value);
}

/* Every name is followed by a comma; the last one is ours to replace. */
static void emit_json(struct buf *out, const struct metric *metric, const char *type, int64_t value)
{
	(void)type;
	if (value == UNKNOWN)
		buf_printf(out, "\"gradingd_%s\":null,", metric->name);
	else
		buf_printf(out, "\"gradingd_%s\":%" PRId64 ",", metric->name, value);
}

static void emit_all(const struct scoreboard *sb, struct buf *out, emit_fn *emit)
{
	struct pool_census census = metrics_census(sb);

	for (size_t i = 0; i < POOL_METRICS; i++)
		emit(out, &pool_list[i].metric, pool_list[i].type, pool_list[i].read(sb, &census));
	for (int i = 0; i < COUNTER_COUNT; i++)
		emit(out, &counter_list[i], "counter", (int64_t)scoreboard_sum(sb, (enum counter)i));
	for (int i = 0; i < GAUGE_COUNT; i++)
		emit(out, &gauge_list[i], "gauge", atomic_load(&sb->gauges[i]));
}

/* ---- calls: a histogram of their time, and their cost; neither is a whole number ---- */

static double call_seconds_sum(const struct scoreboard *sb)
{
	return (double)scoreboard_sum(sb, COUNTER_RATER_MS) / 1000;
}

static void call_seconds_text(const struct scoreboard *sb, struct buf *out)
{
	const char *name = call_seconds.metric.name;
	uint64_t counts[LATENCY_BUCKETS], so_far = 0;

	scoreboard_latency(sb, counts);
	buf_printf(out, "# HELP gradingd_%s %s\n# TYPE gradingd_%s %s\n", name, call_seconds.metric.help, name,
		   call_seconds.type);
	for (int i = 0; i < LATENCY_BUCKETS; i++) {
		so_far += counts[i];
		buf_printf(out, "gradingd_%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, latency_bounds[i], so_far);
	}
	buf_printf(out, "gradingd_%s_sum %.3f\ngradingd_%s_count %" PRIu64 "\n", name, call_seconds_sum(sb), name, so_far);
}

/* {"bucket": {"0.01": 3, ... "+Inf": 20}, "sum": 12.5, "count": 20} */
static void call_seconds_json(const struct scoreboard *sb, struct buf *out)
{
	uint64_t counts[LATENCY_BUCKETS], so_far = 0;

	scoreboard_latency(sb, counts);
	buf_printf(out, "\"gradingd_%s\":{\"bucket\":{", call_seconds.metric.name);
	for (int i = 0; i < LATENCY_BUCKETS; i++) {
		so_far += counts[i];
		buf_printf(out, "%s\"%s\":%" PRIu64, i ? "," : "", latency_bounds[i], so_far);
	}
	buf_printf(out, "},\"sum\":%.3f,\"count\":%" PRIu64 "},", call_seconds_sum(sb), so_far);
}

/* Without prices it is not known. */
static void cost_text(const struct scoreboard *sb, struct buf *out)
{
	uint64_t nanos = scoreboard_cost_nanos(sb);

	if (nanos == 0)
		return;
	buf_printf(out, "# HELP gradingd_%s %s\n# TYPE gradingd_%s %s\ngradingd_%s ", cost.metric.name, cost.metric.help,
		   cost.metric.name, cost.type, cost.metric.name);
	buf_billionths(out, nanos);
	buf_char(out, '\n');
}

static void cost_json(const struct scoreboard *sb, struct buf *out)
{
	uint64_t nanos = scoreboard_cost_nanos(sb);

	buf_printf(out, "\"gradingd_%s\":", cost.metric.name);
	if (nanos)
		buf_billionths(out, nanos);
	else
		buf_str(out, "null");
	buf_char(out, ',');
}

void metrics_render(const struct scoreboard *sb, struct buf *out)
{
	emit_all(sb, out, emit_text);
	call_seconds_text(sb, out);
	cost_text(sb, out);
}

void metrics_render_json(const struct scoreboard *sb, struct buf *out)
{
	buf_char(out, '{');
	call_seconds_json(sb, out);
	cost_json(sb, out);
	emit_all(sb, out, emit_json);
	if (buf_ok(out))
		out->data[out->len - 1] = '}';
	buf_char(out, '\n');
}

static bool is_connected(uint32_t state)
{
	return state == SLOT_IDLE || state == SLOT_BUSY || state == SLOT_DRAINING;
}

struct pool_census metrics_census(const struct scoreboard *sb)
{
	struct pool_census c = { 0 };

	for (int i = 0; i < SLOT_COUNT; i++) {
		const struct slot *slot = &sb->slots[i];
		uint32_t state = atomic_load(&slot->state);

		if (!atomic_load(&slot->pid))
			continue;
		c.children++;
		c.connected += is_connected(state);
		if (i == SLOT_JANITOR)
			continue;
		c.alive++;
		c.idle += state == SLOT_IDLE;
		c.busy += state == SLOT_BUSY;
		c.connecting += state == SLOT_CONNECTING;
		c.in_flight += atomic_load(&slot->in_flight);
	}
	return c;
}
