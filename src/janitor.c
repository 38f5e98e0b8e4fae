/*
 * The janitor: the pool's one look at the queue each poll, LISTEN, waking idle workers, jobs of dead
 * workers and lost hosts, cleaning. One connection, in one child the supervisor restarts like any
 * other. It claims nothing and rates nothing; if it dies, workers go on and polls are late, no more.
 */
#include "child.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "clock.h"
#include "identity.h"
#include "log.h"
#include "pg.h"
#include "pgarray.h"
#include "restart.h"
#include "statements.h"
#include "wake.h"

#define REAP_EVERY_MS 10000		/* the reaper looks at least so often, however long the poll */
#define CLEAN_BATCH "500"
#define CLEAN_PAUSE_MS 50		/* between batches, so that claims go first */
#define SLEEP_RETRY_MS 20
#define SLEEP_TRIES 5			/* then the next poll tries again: another pool holds the lock */
#define LATE_COMMIT_MS 100		/* look again so long after falling asleep */
#define FRESH_MS 1000			/* the gauges need no second look within so long */
#define LAST_WORK_MS 1500		/* when stopped with dead workers' jobs still to be put back */
#define PARAM_CAP_BYTES (1u << 20)

struct janitor {
	struct child *c;
	const struct config *config;
	struct pg *pg;
	struct pg_counts counted;
	bool can_listen;		/* the connection is direct, so LISTEN and the sleep lock work */
	bool asleep;			/* we hold the sleep lock */
	bool sleep_asked;		/* an answer about the lock is due */
	int sleep_tries;
	bool ticking, recovering, cleaning_jobs, cleaning_cache, reaping;
	unsigned deaths_sent;		/* of the ring, in the recovery under way */
	bool looked_once;		/* for what this host left behind before its last boot */
	bool stopping;
	int64_t stop_by_ms;
	struct loop_timer tick_timer, due_timer, sleep_timer, late_timer, jobs_timer, cache_timer;
	int exit_status;
};

static void tick(void *arg);
static void recover_deaths(struct janitor *j);

static void set_timer(struct janitor *j, struct loop_timer *timer, int64_t delay_ms, loop_timer_fn *fn)
{
	if (loop_timer_set(j->c->loop, timer, delay_ms, fn, j) == -1)
		fatal("out of memory: cannot set a timer");
}

/* A maintenance statement failed for a reason of its own; the next tick asks for it again. */
static bool answered(struct janitor *j, const struct err *err)
{
	if (err && err->kind != ERR_LOST) {
		log_error("%s; trying again with the next poll", err->text);
		child_error(j->c, err->text);
	}
	return !err;
}

static int64_t number(const PGresult *result, int column, int64_t otherwise)
{
	return PQgetisnull(result, 0, column) ? otherwise : strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

static bool truth(const PGresult *result, int column)
{
	return PQgetvalue(result, 0, column)[0] == 't';
}

static bool wake_worker(struct janitor *j)
{
	if (!wake_one_hungry(j->c->sb, -1))
		return false;
	slot_count(j->c->slot, COUNTER_WAKES, 1);
	return true;
}

static void wake_for_due(void *arg)
{
	wake_worker(arg);
}

/* ---- sleeping: while we hold the lock, inserts notify us (see migration 082) ---- */

static void on_awake(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	(void)result;
	j->sleep_asked = false;
	answered(j, err);
}

static void on_asleep(void *arg, const PGresult *result, const struct err *err);

static bool anyone_hungry(const struct scoreboard *sb)
{
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++)
		if (atomic_load(&sb->slots[i].pid) && atomic_load(&sb->slots[i].hungry))
			return true;
	return false;
}

static void fall_asleep(void *arg)
{
	struct janitor *j = arg;

	if (!j->can_listen || j->asleep || j->sleep_asked || !anyone_hungry(j->c->sb))
		return;
	if (pg_send(j->pg, &statements[STATEMENT_SLEEP], NULL, on_asleep, j) == 0)
		j->sleep_asked = true;
}

