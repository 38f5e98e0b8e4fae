/*
 * The janitor's sleep lock. Runs in the janitor, which alone LISTENs; it looks at no job, but
 * says when the queue is to be looked at.
 */
#include "listen.h"

#include "pg/pgbinary.h"

#define RETRY_MS 20
#define TRIES 5				/* then another pool must hold it */
#define LATE_COMMIT_MS 100		/* after inserts began to notify a worker looks again */

void listen_init(struct listen *l, struct maintenance *m, bool possible, void (*look)(void *arg),
		 void *arg)
{
	*l = (struct listen){ .m = m, .possible = possible, .look = look, .arg = arg };
}

static void publish(struct listen *l, bool listening)
{
	atomic_store(&l->m->sb->listening, listening);
}

static bool any_waits(const struct scoreboard *sb)
{
	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(sb); i < n; i++)
		if (atomic_load(&sb->slots[i].pid) &&
		    atomic_load(&sb->slots[i].demand) == DEMAND_WAITING)
			return true;
	return false;
}

static void retry(void *arg)
{
	listen_begin_if_any_waits(arg);
}

/*
 * From here on inserts notify. Those that looked at the lock before us did not: we look at the
 * queue now, and a worker does again a little later for those that had not committed yet.
 */
static void on_lock_tried(void *arg, const PGresult *result, const struct err *err)
{
	struct listen *l = arg;

	l->asked = false;
	if (!statement_answered(err))
		return;
	if (!pgvalue_bool(result, 0, 0)) {	/* an insert looks at it, or another pool has it */
		if (++l->tries < TRIES)
			statement_timer(l->m, &l->retry_timer, RETRY_MS, retry, l);
		else
			publish(l, true);	/* what is notified for it reaches us too */
		return;
	}
	l->locked = true;
	publish(l, true);
	l->look(l->arg);
	statement_timer(l->m, &l->late_timer, LATE_COMMIT_MS, statement_wake, l->m);
}

void listen_begin_if_any_waits(struct listen *l)
{
	if (!l->possible || l->locked || l->asked || !any_waits(l->m->sb))
		return;
	l->asked = statement_send(l->m, STATEMENT_SLEEP, on_lock_tried, l);
}

void listen_poll(struct listen *l)
{
	l->tries = 0;
	listen_begin_if_any_waits(l);
}

static void on_unlocked(void *arg, const PGresult *result, const struct err *err)
{
	struct listen *l = arg;

	(void)result;
	l->asked = false;
	statement_answered(err);
}

void listen_end_unless_any_waits(struct listen *l)
{
	if (!l->locked || l->asked || any_waits(l->m->sb))
		return;
	if (!statement_send(l->m, STATEMENT_AWAKE, on_unlocked, l))
		return;
	l->locked = false;
	l->asked = true;
	publish(l, false);
}

void listen_lost(struct listen *l)
{
	l->locked = l->asked = false;
	publish(l, false);
}
