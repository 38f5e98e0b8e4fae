/*
 * The janitor's state, shared by the files it is made of: janitor.c (the tick, its connection and end),
 * listen.c (when inserts notify), recover.c (jobs whose worker is gone), clean.c.
 */
#ifndef JANITOR_H
#define JANITOR_H

#include "pg/pg.h"
#include "process/child.h"
#include "queue/statements.h"
#include "scoreboard/floor.h"


struct janitor {
	struct child *c;
	const struct config *config;
	struct pg *pg;
	struct pg_counts counted;
	struct buf params[STATEMENT_MAX_PARAMS];	/* of the statement being sent */

	/* listen.c's */
	bool can_listen;		/* the connection is direct, so LISTEN and the sleep lock work */
	bool asleep;			/* we hold the sleep lock */
	bool sleep_asked;		/* an answer about the lock is due */
	int sleep_tries;
	struct loop_timer sleep_timer, late_timer;

	/* recover.c's */
	bool recovering, reaping;	/* a statement is on its way */
	bool impatient;			/* the last recovery waited in vain for a lock: pass over what is locked */
	unsigned deaths_sent;		/* of the ring, in the recovery under way */
	bool looked_once;		/* for what this host left behind before its last boot */

	/* clean.c's */
	bool cleaning_jobs, cleaning_cache;	/* a statement is on its way */
	int64_t cache_page, cache_end;	/* where the walk through the cache is, and how far it goes */
	struct loop_timer jobs_timer, cache_timer;

	/* janitor.c's */
	bool ticking;			/* a tick is on its way */
	uint64_t floors_epoch;		/* before the tick under way */
	struct floors known;		/* as of the last tick */
	struct loop_timer tick_timer, due_timer;
	bool stopping;
	int64_t stop_by_ms;
	int exit_status;
};

/* Replaces what the timer was set to. */
void janitor_set_timer(struct janitor *j, struct loop_timer *timer, int64_t delay_ms, loop_timer_fn *fn);
/* The parameters, empty, for a statement to fill and send at once. */
struct buf *janitor_begin(struct janitor *j);
/* Sends it with them; false when there is no connection. Its answer function's arg is j. */
bool janitor_send(struct janitor *j, enum statement_id id, pg_answer_fn *answer);
/* Whether there is an answer. What failed is logged; the next tick asks for it again. */
bool janitor_answered(struct janitor *j, const struct err *err);
/* One that waits for jobs, if any does. */
bool janitor_wake_worker(struct janitor *j);

/* Functions of a timer have a struct janitor for their argument. */
void janitor_wake_for_due(void *arg);
/* Looks at the queue, and has done what is due. */
void janitor_tick(void *arg);

/* Takes the sleep lock when some worker is idle; gives it back when none is. */
void janitor_fall_asleep(void *arg);
void janitor_get_up(struct janitor *j);

/* Puts back the jobs of all workers in the ring of deaths. It is taken off the ring only when the jobs are back. */
void janitor_recover_deaths(struct janitor *j);
/* The same for claimants (one a line; changed) of this host that are no more. */
void janitor_recover_orphans(struct janitor *j, char *claimants);
/* The same for jobs that have been held for longer than queue.stuck_after, on whatever host. */
void janitor_reap(struct janitor *j);

/* Cleans a batch, and goes on by itself until all is clean; the cache for good, a walk after the other. */
void janitor_clean_jobs(void *arg);
void janitor_clean_cache(void *arg);

#endif