/*
 * From here on inserts notify. Those that looked at the lock before us did not: we look at the queue now,
 * and a worker does again a little later for those that had not committed yet.
 */
static void on_asleep(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->sleep_asked = false;
	if (!answered(j, err))
		return;
	if (!truth(result, 0)) {	/* an insert looks at it this very moment, or another pool has it */
		if (++j->sleep_tries < SLEEP_TRIES)
			set_timer(j, &j->sleep_timer, SLEEP_RETRY_MS, fall_asleep);
		else
			atomic_store(&j->c->sb->listening, 1);	/* what is notified for it reaches us too */
		return;
	}
	j->asleep = true;
	atomic_store(&j->c->sb->listening, 1);
	tick(j);
	set_timer(j, &j->late_timer, LATE_COMMIT_MS, wake_for_due);
}

/* The queue has changed since the last look: look again, but not more than once in FRESH_MS. */
static void tick_soon(struct janitor *j)
{
	int64_t age = now_ms() - atomic_load(&j->c->sb->gauges_ms);

	set_timer(j, &j->tick_timer, age < FRESH_MS ? FRESH_MS - age : 0, tick);
}

static void on_notified(void *arg)
{
	struct janitor *j = arg;

	tick_soon(j);		/* it may be for later: then the tick sets a timer for it */
	if (wake_worker(j) || !j->asleep || j->sleep_asked || anyone_hungry(j->c->sb))
		return;
	/* Everyone is at work: spare the inserts their NOTIFY until somebody is idle again. */
	if (pg_send(j->pg, &statements[STATEMENT_AWAKE], NULL, on_awake, j) == 0) {
		j->asleep = false;
		j->sleep_asked = true;
		atomic_store(&j->c->sb->listening, 0);
	}
}

/* ---- the reaper, and jobs of the dead ---- */

static void on_reaped(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;
	int64_t n;

	j->reaping = false;
	if (!answered(j, err) || (n = number(result, 0, 0)) == 0)
		return;
	slot_count(j->c->slot, COUNTER_JOBS_REAPED, (uint64_t)n);
	slot_count(j->c->slot, COUNTER_JOBS_FAILED, (uint64_t)number(result, 1, 0));
	log_warn("the reaper put %" PRId64 " stuck jobs back, %" PRId64 " of them as failed", n,
		 number(result, 1, 0));
	wake_worker(j);
}

static void reap(struct janitor *j)
{
	char stuck[24];
	const char *values[] = { stuck };

	if (j->reaping)
		return;
	snprintf(stuck, sizeof(stuck), "%" PRId64, j->config->queue.stuck_after_ms);
	j->reaping = pg_send(j->pg, &statements[STATEMENT_REAP], values, on_reaped, j) == 0;
}

static void on_recovered(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;
	int64_t n;

	j->recovering = false;
	if (!answered(j, err)) {
		j->deaths_sent = 0;
		return;
	}
	deaths_pop(j->c->sb, j->deaths_sent);
	j->deaths_sent = 0;
	n = number(result, 0, 0);
	if (n > 0) {
		slot_count(j->c->slot, COUNTER_JOBS_RECOVERED, (uint64_t)n);
		slot_count(j->c->slot, COUNTER_JOBS_FAILED, (uint64_t)number(result, 1, 0));
		log_info("%" PRId64 " jobs of dead workers are back in the queue, %" PRId64 " ended as failed", n,
			 number(result, 1, 0));
		wake_worker(j);
	}
	recover_deaths(j);
}

static bool send_recover(struct janitor *j, struct buf params[3])
{
	const char *values[3];
	bool ok = true;

	for (int i = 0; i < 3; i++) {
		pgarray_end(&params[i]);
		ok = ok && buf_ok(&params[i]);
		values[i] = buf_text(&params[i]);
	}
	j->recovering = ok && pg_send(j->pg, &statements[STATEMENT_RECOVER], values, on_recovered, j) == 0;
	for (int i = 0; i < 3; i++)
		buf_free(&params[i]);
	return j->recovering;
}

