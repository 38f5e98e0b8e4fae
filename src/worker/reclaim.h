/*
 * Gives back what this worker holds in the database but not in hand: a claim whose answer was lost
 * with the connection. Now and for a while, since a backend that was stuck may carry out a claim
 * long after we gave it up.
 */
#ifndef WORKER_RECLAIM_H
#define WORKER_RECLAIM_H

#include "context.h"
#include "joblist.h"
#include "queue/chore.h"

struct reclaim {
	const struct context *ctx;
	struct joblist *jobs;
	struct chore chore;	/* over the jobs that were found */
	bool looking;		/* for them */
	bool under_way;		/* a statement is on its way */
	int64_t at_ms;		/* the next time; 0: no more */
	int64_t until_ms;	/* the lost claim may still be carried out until then */
};

void reclaim_init(struct reclaim *r, const struct context *ctx, struct joblist *jobs);
void reclaim_free(struct reclaim *r);

/* After a reconnect, when no claim is on its way. */
void reclaim_begin(struct reclaim *r);
/*
 * Does it again when it is time; never while a claim is on its way, since what that brings is not
 * in hand yet. Returns how long until the next time, -1: until something else happens.
 */
int64_t reclaim_turn(struct reclaim *r);

void reclaim_check(const struct reclaim *r);

#endif
