/*
 * The janitor: the pool's one look at the queue each poll, from which it publishes the gauges and where claims
 * are to begin, wakes idle workers and has done what is due (janitor_*.c). One connection, in one child the
 * supervisor restarts like any other. It claims nothing and rates nothing; if it dies, workers go on and look
 * for themselves.
 */
#include "janitor.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "pg/pgbinary.h"
#include "process/identity.h"
#include "process/wake.h"
#include "scoreboard/trouble.h"

#define REAP_EVERY_MS 10000		/* the reaper looks at least so often, however long the poll */
#define FRESH_MS 1000			/* the gauges need no second look within so long */
#define LAST_WORK_MS 1500		/* when stopped with dead workers' jobs still to be put back */
#define PARAM_CAP_BYTES (1u << 20)

void janitor_set_timer(struct janitor *j, struct loop_timer *timer, int64_t delay_ms, loop_timer_fn *fn)
{
	if (loop_timer_set(j->c->loop, timer, delay_ms, fn, j) == -1)
		fatal("out of memory: cannot set a timer");
}

/* A maintenance statement failed for a reason of its own; the next tick asks for it again. */
bool janitor_answered(struct janitor *j, const struct err *err)
{
	(void)j;
	if (err && err->kind != ERR_LOST) {
		log_error("%s; trying again with the next poll", err->text);
		trouble_say(err->text);
	}
	return !err;
}

/* The parameters, empty, for a statement to fill and send at once. */
struct buf *janitor_begin(struct janitor *j)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++) {
		buf_free(&j->params[i]);
		buf_init(&j->params[i], PARAM_CAP_BYTES);
	}
	return j->params;
}

bool janitor_send(struct janitor *j, enum statement_id id, pg_answer_fn *answer)
{
	for (int i = 0; i < statements[id].nparams; i++)
		if (!buf_ok(&j->params[i]))
			return false;
	return pg_send(j->pg, &statements[id], j->params, answer, j) == 0;
}

bool janitor_wake_worker(struct janitor *j)
{
	if (!wake_one_waiting(j->c->sb, -1))
		return false;
	slot_count(j->c->slot, COUNTER_WAKES, 1);
	return true;
}

void janitor_wake_for_due(void *arg)
{
	janitor_wake_worker(arg);
}

/* ---- the tick ---- */

/* Columns of sql/tick.sql, in its order. */
enum { TICK_DUE, TICK_NEXT_MS, TICK_PENDING, TICK_DUE_COUNT, TICK_PROCESSING, TICK_FAILED, TICK_OLDEST_MS,
       TICK_STUCK, TICK_OLD_JOBS, TICK_CLAIMANTS, TICK_NOW, TICK_PRIORITY, TICK_AVAILABLE_AT, TICK_ID };

static void publish_gauges(struct janitor *j, const PGresult *result)
{
	static const struct { enum gauge gauge; int column; } shown[] = {
		{ GAUGE_QUEUE_PENDING, TICK_PENDING }, { GAUGE_QUEUE_DUE, TICK_DUE_COUNT },
		{ GAUGE_QUEUE_PROCESSING, TICK_PROCESSING }, { GAUGE_QUEUE_FAILED, TICK_FAILED },
		{ GAUGE_QUEUE_OLDEST_MS, TICK_OLDEST_MS },
	};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		atomic_store(&j->c->sb->gauges[shown[i].gauge], pgvalue_int8(result, 0, shown[i].column));
	atomic_store(&j->c->sb->gauges_ms, now_ms());
}

/*
 * Where claims are to begin from now on. Of a priority that has jobs (a row each) at the first one or, if
 * that is for later, now; of one that had some lately (and of the usual one), now.
 */
static void renew_floors(struct janitor *j, const PGresult *result)
{
	struct floors found = { .n = 0 };
	int64_t now = pgvalue_int8(result, 0, TICK_NOW);

	for (int row = 0; row < PQntuples(result); row++) {
		struct floor f = { .priority = pgvalue_int4(result, row, TICK_PRIORITY), .available_at = now };

		if (PQgetlength(result, row, TICK_ID) != UUID_BYTES)
			break;		/* nothing is pending */
		if (pgvalue_int8(result, row, TICK_AVAILABLE_AT) < now) {
			f.available_at = pgvalue_int8(result, row, TICK_AVAILABLE_AT);
			memcpy(f.id, PQgetvalue(result, row, TICK_ID), UUID_BYTES);
		}
		floors_add(&found, &f);
	}
	floors_add(&found, &(struct floor){ .priority = 0, .available_at = now });
	for (int i = 0; i < j->known.n; i++)
		floors_add(&found, &(struct floor){ .priority = j->known.at[i].priority, .available_at = now });
	floors_renew(j->c->sb, j->floors_epoch, &found, now_ms());
	j->known = found;
}

static void on_tick(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->ticking = false;
	if (!janitor_answered(j, err))
		return;
	publish_gauges(j, result);
	renew_floors(j, result);
	if (pgvalue_bool(result, 0, TICK_DUE))
		janitor_wake_worker(j);
	if (!PQgetisnull(result, 0, TICK_NEXT_MS))
		janitor_set_timer(j, &j->due_timer, pgvalue_int8(result, 0, TICK_NEXT_MS), janitor_wake_for_due);
	if (pgvalue_bool(result, 0, TICK_STUCK))
		janitor_reap(j);
	if (pgvalue_bool(result, 0, TICK_OLD_JOBS))
		janitor_clean_jobs(j);
	if (!PQgetisnull(result, 0, TICK_CLAIMANTS)) {
		char *claimants = xstrdup(PQgetvalue(result, 0, TICK_CLAIMANTS));

		janitor_recover_orphans(j, claimants);
		free(claimants);
	}
	j->looked_once = true;
}