static void begin_recover(struct buf params[3])
{
	for (int i = 0; i < 3; i++) {
		buf_init(&params[i], PARAM_CAP_BYTES);
		pgarray_begin(&params[i]);
	}
}

/* Everything in the ring of deaths. It is taken off the ring only when the jobs are back. */
static void recover_deaths(struct janitor *j)
{
	struct buf params[3];
	const struct death *d;

	if (j->recovering || !pg_is_ready(j->pg) || !deaths_peek(j->c->sb, 0))
		return;
	begin_recover(params);
	for (j->deaths_sent = 0; (d = deaths_peek(j->c->sb, j->deaths_sent)); j->deaths_sent++) {
		pgarray_text(&params[0], d->identity);
		pgarray_text(&params[1], d->how);
		pgarray_text(&params[2], d->in_hand[0] ? d->in_hand : NULL);
	}
	if (!send_recover(j, params))
		j->deaths_sent = 0;
}

/* Claims of this host by processes that are no more: an earlier pool was killed, or the host restarted. */
static void recover_orphans(struct janitor *j, char *claimants)
{
	struct buf params[3];
	char *save = NULL;
	int n = 0;

	if (j->recovering)
		return;
	begin_recover(params);
	for (char *who = strtok_r(claimants, "\n", &save); who; who = strtok_r(NULL, "\n", &save)) {
		if (!identity_is_dead(who, !j->looked_once))
			continue;
		pgarray_text(&params[0], who);
		pgarray_text(&params[1], "went away with its host or its pool");
		pgarray_text(&params[2], DEATH_NO_BLAME);
		n++;
	}
	j->deaths_sent = 0;
	if (n > 0) {
		send_recover(j, params);
		return;
	}
	for (int i = 0; i < 3; i++)
		buf_free(&params[i]);
}

/* ---- cleaning ---- */

static void clean_jobs(void *arg);
static void clean_cache(void *arg);

static void on_jobs_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->cleaning_jobs = false;
	if (!answered(j, err) || number(result, 0, 0) == 0)
		return;
	slot_count(j->c->slot, COUNTER_JOBS_CLEANED, (uint64_t)number(result, 0, 0));
	set_timer(j, &j->jobs_timer, CLEAN_PAUSE_MS, clean_jobs);
}

static void clean_jobs(void *arg)
{
	struct janitor *j = arg;
	char completed[24], failed[24];
	const char *values[] = { completed, failed, CLEAN_BATCH };

	if (j->cleaning_jobs)
		return;
	snprintf(completed, sizeof(completed), "%" PRId64, j->config->queue.keep_completed_ms);
	snprintf(failed, sizeof(failed), "%" PRId64, j->config->queue.keep_failed_ms);
	j->cleaning_jobs = pg_send(j->pg, &statements[STATEMENT_CLEAN_JOBS], values, on_jobs_cleaned, j) == 0;
}

static void on_cache_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->cleaning_cache = false;
	if (!answered(j, err) || number(result, 0, 0) == 0)
		return;
	slot_count(j->c->slot, COUNTER_CACHE_CLEANED, (uint64_t)number(result, 0, 0));
	set_timer(j, &j->cache_timer, CLEAN_PAUSE_MS, clean_cache);
}

static void clean_cache(void *arg)
{
	struct janitor *j = arg;
	char ttl[24];
	const char *values[] = { ttl, CLEAN_BATCH };

	if (j->cleaning_cache)
		return;
	snprintf(ttl, sizeof(ttl), "%" PRId64, j->config->cache.ttl_ms);
	j->cleaning_cache = pg_send(j->pg, &statements[STATEMENT_CLEAN_CACHE], values, on_cache_cleaned, j) == 0;
}

/* ---- the tick ---- */

/* Columns of statements.c's tick, in its order. */
enum { TICK_DUE, TICK_NEXT_MS, TICK_PENDING, TICK_DUE_COUNT, TICK_PROCESSING, TICK_FAILED, TICK_OLDEST_MS,
       TICK_STUCK, TICK_OLD_JOBS, TICK_OLD_CACHE, TICK_CLAIMANTS };

