/*
 * The bottom of the janitor: how its parts send a statement, hear of it, set a timer and wake a
 * worker.
 */
#ifndef STATEMENT_H
#define STATEMENT_H

#include "base/loop.h"
#include "config/config.h"
#include "pg/pg.h"
#include "queue/statements.h"
#include "scoreboard/scoreboard.h"

struct sweep;

/* What all parts share. Each is given it at its init and keeps the pointer. */
struct maintenance {
	struct loop *loop;
	const struct config *config;
	struct scoreboard *sb;
	struct slot *slot;		/* the janitor's */
	struct pg *pg;			/* NULL until there is one */
	struct sweep *urgent;		/* all others make way for it */
	struct buf params[STATEMENT_MAX_PARAMS];	/* of the statement being sent */
};

/* The parameters, empty, for a statement to fill and send at once. */
struct buf *statement_begin(struct maintenance *m);
/* Sends it with them; false, and no answer follows, when there is no connection. */
bool statement_send(struct maintenance *m, enum statement_id id, pg_answer_fn *answer, void *arg);
/*
 * To be asked of each answer's err: whether there is an answer. What failed for a reason of its
 * own is said, and asked for again with the next poll.
 */
bool statement_answered(const struct err *err);
void statement_free(struct maintenance *m);	/* the memory for parameters */

/* Replaces what the timer was set to. */
void statement_timer(struct maintenance *m, struct loop_timer *timer, int64_t delay_ms,
		     loop_timer_fn *fn, void *arg);

/* Wakes one worker that waits for jobs, if any does. For timers: arg is a struct maintenance. */
void statement_wake(void *arg);
/* n jobs are back, nfailed of them as failed: counts them, and has somebody look for the others. */
void statement_put_back(struct maintenance *m, enum counter counter, int n, int nfailed);

#endif
