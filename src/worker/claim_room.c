/* How many jobs a worker has room for. Runs in workers; it claims nothing and keeps nothing. */
#include "claim_room.h"

#include <unistd.h>

#define PREFETCH_SHARE 16	/* of pool.in_flight: jobs claimed before a call is free for them */
#define PREFETCH_FROM 64	/* calls; with fewer, jobs would wait beside idle workers */
#define BATCHES_BEHIND 1	/* batches of answered jobs that may wait at a claim */

/* Jobs in hand, not being settled yet, that this rater is asked about. */
static int in_hand_for(const struct context *ctx, const struct claimer_parts *with,
		    const struct rater *rater)
{
	int n = 0;

	if (!ctx->fallback)
		return with->jobs->n - with->settler->under_way - with->txn->under_way;
	for (const struct grading *g = with->jobs->head; g; g = g->next)
		n += g->rater == rater && !g->settle.under_way;
	return n;
}

/*
 * While there is a backlog a few jobs are claimed and looked up before a call is free for them, so
 * that no call slot stands empty for a round trip. So few that they wait for little longer than
 * that; they are replaced when half of them are gone, since a claim costs much the same for one job
 * and for eight. None under limits: no job is claimed then without a permit to be asked about.
 */
static int prefetch(const struct context *ctx, const struct rater *rater, bool deep)
{
	int calls = (int)ctx->config->pool.in_flight;

	if (rater->capacity || !deep || rater != ctx->rater || calls < PREFETCH_FROM ||
	    throttle_active(&context_scoreboard(ctx)->throttle))
		return 0;
	return calls / PREFETCH_SHARE;
}

/*
 * A call that is answered makes room at once, unless so many jobs wait to be settled that the
 * database must be behind.
 */
static int room_for_calls(const struct context *ctx, const struct claimer_parts *with,
			  const struct rater *rater, bool deep)
{
	int batch = context_batch(ctx, rater), spare = prefetch(ctx, rater, deep);
	int limit = rater->capacity ? rater->capacity : (int)ctx->config->pool.in_flight + spare;
	int n = limit - dispatch_asked_of(with->dispatch, rater);
	int unsettled = limit + BATCHES_BEHIND * batch - with->jobs->n;

	if (n <= spare / 2)
		return 0;
	return n < unsettled ? n : unsettled;
}

/*
 * A rater that answers at once is fed by the batch or several, others by the calls they may have.
 */
int claim_room(const struct context *ctx, const struct claimer_parts *with,
	       const struct rater *rater, bool deep)
{
	int batch = context_batch(ctx, rater), n;

	if (rater->instant) {
		batch *= with->size->factor;
		n = batch - in_hand_for(ctx, with, rater);
	} else {
		n = room_for_calls(ctx, with, rater, deep);
	}
	n = claim_size_cap(with->size, n < batch ? n : batch);
	return n < WORKER_BATCH_MAX ? n : WORKER_BATCH_MAX;
}

/* Workers in the slots before this one's that are busy, and what they have completed so far. */
static int busy_before(const struct context *ctx, uint64_t *done)
{
	int busy = 0;

	*done = 0;
	for (int i = SLOT_FIRST_WORKER; i < ctx->child->index; i++) {
		const struct slot *slot = &context_scoreboard(ctx)->slots[i];

		busy += atomic_load(&slot->state) == SLOT_BUSY ||
			atomic_load(&slot->demand) == DEMAND_CLAIMING;
		*done += atomic_load_explicit(&slot->counters[COUNTER_JOBS_COMPLETED],
					      memory_order_relaxed);
	}
	return busy;
}

bool claim_room_crowded(const struct context *ctx, struct claim_size *size, int64_t now_ms)
{
	uint64_t done;
	int busy;

	if (!ctx->rater->instant)
		return false;
	busy = busy_before(ctx, &done);
	return claim_size_over_subscribed(size, busy, sysconf(_SC_NPROCESSORS_ONLN), done, now_ms);
}
