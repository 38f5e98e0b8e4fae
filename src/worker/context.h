/*
 * What every part of a worker is given: who it is, its configuration, raters and connection, and
 * whether it is stopping. worker.c alone writes it; parts hold it as const.
 */
#ifndef WORKER_CONTEXT_H
#define WORKER_CONTEXT_H

#include "pg/pg.h"
#include "process/child.h"
#include "queue/queue.h"
#include "rater/rater.h"

#define WORKER_BATCH_MAX 1000	/* jobs in a claim or settlement, as in pool.claim_batch */

struct context {
	struct child *child;
	const struct config *config;
	struct rater *rater;		/* the first one, which the breaker is about */
	struct rater *fallback;		/* NULL without one */
	struct pg *pg;
	struct queue *queue;		/* of pg */
	bool stopping;			/* told to stop: nothing is claimed any more */
	bool at_once;			/* told to stop without finishing what is in hand */
};

static inline struct scoreboard *context_scoreboard(const struct context *ctx)
{
	return ctx->child->sb;
}
static inline struct slot *context_slot(const struct context *ctx)
{
	return ctx->child->slot;
}

/* Adds n to a counter of this worker's slot. */
void context_count(const struct context *ctx, enum counter c, uint64_t n);

/*
 * Jobs that one statement claims or settles, at most. Where calls take time small statements will
 * do, in less memory.
 */
int context_batch(const struct context *ctx, const struct rater *rater);

/*
 * Takes up to `wanted` claims off what --max-jobs has left, for the whole pool. Returns how many.
 */
int context_take_budget(const struct context *ctx, int wanted);
void context_give_back_budget(const struct context *ctx, int n);

/* The shorter of two waits in ms, -1 being for ever. */
static inline int64_t wait_sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

#endif
