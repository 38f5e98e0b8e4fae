/*
 * The janitor's sleep: while it holds the sleep lock, inserts notify (see migration 082), so that idle workers
 * hear of new jobs at once; while everyone is at work it gives the lock back and spares them that. It looks at
 * no job: the tick does.
 */
#include "janitor.h"

#include "pg/pgbinary.h"

#define SLEEP_RETRY_MS 20
#define SLEEP_TRIES 5			/* then the next poll tries again: another pool holds the lock */
#define LATE_COMMIT_MS 100		/* look again so long after falling asleep */

static void on_awake(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	(void)result;
	j->sleep_asked = false;
	janitor_answered(j, err);
}

static void on_asleep(void *arg, const PGresult *result, const struct err *err);

static bool anyone_dry(const struct scoreboard *sb)
{
	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(sb); i < n; i++)
		if (atomic_load(&sb->slots[i].pid) && atomic_load(&sb->slots[i].demand) == DEMAND_WAITING)
			return true;
	return false;
}

void janitor_fall_asleep(void *arg)
{
	struct janitor *j = arg;

	if (!j->can_listen || j->asleep || j->sleep_asked || !anyone_dry(j->c->sb))
		return;
	j->sleep_asked = janitor_send(j, STATEMENT_SLEEP, on_asleep);
}

/*
 * From here on inserts notify. Those that looked at the lock before us did not: we look at the queue now,
 * and a worker does again a little later for those that had not committed yet.
 */
static void on_asleep(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->sleep_asked = false;
	if (!janitor_answered(j, err))
		return;
	if (!pgvalue_bool(result, 0, 0)) {	/* an insert looks at it this very moment, or another pool has it */
		if (++j->sleep_tries < SLEEP_TRIES)
			janitor_set_timer(j, &j->sleep_timer, SLEEP_RETRY_MS, janitor_fall_asleep);
		else
			atomic_store(&j->c->sb->listening, 1);	/* what is notified for it reaches us too */
		return;
	}
	j->asleep = true;
	atomic_store(&j->c->sb->listening, 1);
	janitor_tick(j);
	janitor_set_timer(j, &j->late_timer, LATE_COMMIT_MS, janitor_wake_for_due);
}

/* When everyone is at work: spares the inserts their NOTIFY until somebody is idle again. */
void janitor_get_up(struct janitor *j)
{
	if (!j->asleep || j->sleep_asked || anyone_dry(j->c->sb))
		return;
	if (janitor_send(j, STATEMENT_AWAKE, on_awake)) {
		j->asleep = false;
		j->sleep_asked = true;
		atomic_store(&j->c->sb->listening, 0);
	}
}
