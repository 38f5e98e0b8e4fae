/*
 * The janitor: the pool's one look at the queue each poll, LISTEN, waking idle workers, jobs of dead
 * workers and lost hosts, cleaning. One connection, in one child the supervisor restarts like any
 * other. It claims nothing and rates nothing; if it dies, workers go on and look for themselves.
 */
#include "child.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "clock.h"
#include "floor.h"
#include "identity.h"
#include "log.h"
#include "pg.h"
#include "pgbinary.h"
#include "restart.h"
#include "statements.h"
#include "wake.h"

#define REAP_EVERY_MS 10000		/* the reaper looks at least so often, however long the poll */
#define CLEAN_BATCH 500
#define CLEAN_PAUSE_MS 50		/* between batches, so that claims go first */
#define CACHE_PAGES 200			/* of the cache looked through at once */
#define CACHE_WALKS 48			/* through the cache in the time that an entry lives, */
#define CACHE_WALK_MAX_MS 600000	/* and no longer than this from one to the next */
#define SLEEP_RETRY_MS 20
#define SLEEP_TRIES 5			/* then the next poll tries again: another pool holds the lock */
#define LATE_COMMIT_MS 100		/* look again so long after falling asleep */
#define FRESH_MS 1000			/* the gauges need no second look within so long */
#define LAST_WORK_MS 1500		/* when stopped with dead workers' jobs still to be put back */
#define PARAM_CAP_BYTES (1u << 20)
#define MAX_PARAMS 5

