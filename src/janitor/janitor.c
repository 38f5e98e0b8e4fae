/*
 * The janitor: the pool's one look at the queue each poll, and what follows from it. One
 * connection, in one child that the supervisor restarts like any other. Here are its life, its
 * connection, and who of its parts does what when; no part knows another. It claims nothing and
 * rates nothing; if it dies, workers go on and look for themselves.
 */
#include "janitor/janitor_role.h"

#include "base/clock.h"
#include "base/exit_code.h"
#include "process/child.h"
#include "clean.h"
#include "clean_cache.h"
#include "clean_webhooks.h"
#include "heralds.h"
#include "listen.h"
#include "reap.h"
#include "recover.h"
#include "sessions.h"
#include "tenants.h"
#include "statement.h"
#include "tick.h"

#define LAST_WORK_MS 1500	/* when stopped with dead workers' jobs still to be put back */
#define LAST_TURN_MS 50		/* so often it is looked whether they are */

struct janitor {
	struct child *c;
	struct maintenance m;		/* what the parts share, the connection among it */
	struct tick tick;
	struct listen listen;
	struct recover recover;
	struct reap reap;
	struct clean clean;
	struct clean_cache clean_cache;
	struct clean_webhooks clean_webhooks;
	struct sessions sessions;
	struct heralds heralds;
	struct tenants tenants;
	struct loop_timer due_timer;	/* the next job that is for later is due */
	struct pg_counts counted;	/* statements and connections in the slot's counters */
	bool stopping;
	int64_t stop_by_ms;
	int exit_status;		/* -1 while it lives */
};

/* ---- what the tick reports ---- */

static void on_looking(void *arg)
{
	struct janitor *j = arg;

	recover_deaths(&j->recover);
	listen_poll(&j->listen);
}

static void on_seen(void *arg, const struct tick_report *seen)
{
	struct janitor *j = arg;

	if (seen->due)
		statement_wake(&j->m);
	if (seen->next_ms >= 0)
		statement_timer(&j->m, &j->due_timer, seen->next_ms, statement_wake, &j->m);
	if (seen->stuck)
		reap_stuck(&j->reap);
	if (seen->old_jobs)
		clean_jobs(&j->clean);
	recover_orphans(&j->recover, seen->claimants);
	heralds_heed(&j->heralds, seen->claims, seen->cursors);
}

/* ---- the connection, waking and stopping ---- */

static void on_notified(void *arg)
{
	struct janitor *j = arg;

	tick_soon(&j->tick);	/* it may be for later: then the tick sets a timer for it */
	statement_wake(&j->m);
	listen_end_unless_any_waits(&j->listen);
}

static void on_ready(void *arg)
{
	struct janitor *j = arg;

	child_database_up(j->c);
	tick_look(&j->tick);
	clean_cache_begin(&j->clean_cache);
	clean_webhooks_begin(&j->clean_webhooks);
	sessions_tell(&j->sessions);
	sessions_begin_cleaning(&j->sessions);
	heralds_look(&j->heralds);
	tenants_ask(&j->tenants);
}

static void on_down(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct janitor *j = arg;

	listen_lost(&j->listen);
	j->exit_status = child_database_down(j->c, trouble == PG_REFUSED, err->text);
}

/*
 * The supervisor has put a death into the ring, or a worker has run out of jobs (it wants to be
 * told of new ones) or found many. The queue's gauges are no longer true.
 */
static void on_wake(void *arg)
{
	struct janitor *j = arg;

	recover_deaths(&j->recover);
	listen_begin_if_any_waits(&j->listen);
	listen_end_unless_any_waits(&j->listen);
	tick_soon(&j->tick);
}

static void on_stop(void *arg, bool at_once)
{
	struct janitor *j = arg;

	j->stopping = true;
	j->stop_by_ms = now_ms() + (at_once ? 0 : LAST_WORK_MS);
	recover_deaths(&j->recover);
}

static void check_stop(struct janitor *j)
{
	bool work_left = pg_is_ready(j->m.pg) && recover_is_at_work(&j->recover);

	if (!work_left || now_ms() >= j->stop_by_ms)
		j->exit_status = EXIT_STOPPED;
}

static void count_statements(struct janitor *j)
{
	struct pg_counts now = pg_counts(j->m.pg), before = j->counted;

	slot_count(j->c->slot, COUNTER_STATEMENTS, now.statements - before.statements);
	slot_count(j->c->slot, COUNTER_CONNECTS, now.connects - before.connects);
	slot_count(j->c->slot, COUNTER_CONNECTIONS_LOST, now.lost - before.lost);
	j->counted = now;
}

/* ---- setting up ---- */

/* A connection of its own for listening, where the other one is a pooler's. */
static bool is_direct(const struct config *config)
{
	return config->database.listen_conninfo[0] != '\0';
}

/* LISTEN and locks of the session last on it. */
static bool is_session(const struct config *config)
{
	return is_direct(config) || config->database.pool_mode == POOL_MODE_SESSION;
}

static struct pg *connect_janitor(struct janitor *j)
{
	static const struct pg_events events = { on_ready, on_down, on_notified };
	const struct config *config = j->c->config;
	bool session = is_session(config);
	struct pg_options options = {
		.conninfo = is_direct(config) ? config->database.listen_conninfo
					      : config->database.conninfo,
		.application_name = "gradingd janitor",
		.session = session,
		.listen = session ? NOTIFY_CHANNEL : NULL,
		.statements = statements + STATEMENT_TICK,
		.nstatements = STATEMENT_FIRST_PUBLISHER - STATEMENT_TICK,
		.schema_version = SCHEMA_VERSION,
	};

	return pg_new(j->c->loop, &options, &events, j);
}

static void init(struct janitor *j, struct child *c)
{
	static const struct tick_events events = { on_looking, on_seen };

	*j = (struct janitor){ .c = c, .exit_status = -1 };
	j->m = (struct maintenance){
		.loop = c->loop, .config = c->config, .sb = c->sb, .slot = c->slot
	};
	tick_init(&j->tick, &j->m, &events, j);
	listen_init(&j->listen, &j->m, is_session(c->config), tick_look, &j->tick);
	recover_init(&j->recover, &j->m);
	reap_init(&j->reap, &j->m);
	clean_init(&j->clean, &j->m);
	clean_cache_init(&j->clean_cache, &j->m);
	clean_webhooks_init(&j->clean_webhooks, &j->m);
	sessions_init(&j->sessions, &j->m);
	heralds_init(&j->heralds, &j->m);
	tenants_init(&j->tenants, &j->m);
	listen_lost(&j->listen);	/* a forerunner's lock went with its connection */
	c->on_wake = on_wake;
	c->on_stop = on_stop;
	c->arg = j;
	j->m.pg = connect_janitor(j);
}

static enum slot_state state_of(const struct janitor *j)
{
	if (j->stopping)
		return SLOT_DRAINING;
	return pg_is_ready(j->m.pg) ? SLOT_IDLE : SLOT_CONNECTING;
}

int janitor_main(struct child *c)
{
	struct janitor j;

	init(&j, c);
	while (j.exit_status == -1) {
		child_state(c, state_of(&j));
		count_statements(&j);
		child_turn(c, j.stopping ? LAST_TURN_MS : -1);
		if (j.stopping && j.exit_status == -1)
			check_stop(&j);
	}
	count_statements(&j);
	pg_free(j.m.pg);
	recover_free(&j.recover);
	reap_free(&j.reap);
	clean_free(&j.clean);
	clean_cache_free(&j.clean_cache);
	statement_free(&j.m);
	return j.exit_status;
}
