/*
 * Releasing claims that were lost with the connection. Runs in workers, after a reconnect.
 *
 * The race: a claim is sent, the connection hangs and is given up, a new one is made. The old
 * backend may still be waiting for a lock, and commit the claim a minute later under our identity.
 * Nobody has those jobs in hand, and no janitor will call them orphans while this worker lives; so
 * whoever reconnects asks again for two minutes.
 */
#include "reclaim.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "scoreboard/floor.h"

#define EVERY_MS 5000		/* from one release to the next */
#define FOR_MS 120000		/* so long a stuck backend may still carry a claim out */

static void on_released(void *arg, const PGresult *result, const struct err *err)
{
	struct reclaim *r = arg;
	int n = result ? PQntuples(result) : 0;

	r->under_way = false;
	if (n > 0) {
		log_info("%d jobs of a claim whose answer was lost are back in the queue", n);
		context_count(r->ctx, COUNTER_JOBS_RELEASED, (uint64_t)n);
		floors_forget(context_scoreboard(r->ctx));
	} else if (err && err->kind != ERR_LOST) {
		log_error("%s; jobs of a lost claim wait for the reaper", err->text);
	}
}

static void release(struct reclaim *r)
{
	struct job **jobs = xcalloc((size_t)r->jobs->n, sizeof(*jobs));
	size_t n = 0;

	for (struct grading *g = r->jobs->head; g; g = g->next)
		jobs[n++] = &g->job;
	r->under_way = queue_release_lost(r->ctx->queue, r->ctx->child->identity, jobs, n,
					  on_released, r) == 0;
	free(jobs);
}

void reclaim_begin(struct reclaim *r)
{
	int64_t now = now_ms();

	r->at_ms = now + EVERY_MS;
	r->until_ms = now + FOR_MS;
	release(r);
}

int64_t reclaim_turn(struct reclaim *r)
{
	int64_t now = now_ms();

	if (!r->at_ms || r->under_way || !pg_is_ready(r->ctx->pg))
		return -1;
	if (now < r->at_ms)
		return r->at_ms - now;
	r->at_ms = now < r->until_ms ? now + EVERY_MS : 0;
	release(r);
	return -1;
}

void reclaim_init(struct reclaim *r, const struct context *ctx, struct joblist *jobs)
{
	*r = (struct reclaim){ .ctx = ctx, .jobs = jobs };
}

void reclaim_check(const struct reclaim *r)
{
	INVARIANT(!r->at_ms || r->at_ms <= r->until_ms + EVERY_MS);
}
