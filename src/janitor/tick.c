/*
 * The janitor's look at the queue. One statement a poll tells all that anybody in the pool wants
 * to know of it; whatever follows from that is for others to do (janitor.c).
 */
#include "tick.h"

#include <string.h>

#include "base/clock.h"
#include "base/saturate.h"
#include "pg/pgbinary.h"
#include "process/identity.h"

#define TICK_MAX_MS 10000	/* the reaper looks at least so often, however long the poll */
#define FRESH_MS 1000		/* the gauges need no second look within so long */

/* Columns of sql/tick.sql, in its order. */
enum {
	TICK_DUE, TICK_NEXT_MS, TICK_PENDING, TICK_DUE_COUNT, TICK_PROCESSING, TICK_FAILED,
	TICK_OLDEST_MS, TICK_STUCK, TICK_OLD_JOBS, TICK_CLAIMANTS, TICK_NOW, TICK_PRIORITY,
	TICK_AVAILABLE_AT, TICK_ID, TICK_CLAIMS, TICK_CURSORS, TICK_TURN
};

void tick_init(struct tick *t, struct maintenance *m, const struct tick_events *events, void *arg)
{
	*t = (struct tick){ .m = m, .events = events, .arg = arg };
}

static void publish_gauges(struct scoreboard *sb, const PGresult *result)
{
	static const struct { enum gauge gauge; int column; } shown[] = {
		{ GAUGE_QUEUE_PENDING, TICK_PENDING }, { GAUGE_QUEUE_DUE, TICK_DUE_COUNT },
		{ GAUGE_QUEUE_PROCESSING, TICK_PROCESSING }, { GAUGE_QUEUE_FAILED, TICK_FAILED },
		{ GAUGE_QUEUE_OLDEST_MS, TICK_OLDEST_MS },
	};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		atomic_store(&sb->gauges[shown[i].gauge], pgvalue_int8(result, 0, shown[i].column));
	atomic_store(&sb->gauges_ms, now_ms());
}

/*
 * Of a class that has jobs (a row each) claims begin at the first one or, if that is for later,
 * now; of one that had some lately (and of the usual one), now.
 */
void tick_read_floors(const PGresult *result, const struct floors *known, struct floors *found)
{
	int64_t now = pgvalue_int8(result, 0, TICK_NOW);

	*found = (struct floors){ .n = 0 };
	for (int row = 0; row < PQntuples(result); row++) {
		struct floor f = {
			.priority = pgvalue_int4(result, row, TICK_PRIORITY),
			.turn = pgvalue_int4(result, row, TICK_TURN), .available_at = now
		};

		if (PQgetlength(result, row, TICK_ID) != UUID_BYTES)
			break;		/* nothing is pending */
		if (pgvalue_int8(result, row, TICK_AVAILABLE_AT) < now) {
			f.available_at = pgvalue_int8(result, row, TICK_AVAILABLE_AT);
			memcpy(f.id, PQgetvalue(result, row, TICK_ID), UUID_BYTES);
		}
		floors_add(found, &f);
	}
	floors_add(found, &(struct floor){ .priority = 0, .available_at = now });
	for (int i = 0; i < known->n; i++) {
		struct floor f = known->at[i];

		f.available_at = now;
		memset(f.id, 0, sizeof(f.id));
		floors_add(found, &f);
	}
}

void tick_read_report(const PGresult *result, struct tick_report *report)
{
	bool any_next = !PQgetisnull(result, 0, TICK_NEXT_MS);
	bool any_claimant = !PQgetisnull(result, 0, TICK_CLAIMANTS);

	*report = (struct tick_report){
		.due = pgvalue_bool(result, 0, TICK_DUE),
		.next_ms = any_next ? pgvalue_int8(result, 0, TICK_NEXT_MS) : -1,
		.stuck = pgvalue_bool(result, 0, TICK_STUCK),
		.old_jobs = pgvalue_bool(result, 0, TICK_OLD_JOBS),
		.claims = pgvalue_int8(result, 0, TICK_CLAIMS),
		.cursors = pgvalue_int8(result, 0, TICK_CURSORS),
		.claimants = any_claimant ? PQgetvalue(result, 0, TICK_CLAIMANTS) : NULL,
	};
}

static void on_looked(void *arg, const PGresult *result, const struct err *err)
{
	struct tick *t = arg;
	struct tick_report report;
	struct floors found;

	t->looking = false;
	if (!statement_answered(err))
		return;
	publish_gauges(t->m->sb, result);
	tick_read_floors(result, &t->known, &found);
	floors_renew(t->m->sb, t->floors_epoch, &found, now_ms());
	t->known = found;
	tick_read_report(result, &report);
	t->events->seen(t->arg, &report);
}

static int64_t every_ms(const struct tick *t)
{
	int64_t poll_ms = t->m->config->queue.poll_ms;

	return poll_ms < TICK_MAX_MS ? poll_ms : TICK_MAX_MS;
}

static void put_params(const struct tick *t, struct buf *p)
{
	const struct config *config = t->m->config;
	char prefix[IDENTITY_SIZE];

	pgbinary_int8(&p[0], every_ms(t));
	pgbinary_int8(&p[1], config->queue.stuck_after_ms);
	pgbinary_int8(&p[2], config->queue.keep_completed_ms);
	pgbinary_int8(&p[3], config->queue.keep_failed_ms);
	identity_host_prefix(prefix, sizeof(prefix));
	buf_str(&p[4], prefix);
}

void tick_look(void *arg)
{
	struct tick *t = arg;

	statement_timer(t->m, &t->timer, every_ms(t), tick_look, t);
	t->events->looking(t->arg);
	if (t->looking)
		return;
	put_params(t, statement_begin(t->m));
	t->floors_epoch = atomic_load(&t->m->sb->floors_epoch);
	t->looking = statement_send(t->m, STATEMENT_TICK, on_looked, t);
}

void tick_soon(struct tick *t)
{
	int64_t age = sat_sub(now_ms(), atomic_load(&t->m->sb->gauges_ms));

	statement_timer(t->m, &t->timer, age < FRESH_MS ? FRESH_MS - age : 0, tick_look, t);
}