struct janitor {
	struct child *c;
	const struct config *config;
	struct pg *pg;
	struct pg_counts counted;
	struct buf params[MAX_PARAMS];	/* of the statement being sent */
	bool can_listen;		/* the connection is direct, so LISTEN and the sleep lock work */
	bool asleep;			/* we hold the sleep lock */
	bool sleep_asked;		/* an answer about the lock is due */
	int sleep_tries;
	bool ticking, recovering, cleaning_jobs, cleaning_cache, reaping;
	int64_t cache_page, cache_end;	/* where the walk through the cache is, and how far it goes */
	unsigned deaths_sent;		/* of the ring, in the recovery under way */
	uint64_t floors_epoch;		/* before the tick under way */
	struct floors known;		/* as of the last tick */
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

/* All counts and spans are bigint; a null is 0. */
static int64_t number(const PGresult *result, int column)
{
	return pgvalue_int8(result, 0, column);
}

static bool truth(const PGresult *result, int column)
{
	return pgvalue_bool(result, 0, column);
}

/* The parameters, empty, for a statement to fill and send at once. */
static struct buf *begin_params(struct janitor *j)
{
	for (int i = 0; i < MAX_PARAMS; i++) {
		buf_free(&j->params[i]);
		buf_init(&j->params[i], PARAM_CAP_BYTES);
	}
	return j->params;
}

static bool send(struct janitor *j, enum statement_id id, pg_answer_fn *answer)
{
	for (int i = 0; i < statements[id].nparams; i++)
		if (!buf_ok(&j->params[i]))
			return false;
	return pg_send(j->pg, &statements[id], j->params, answer, j) == 0;
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

static bool anyone_dry(const struct scoreboard *sb)
{
	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(sb); i < n; i++)
		if (atomic_load(&sb->slots[i].pid) && atomic_load(&sb->slots[i].hungry) == HUNGER_DRY)
			return true;
	return false;
}

static void fall_asleep(void *arg)
{
	struct janitor *j = arg;

	if (!j->can_listen || j->asleep || j->sleep_asked || !anyone_dry(j->c->sb))
		return;
	j->sleep_asked = send(j, STATEMENT_SLEEP, on_asleep);
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

/* When everyone is at work: spares the inserts their NOTIFY until somebody is idle again. */
static void get_up(struct janitor *j)
{
	if (!j->asleep || j->sleep_asked || anyone_dry(j->c->sb))
		return;
	if (send(j, STATEMENT_AWAKE, on_awake)) {
		j->asleep = false;
		j->sleep_asked = true;
		atomic_store(&j->c->sb->listening, 0);
	}
}

static void on_notified(void *arg)
{
	struct janitor *j = arg;

	tick_soon(j);		/* it may be for later: then the tick sets a timer for it */
	wake_worker(j);
	get_up(j);
}

/* ---- the reaper, and jobs of the dead ---- */

static void on_reaped(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;
	int64_t n;

	j->reaping = false;
	if (!answered(j, err) || (n = number(result, 0)) == 0)
		return;
	slot_count(j->c->slot, COUNTER_JOBS_REAPED, (uint64_t)n);
	slot_count(j->c->slot, COUNTER_JOBS_FAILED, (uint64_t)number(result, 1));
	floors_forget(j->c->sb);
	log_warn("the reaper put %" PRId64 " stuck jobs back, %" PRId64 " of them as failed", n,
		 number(result, 1));
	wake_worker(j);
}

static void reap(struct janitor *j)
{
	char prefix[IDENTITY_SIZE];
	struct buf *p;

	if (j->reaping)
		return;
	p = begin_params(j);
	pgbinary_int8(&p[0], j->config->queue.stuck_after_ms);
	identity_host_prefix(prefix, sizeof(prefix));
	buf_str(&p[1], prefix);
	j->reaping = send(j, STATEMENT_REAP, on_reaped);
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
	n = number(result, 0);
	if (n > 0) {
		floors_forget(j->c->sb);
		slot_count(j->c->slot, COUNTER_JOBS_RECOVERED, (uint64_t)n);
		slot_count(j->c->slot, COUNTER_JOBS_FAILED, (uint64_t)number(result, 1));
		log_info("%" PRId64 " jobs of dead workers are back in the queue, %" PRId64 " ended as failed", n,
			 number(result, 1));
		wake_worker(j);
	}
	recover_deaths(j);
}

static struct buf *begin_recover(struct janitor *j)
{
	struct buf *p = begin_params(j);

	pgitems_begin(&p[0], PG_TEXT);
	pgitems_begin(&p[1], PG_TEXT);
	pgitems_begin(&p[2], PG_UUID);
	pgitems_begin(&p[3], PG_TEXT);
	pgitems_begin(&p[4], PG_BOOL);
	return p;
}

static void put_dead(struct buf *p, const char *identity, const struct death *d)
{
	char line[16];

	snprintf(line, sizeof(line), "%d", (int)d->line);
	pgitem_text(&p[0], identity);
	pgitem_text(&p[1], d->how);
	pgitem_uuid(&p[2], d->in_hand[0] ? d->in_hand : NULL);
	pgitem_text(&p[3], d->line == BREADCRUMB_NO_LINE ? NULL : line);
	pgitem_bool(&p[4], d->outside);
}

/* Everything in the ring of deaths. It is taken off the ring only when the jobs are back. */
static void recover_deaths(struct janitor *j)
{
	const struct death *d;
	struct buf *p;

	if (j->recovering || !pg_is_ready(j->pg) || !deaths_peek(j->c->sb, 0))
		return;
	p = begin_recover(j);
	for (j->deaths_sent = 0; (d = deaths_peek(j->c->sb, j->deaths_sent)); j->deaths_sent++)
		put_dead(p, d->identity, d);
	j->recovering = send(j, STATEMENT_RECOVER, on_recovered);
	if (!j->recovering)
		j->deaths_sent = 0;
}

/* Claims of this host by processes that are no more: an earlier pool was killed, or the host restarted. */
static void recover_orphans(struct janitor *j, char *claimants)
{
	static const struct death lost = { .line = BREADCRUMB_NO_LINE, .outside = true,
					   .how = "went away with its host or its pool" };
	struct buf *p;
	char *save = NULL;
	int n = 0;

	if (j->recovering)
		return;
	p = begin_recover(j);
	for (char *who = strtok_r(claimants, "\n", &save); who; who = strtok_r(NULL, "\n", &save)) {
		if (!identity_is_dead(who, !j->looked_once))
			continue;
		put_dead(p, who, &lost);
		n++;
	}
	j->deaths_sent = 0;
	if (n > 0)
		j->recovering = send(j, STATEMENT_RECOVER, on_recovered);
}

/* ---- cleaning ---- */

static void clean_jobs(void *arg);
static void clean_cache(void *arg);

static void on_jobs_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->cleaning_jobs = false;
	if (!answered(j, err) || number(result, 0) == 0)
		return;
	slot_count(j->c->slot, COUNTER_JOBS_CLEANED, (uint64_t)number(result, 0));
	set_timer(j, &j->jobs_timer, CLEAN_PAUSE_MS, clean_jobs);
}

static void clean_jobs(void *arg)
{
	struct janitor *j = arg;
	struct buf *p;

	if (j->cleaning_jobs)
		return;
	p = begin_params(j);
	pgbinary_int8(&p[0], j->config->queue.keep_completed_ms);
	pgbinary_int8(&p[1], j->config->queue.keep_failed_ms);
	pgbinary_int4(&p[2], CLEAN_BATCH);
	j->cleaning_jobs = send(j, STATEMENT_CLEAN_JOBS, on_jobs_cleaned);
}

/* Expired entries are not used, only in the way: no need to look for them often. */
static int64_t until_next_walk(const struct config *config)
{
	int64_t ms = config->cache.ttl_ms / CACHE_WALKS;

	if (ms > CACHE_WALK_MAX_MS)
		ms = CACHE_WALK_MAX_MS;
	return ms > config->queue.poll_ms ? ms : config->queue.poll_ms;
}

static void on_cache_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->cleaning_cache = false;
	if (!answered(j, err)) {
		set_timer(j, &j->cache_timer, j->config->queue.poll_ms, clean_cache);
		return;
	}
	slot_count(j->c->slot, COUNTER_CACHE_CLEANED, (uint64_t)number(result, 0));
	if (!truth(result, 2)) {	/* another pool's turn */
		set_timer(j, &j->cache_timer, j->config->queue.poll_ms, clean_cache);
		return;
	}
	if (j->cache_page == 0)		/* what is added meanwhile is young */
		j->cache_end = number(result, 1);
	j->cache_page += CACHE_PAGES;
	if (j->cache_page < j->cache_end) {
		set_timer(j, &j->cache_timer, CLEAN_PAUSE_MS, clean_cache);
		return;
	}
	j->cache_page = 0;
	set_timer(j, &j->cache_timer, until_next_walk(j->config), clean_cache);
}