static int64_t tick_every_ms(const struct janitor *j)
{
	return j->config->queue.poll_ms < REAP_EVERY_MS ? j->config->queue.poll_ms : REAP_EVERY_MS;
}

void janitor_tick(void *arg)
{
	struct janitor *j = arg;
	const struct config *config = j->config;
	char prefix[80];
	struct buf *p;
	const int64_t parameters[] = { tick_every_ms(j), config->queue.stuck_after_ms,
		config->queue.keep_completed_ms, config->queue.keep_failed_ms };

	janitor_set_timer(j, &j->tick_timer, tick_every_ms(j), janitor_tick);
	janitor_recover_deaths(j);
	j->sleep_tries = 0;
	janitor_fall_asleep(j);
	if (j->ticking)
		return;
	p = janitor_begin(j);
	for (int i = 0; i < 4; i++)
		pgbinary_int8(&p[i], parameters[i]);
	identity_host_prefix(prefix, sizeof(prefix));
	buf_str(&p[4], prefix);
	j->floors_epoch = atomic_load(&j->c->sb->floors_epoch);
	j->ticking = janitor_send(j, STATEMENT_TICK, on_tick);
}

/* ---- the connection, waking and stopping ---- */

/* The queue has changed since the last look: look again, but not more than once in FRESH_MS. */
static void tick_soon(struct janitor *j)
{
	int64_t age = now_ms() - atomic_load(&j->c->sb->gauges_ms);

	janitor_set_timer(j, &j->tick_timer, age < FRESH_MS ? FRESH_MS - age : 0, janitor_tick);
}

static void on_notified(void *arg)
{
	struct janitor *j = arg;

	tick_soon(j);		/* it may be for later: then the tick sets a timer for it */
	janitor_wake_worker(j);
	janitor_get_up(j);
}

static void on_ready(void *arg)
{
	struct janitor *j = arg;

	child_database_up(j->c);
	janitor_tick(j);
	if (!loop_timer_is_set(&j->cache_timer))
		janitor_set_timer(j, &j->cache_timer, j->config->queue.poll_ms, janitor_clean_cache);
}

static void on_down(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct janitor *j = arg;

	j->asleep = j->sleep_asked = false;
	atomic_store(&j->c->sb->listening, 0);
	j->exit_status = child_database_down(j->c, trouble == PG_REFUSED, err->text);
}

/*
 * The supervisor has put a death into the ring, or a worker has run out of jobs (it wants to be told of new
 * ones) or found many. The queue's gauges are no longer true.
 */
static void on_wake(void *arg)
{
	janitor_recover_deaths(arg);
	janitor_fall_asleep(arg);
	janitor_get_up(arg);
	tick_soon(arg);
}

static void on_stop(void *arg, bool at_once)
{
	struct janitor *j = arg;

	j->stopping = true;
	j->stop_by_ms = now_ms() + (at_once ? 0 : LAST_WORK_MS);
	janitor_recover_deaths(j);
}

static void check_stop(struct janitor *j)
{
	bool work_left = pg_is_ready(j->pg) && (j->recovering || deaths_peek(&j->c->sb->deaths, 0));

	if (!work_left || now_ms() >= j->stop_by_ms)
		j->exit_status = EXIT_STOPPED;
}

static void count_statements(struct janitor *j)
{
	struct pg_counts now = pg_counts(j->pg);

	slot_count(j->c->slot, COUNTER_STATEMENTS, now.statements - j->counted.statements);
	slot_count(j->c->slot, COUNTER_CONNECTS, now.connects - j->counted.connects);
	slot_count(j->c->slot, COUNTER_CONNECTIONS_LOST, now.lost - j->counted.lost);
	j->counted = now;
}

static struct pg *connect_janitor(struct janitor *j)
{
	static const struct pg_events events = { on_ready, on_down, on_notified };
	bool direct = j->config->database.listen_conninfo[0] != '\0';
	bool session = direct || j->config->database.pool_mode == POOL_MODE_SESSION;
	struct pg_options options = {
		.conninfo = direct ? j->config->database.listen_conninfo : j->config->database.conninfo,
		.application_name = "gradingd janitor",
		.session = session,
		.listen = session ? NOTIFY_CHANNEL : NULL,
		.statements = statements + STATEMENT_TICK, .nstatements = STATEMENT_COUNT - STATEMENT_TICK,
		.schema_version = SCHEMA_VERSION,
	};

	j->can_listen = session;
	return pg_new(j->c->loop, &options, &events, j);
}

int janitor_main(struct child *c)
{
	struct janitor j = { .c = c, .config = c->config, .exit_status = -1 };

	c->on_wake = on_wake;
	c->on_stop = on_stop;
	c->arg = &j;
	atomic_store(&c->sb->listening, 0);	/* a forerunner's lock went with its connection */
	j.pg = connect_janitor(&j);
	while (j.exit_status == -1) {
		child_state(c, j.stopping ? SLOT_DRAINING : pg_is_ready(j.pg) ? SLOT_IDLE : SLOT_CONNECTING);
		count_statements(&j);
		child_turn(c, j.stopping ? 50 : -1);
		if (j.stopping && j.exit_status == -1)
			check_stop(&j);
	}
	count_statements(&j);
	janitor_begin(&j);
	pg_free(j.pg);
	return j.exit_status;
}
