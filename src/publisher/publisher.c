/*
 * The publisher: carries what was settled to those who wait for it, over its channels. One
 * connection, in one child that the supervisor starts where the janitor has found something to
 * publish, and restarts like any other. Here are its life, its connection, and how it learns of
 * sessions that have moved. It claims nothing, rates nothing, and takes no lock that a settlement
 * waits for; if it dies, workers go on, and the next one looks in the tables for what it missed.
 */
#include "publisher/publisher_role.h"

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "process/child.h"
#include "channel.h"

#define LAST_WORK_MS 4000	/* when stopped, for what is still to be carried */
#define LAST_TURN_MS 20		/* so often it is looked whether it is */
#define TAKE_EVERY_MS 20	/* news is taken no more often, however much there is */

static const struct channel_ops *const channels[CHANNEL_COUNT] = {
	&mirror_channel, &webhooks_channel,
};

struct publisher {
	struct child *c;
	struct publishing p;
	void *state[CHANNEL_COUNT];	/* of each channel; NULL: it is not wanted */
	uint32_t missed[SLOT_COUNT];	/* by each worker, as of the last look */
	uint32_t lost, elsewhere;	/* of the news desk, likewise */
	struct loop_timer take_timer;	/* until news is taken again */
	struct pg_counts counted;	/* statements and connections in the slot's counters */
	bool away;			/* the database, as far as it is known */
	int64_t stop_by_ms;
	int exit_status;		/* -1 while it lives */
};

#define EACH(w, i) \
	for (int i = 0; i < CHANNEL_COUNT; i++) \
		if ((w)->state[i])

/* ---- news ---- */

static void tell_moved(struct publisher *w, const unsigned char session[UUID_BYTES])
{
	EACH(w, i)
		channels[i]->moved(w->state[i], session);
}

static void look_in_tables(struct publisher *w)
{
	EACH(w, i)
		channels[i]->look(w->state[i]);
}

/* Whether something may have moved of which there is no news. */
static bool missed_any(struct publisher *w)
{
	uint32_t lost = atomic_load(&w->p.sb->news_desk.lost);
	uint32_t elsewhere = atomic_load(&w->p.sb->news_desk.elsewhere);
	bool any = lost != w->lost || elsewhere != w->elsewhere;

	w->lost = lost;
	w->elsewhere = elsewhere;
	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(w->p.sb); i < n; i++) {
		uint32_t missed = atomic_load(&w->p.sb->slots[i].news.missed);

		any |= missed != w->missed[i];
		w->missed[i] = missed;
	}
	return any;
}

/* A ring at a time and no more than it holds, so that one busy worker is not all there is. */
static int take_all(struct publisher *w)
{
	unsigned char session[UUID_BYTES];
	int taken = 0;

	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(w->p.sb); i < n; i++) {
		struct news *news = &w->p.sb->slots[i].news;

		for (int k = 0; k < NEWS_MAX && news_take(news, session); k++, taken++)
			tell_moved(w, session);
	}
	if (missed_any(w))
		look_in_tables(w);
	return taken;
}

/*
 * It sleeps only when nothing is left: who adds news after it said so wakes it, and what was added
 * just before is taken here.
 */
static void take_news(void *arg)
{
	struct publisher *w = arg;
	bool more = take_all(w) > 0;

	if (!more) {
		atomic_store(&w->p.sb->news_desk.sleeping, 1);
		more = take_all(w) > 0;
	}
	if (more) {
		atomic_store(&w->p.sb->news_desk.sleeping, 0);
		publishing_timer(&w->p, &w->take_timer, TAKE_EVERY_MS, take_news, w);
	}
}

static void on_wake(void *arg)
{
	struct publisher *w = arg;

	if (!loop_timer_is_set(&w->take_timer))
		take_news(w);
}

/* ---- the connection, and stopping ---- */

static void on_ready(void *arg)
{
	struct publisher *w = arg;

	child_database_up(w->c);
	w->away = false;
	EACH(w, i)
		channels[i]->ready(w->state[i]);
}

/* It never ends the pool: whether the database is there is for the others to say. */
static void on_down(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct publisher *w = arg;

	child_database_down(w->c, trouble == PG_REFUSED, err->text);
	w->away = true;
}

static void on_stop(void *arg, bool at_once)
{
	struct publisher *w = arg;
	int64_t by = now_ms() + (at_once ? 0 : LAST_WORK_MS);

	if (!w->p.stopping || by < w->stop_by_ms)
		w->stop_by_ms = by;
	w->p.stopping = true;
	take_all(w);
}

static bool is_idle(struct publisher *w)
{
	bool idle = pg_is_ready(w->p.pg);

	EACH(w, i)
		idle = idle && channels[i]->is_idle(w->state[i]);
	return idle;
}

static void check_stop(struct publisher *w)
{
	if (w->away || now_ms() >= w->stop_by_ms || (take_all(w) == 0 && is_idle(w)))
		w->exit_status = EXIT_STOPPED;
}

static void count_statements(struct publisher *w)
{
	struct pg_counts now = pg_counts(w->p.pg), before = w->counted;

	slot_count(w->c->slot, COUNTER_STATEMENTS, now.statements - before.statements);
	slot_count(w->c->slot, COUNTER_CONNECTS, now.connects - before.connects);
	slot_count(w->c->slot, COUNTER_CONNECTIONS_LOST, now.lost - before.lost);
	w->counted = now;
}

/* ---- life ---- */

static struct pg *connect_publisher(struct publisher *w)
{
	static const struct pg_events events = { on_ready, on_down, NULL };
	const struct config *config = w->c->config;
	struct pg_options options = {
		.conninfo = config->database.conninfo,
		.application_name = "gradingd publisher",
		.session = config->database.pool_mode == POOL_MODE_SESSION,
		.brief = true,
		.statements = statements + STATEMENT_FIRST_PUBLISHER,
		.nstatements = STATEMENT_COUNT - STATEMENT_FIRST_PUBLISHER,
		.schema_version = SCHEMA_VERSION,
	};

	return pg_new(w->c->loop, &options, &events, w);
}

/* What moved before it was there is looked for when the connection is (channel_ops.ready). */
static void open_channels(struct publisher *w)
{
	uint32_t wanted = atomic_load(&w->p.sb->channels);

	missed_any(w);
	for (int i = 0; i < CHANNEL_COUNT; i++)
		if (wanted & 1u << channels[i]->bit)
			w->state[i] = channels[i]->open(&w->p);
}

static enum slot_state state_of(const struct publisher *w)
{
	if (w->p.stopping)
		return SLOT_DRAINING;
	return pg_is_ready(w->p.pg) ? SLOT_IDLE : SLOT_CONNECTING;
}

int publisher_main(struct child *c)
{
	struct publisher w = {
		.c = c, .exit_status = -1,
		.p = { .loop = c->loop, .config = c->config, .sb = c->sb, .slot = c->slot },
	};

	c->on_wake = on_wake;
	c->on_stop = on_stop;
	c->arg = &w;
	open_channels(&w);
	w.p.pg = connect_publisher(&w);
	take_news(&w);
	while (w.exit_status == -1) {
		child_state(c, state_of(&w));
		count_statements(&w);
		child_turn(c, w.p.stopping ? LAST_TURN_MS : -1);
		if (w.p.stopping && w.exit_status == -1)
			check_stop(&w);
	}
	count_statements(&w);
	EACH(&w, i)
		channels[i]->close(w.state[i]);
	pg_free(w.p.pg);
	publishing_end(&w.p);
	return w.exit_status;
}
