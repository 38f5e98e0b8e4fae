/*
 * The metrics of a scoreboard, as Prometheus text or JSON. Supervisor; it reads shared memory and
 * nothing else.
 */
#include "prometheus.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/saturate.h"
#include "scoreboard/breaker.h"
#include "scoreboard/census.h"
#include "scoreboard/scoreboard.h"
#include "scoreboard/throttle.h"

#define UNKNOWN (-1)

/*
 * What belongs to the pool as a whole and is in no slot. X(name, type, help, its value from sb and
 * census).
 */
#define POOL_METRICS(X) \
	X(start_time_seconds, gauge, "when the supervisor started, since 1970", \
	  atomic_load(&sb->started_wall_ms) / 1000) \
	X(up, gauge, "1 once the pool is up and not draining", atomic_load(&sb->phase) == POOL_UP) \
	X(paused, gauge, "1 while an operator has paused claiming", atomic_load(&sb->paused)) \
	X(listening, gauge, "1 while NOTIFY of new jobs reaches this host", \
	  atomic_load(&sb->listening)) \
	X(workers_wanted, gauge, "workers that should run", atomic_load(&sb->workers)) \
	X(workers_alive, gauge, "workers that run", census->alive) \
	X(workers_idle, gauge, "workers with nothing in hand", census->idle) \
	X(workers_busy, gauge, "workers with jobs in flight", census->busy) \
	X(workers_connecting, gauge, "workers waiting for the database", census->connecting) \
	X(children_connected, gauge, "children connected to Postgres", census->connected) \
	X(jobs_in_flight, gauge, "jobs in hand of this host's workers", census->in_flight) \
	X(rows_refused, gauge, "rows that the database refuses to have changed, as far as named", \
	  census->refused) \
	X(restarts_total, counter, "children started again after an unexpected end", \
	  sat_count(atomic_load(&sb->restarts), 0)) \
	X(reloads_total, counter, "configurations loaded since the start", \
	  sat_count(atomic_load(&sb->reloads), 0)) \
	X(log_lines_dropped_total, counter, "lines of the log that could not be written", \
	  scoreboard_log_dropped(sb)) \
	X(log_failing, gauge, "1 while lines of the log cannot be written", \
	  scoreboard_log_loss(sb, true) != NULL) \
	X(breaker_open, gauge, "1 while the provider is given a rest", \
	  !breaker_is_closed(&sb->breaker, now_ms())) \
	X(breaker_trips_total, counter, "times the breaker opened", \
	  atomic_load(&sb->breaker.trips)) \
	X(requests_last_minute, gauge, "calls sent to the openai rater in the last minute", \
	  tally_sum(&sb->throttle.requests_sent, now_ms())) \
	X(tokens_last_minute, gauge, "tokens that it reported in the last minute", \
	  tally_sum(&sb->throttle.tokens_used, now_ms())) \
	X(requests_free, gauge, "requests that could be sent now; absent without a limit", \
	  free_of(&sb->throttle.requests)) \
	X(tokens_free, gauge, "tokens that could be used now; absent without a limit", \
	  free_of(&sb->throttle.tokens)) \
	X(claim_wait_milliseconds, gauge, \
	  "until requests and tokens a minute allow another claim", \
	  \
	  throttle_wait_ms(&sb->throttle, now_ms())) \
	X(calls_open, gauge, "calls open to the openai rater, or about to be", \
	  throttle_calls_open(&sb->throttle)) \
	X(calls_window, gauge, "calls that may be open; absent while there is no bound", \
	  known(window_size(&sb->throttle.window))) \
	X(window_halvings_total, counter, "times a 429 halved the calls that may be open", \
	  atomic_load(&sb->throttle.window.halvings)) \
	X(queue_age_milliseconds, gauge, "how old the queue_ gauges are", \
	  atomic_load(&sb->gauges_ms) ? sat_sub(now_ms(), atomic_load(&sb->gauges_ms)) : UNKNOWN)

static int64_t free_of(const struct pace *pace)
{
	return pace_is_set(pace) ? pace_free(pace, now_ms()) : UNKNOWN;
}

/* 0 is none. */
static int64_t known(int64_t value)
{
	return value > 0 ? value : UNKNOWN;
}

#define X(name, type, help, value)						\
	static int64_t read_##name(const struct scoreboard *sb, const struct census *census) \
	{									\
		(void)sb, (void)census;						\
		return (int64_t)(value);					\
	}
POOL_METRICS(X)
#undef X

struct pool_metric {
	struct metric metric;
	const char *type;
	int64_t (*read)(const struct scoreboard *sb, const struct census *census);
};

#define X(name, type, help, value) { { #name, help }, #type, read_##name },
static const struct pool_metric pool_list[] = { POOL_METRICS(X) };
#undef X
#define POOL_METRICS_COUNT (sizeof(pool_list) / sizeof(pool_list[0]))

/* What is no whole number. */
struct other_metric { struct metric metric; const char *type; };

static const struct other_metric call_seconds = {
	{ "rater_call_seconds", "how long calls to the rater took, failed ones included" },
	"histogram"
};
static const struct other_metric cost = {
	{ "cost_total", "cost of all calls at the configured prices" }, "counter"
};

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
	struct census census = scoreboard_census(sb);

	for (size_t i = 0; i < POOL_METRICS_COUNT; i++)
		emit(out, &pool_list[i].metric, pool_list[i].type, pool_list[i].read(sb, &census));
	for (int i = 0; i < COUNTER_COUNT; i++)
		emit(out, &counter_list[i], "counter",
		     (int64_t)scoreboard_sum(sb, (enum counter)i));
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
	buf_printf(out, "# HELP gradingd_%s %s\n# TYPE gradingd_%s %s\n", name,
		   call_seconds.metric.help, name, call_seconds.type);
	for (int i = 0; i < LATENCY_BUCKETS; i++) {
		so_far = sat_count(so_far, counts[i]);
		buf_printf(out, "gradingd_%s_bucket{le=\"%s\"} %" PRIu64 "\n", name,
			   latency_bounds[i], so_far);
	}
	buf_printf(out, "gradingd_%s_sum %.3f\ngradingd_%s_count %" PRIu64 "\n", name,
		   call_seconds_sum(sb), name, so_far);
}

/* {"bucket": {"0.01": 3, ... "+Inf": 20}, "sum": 12.5, "count": 20} */
static void call_seconds_json(const struct scoreboard *sb, struct buf *out)
{
	uint64_t counts[LATENCY_BUCKETS], so_far = 0;

	scoreboard_latency(sb, counts);
	buf_printf(out, "\"gradingd_%s\":{\"bucket\":{", call_seconds.metric.name);
	for (int i = 0; i < LATENCY_BUCKETS; i++) {
		so_far = sat_count(so_far, counts[i]);
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
	buf_printf(out, "# HELP gradingd_%s %s\n# TYPE gradingd_%s %s\ngradingd_%s ",
		   cost.metric.name, cost.metric.help, cost.metric.name, cost.type,
		   cost.metric.name);
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

void prometheus_render(const struct scoreboard *sb, struct buf *out)
{
	emit_all(sb, out, emit_text);
	call_seconds_text(sb, out);
	cost_text(sb, out);
}

void prometheus_render_json(const struct scoreboard *sb, struct buf *out)
{
	buf_char(out, '{');
	call_seconds_json(sb, out);
	cost_json(sb, out);
	emit_all(sb, out, emit_json);
	if (buf_ok(out))
		out->data[out->len - 1] = '}';
	buf_char(out, '\n');
}