static void publish_gauges(struct janitor *j, const PGresult *result)
{
	static const struct { enum gauge gauge; int column; } shown[] = {
		{ GAUGE_QUEUE_PENDING, TICK_PENDING }, { GAUGE_QUEUE_DUE, TICK_DUE_COUNT },
		{ GAUGE_QUEUE_PROCESSING, TICK_PROCESSING }, { GAUGE_QUEUE_FAILED, TICK_FAILED },
		{ GAUGE_QUEUE_OLDEST_MS, TICK_OLDEST_MS },
	};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		atomic_store(&j->c->sb->gauges[shown[i].gauge], number(result, shown[i].column, 0));
	atomic_store(&j->c->sb->gauges_ms, now_ms());
}

static void on_tick(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->ticking = false;
	if (!answered(j, err))
		return;
	publish_gauges(j, result);
	if (truth(result, TICK_DUE))
		wake_worker(j);
	if (!PQgetisnull(result, 0, TICK_NEXT_MS))
		set_timer(j, &j->due_timer, number(result, TICK_NEXT_MS, 0), wake_for_due);
	if (truth(result, TICK_STUCK))
		reap(j);
	if (truth(result, TICK_OLD_JOBS))
		clean_jobs(j);
	if (truth(result, TICK_OLD_CACHE))
		clean_cache(j);
	if (!PQgetisnull(result, 0, TICK_CLAIMANTS)) {
		char *claimants = xstrdup(PQgetvalue(result, 0, TICK_CLAIMANTS));

		recover_orphans(j, claimants);
		free(claimants);
	}
	j->looked_once = true;
}

static int64_t tick_every_ms(const struct janitor *j)
{
	return j->config->queue.poll_ms < REAP_EVERY_MS ? j->config->queue.poll_ms : REAP_EVERY_MS;
}

static void tick(void *arg)
{
	struct janitor *j = arg;
	const struct config *config = j->config;
	char numbers[5][24], prefix[80];
	const char *values[] = { numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], prefix };
	const int64_t parameters[] = { tick_every_ms(j), config->queue.stuck_after_ms,
		config->queue.keep_completed_ms, config->queue.keep_failed_ms, config->cache.ttl_ms };

	set_timer(j, &j->tick_timer, tick_every_ms(j), tick);
	recover_deaths(j);
	j->sleep_tries = 0;
	fall_asleep(j);
	if (j->ticking)
		return;
	for (int i = 0; i < 5; i++)
		snprintf(numbers[i], sizeof(numbers[i]), "%" PRId64, parameters[i]);
	identity_host_prefix(prefix, sizeof(prefix));
	j->ticking = pg_send(j->pg, &statements[STATEMENT_TICK], values, on_tick, j) == 0;
}

/* ---- the connection, waking and stopping ---- */

static void on_ready(void *arg)
{
	struct janitor *j = arg;

	child_database_up(j->c);
	tick(j);
}

static void on_down(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct janitor *j = arg;

	j->asleep = j->sleep_asked = false;
	atomic_store(&j->c->sb->listening, 0);
	j->exit_status = child_database_down(j->c, trouble == PG_REFUSED, err->text);
}

/*
 * The supervisor has put a death into the ring, or a worker has run out of jobs: it wants to be told of
 * new ones, and the queue's gauges are no longer true.
 */
static void on_wake(void *arg)
{
	recover_deaths(arg);
	fall_asleep(arg);
	tick_soon(arg);
}

static void on_stop(void *arg, bool at_once)
{
	struct janitor *j = arg;

	j->stopping = true;
	j->stop_by_ms = now_ms() + (at_once ? 0 : LAST_WORK_MS);
	recover_deaths(j);
}

static void check_stop(struct janitor *j)
{
	bool work_left = pg_is_ready(j->pg) && (j->recovering || deaths_peek(j->c->sb, 0));

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
	pg_free(j.pg);
	return j.exit_status;
}