static void clean_cache(void *arg)
{
	struct janitor *j = arg;
	struct buf *p;

	if (j->cleaning_cache || j->config->cache.ttl_ms == 0)
		return;
	p = begin_params(j);
	pgbinary_int8(&p[0], j->config->cache.ttl_ms);
	pgbinary_int8(&p[1], j->cache_page);
	pgbinary_int8(&p[2], j->cache_page + CACHE_PAGES);
	j->cleaning_cache = send(j, STATEMENT_CLEAN_CACHE, on_cache_cleaned);
}

/* ---- the tick ---- */

/* Columns of statements.c's tick, in its order. */
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
		atomic_store(&j->c->sb->gauges[shown[i].gauge], number(result, shown[i].column));
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
	if (!answered(j, err))
		return;
	publish_gauges(j, result);
	renew_floors(j, result);
	if (truth(result, TICK_DUE))
		wake_worker(j);
	if (!PQgetisnull(result, 0, TICK_NEXT_MS))
		set_timer(j, &j->due_timer, number(result, TICK_NEXT_MS), wake_for_due);
	if (truth(result, TICK_STUCK))
		reap(j);
	if (truth(result, TICK_OLD_JOBS))
		clean_jobs(j);
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
	char prefix[80];
	struct buf *p;
	const int64_t parameters[] = { tick_every_ms(j), config->queue.stuck_after_ms,
		config->queue.keep_completed_ms, config->queue.keep_failed_ms };

	set_timer(j, &j->tick_timer, tick_every_ms(j), tick);
	recover_deaths(j);
	j->sleep_tries = 0;
	fall_asleep(j);
	if (j->ticking)
		return;
	p = begin_params(j);
	for (int i = 0; i < 4; i++)
		pgbinary_int8(&p[i], parameters[i]);
	identity_host_prefix(prefix, sizeof(prefix));
	buf_str(&p[4], prefix);
	j->floors_epoch = atomic_load(&j->c->sb->floors_epoch);
	j->ticking = send(j, STATEMENT_TICK, on_tick);
}

/* ---- the connection, waking and stopping ---- */

static void on_ready(void *arg)
{
	struct janitor *j = arg;

	child_database_up(j->c);
	tick(j);
	if (!loop_timer_is_set(&j->cache_timer))
		set_timer(j, &j->cache_timer, j->config->queue.poll_ms, clean_cache);
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
	recover_deaths(arg);
	fall_asleep(arg);
	get_up(arg);
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
	begin_params(&j);
	pg_free(j.pg);
	return j.exit_status;
}
