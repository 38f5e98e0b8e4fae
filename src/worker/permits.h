/*
 * A worker's part in the host's limits: a permit for each job before it is claimed, another for
 * each further call of it, all of them given back or settled. Only for the rater that is metered;
 * for any other there is nothing to pay.
 */
#ifndef WORKER_PERMITS_H
#define WORKER_PERMITS_H

#include "context.h"
#include "joblist.h"
#include "single_flight.h"

struct permits {
	const struct context *ctx;
	struct joblist *jobs;
	struct flights *flights;
	struct rater *metered;		/* the one that the host's limits are for; NULL: neither */
	struct permit claim;		/* of each job of the claim under way */
	int claim_held;			/* permits of the claim under way that brought no job yet */
	int held;			/* those, and the ones of jobs in hand */
	bool pacing;			/* a job in hand waits for the time of its next call */
};

/* The raters of ctx are open. The metered one asks here whether a call may go out. */
void permits_init(struct permits *p, const struct context *ctx, struct joblist *jobs,
		  struct flights *flights);

/*
 * Permits for a claim of up to `wanted` jobs that this rater is to be asked about; probe: the call
 * decides about the breaker. Returns for how many (without limits: for all); with 0, *wait is how
 * long to wait, claiming nothing.
 */
int permits_reserve(struct permits *p, const struct rater *rater, int wanted, bool probe,
		    int64_t now_ms, int64_t *wait);
/* n of those reserved last brought no job. */
void permits_unreserve(struct permits *p, int n);
/* One of those reserved last is g's from now on. */
void permits_give(struct permits *p, struct grading *g);
/* The job needs no call, after all. */
void permits_drop(struct permits *p, struct grading *g);

/*
 * After some of its calls were to be started: a job without any gives its permit back, and one that
 * cannot have its next call within THROTTLE_PATIENCE_MS goes back to the queue, with what it has.
 */
void permits_keep_pace(struct permits *p, struct grading *g);
/*
 * Whether it was the limits that kept some of its calls in, while others brought ratings; fills err
 * then.
 */
bool permits_kept_calls_in(const struct permits *p, const struct grading *g, struct err *err);
/*
 * Starts the calls whose time has come. Returns how long until the next one, -1: none waits for its
 * time.
 */
int64_t permits_ask_due(struct permits *p);
/* A call has ended. */
void permits_settle_call(struct permits *p, const struct rater *rater, const struct ask *ask);

/* Tells the host how many calls are open or reserved. */
void permits_publish(const struct permits *p);

void permits_check(const struct permits *p);

#endif
