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

struct lost_job {
	struct chore_row chore;
	struct lost_row row;
};

/* ---- giving back ---- */

static void on_done(void *arg, int n, int nfailed)
{
	struct reclaim *r = arg;

	(void)nfailed;
	log_info("%d jobs of a claim whose answer was lost are back in the queue", n);
	context_count(r->ctx, COUNTER_JOBS_RELEASED, (uint64_t)n);
	floors_forget(context_scoreboard(r->ctx));
}

/* Whether it is idle, until the next turn of the worker. */
static void update(struct reclaim *r)
{
	r->under_way = r->looking || r->chore.nsent > 0;
}

static void go_on(void *arg)
{
	struct reclaim *r = arg;

	chore_turn(&r->chore);
	update(r);
}

static int send_release(void *arg, struct chore_row *const *rows, int n, pg_answer_fn *answer,
			void *answer_arg)
{
	struct reclaim *r = arg;
	const struct lost_row *lost[CHORE_BATCH_MAX];

	for (int i = 0; i < n; i++)
		lost[i] = &((const struct lost_job *)rows[i])->row;
	return queue_release_lost(r->ctx->queue, r->ctx->child->identity, lost, (size_t)n, answer,
				  answer_arg);
}

/* ---- looking ---- */

static void on_found(void *arg, const PGresult *result, const struct err *err)
{
	struct reclaim *r = arg;

	r->looking = false;
	if (err && err->kind != ERR_LOST)
		log_error("%s; jobs of a lost claim are looked for again", err->text);
	for (int i = 0; i < PQntuples(result); i++) {
		struct lost_row row;
		struct lost_job *job;

		queue_lost_row(result, i, &row);
		job = (struct lost_job *)chore_add(&r->chore, row.id, row.session_id);
		if (job)
			job->row = row;
	}
	go_on(r);
}

static void release(struct reclaim *r)
{
	struct job **jobs = xcalloc((size_t)r->jobs->n, sizeof(*jobs));
	size_t n = 0;

	for (struct grading *g = r->jobs->head; g; g = g->next)
		jobs[n++] = &g->job;
	r->looking = queue_lost(r->ctx->queue, r->ctx->child->identity, jobs, n, on_found, r) == 0;
	update(r);
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
	int64_t now = now_ms(), wait;

	if (r->under_way || !pg_is_ready(r->ctx->pg))
		return -1;
	if (r->at_ms && now >= r->at_ms) {
		r->at_ms = now < r->until_ms ? now + EVERY_MS : 0;
		release(r);
		return -1;
	}
	wait = chore_turn(&r->chore);
	update(r);
	if (r->under_way || !r->at_ms)
		return wait;
	return wait >= 0 && wait < r->at_ms - now ? wait : r->at_ms - now;
}

void reclaim_init(struct reclaim *r, const struct context *ctx, struct joblist *jobs)
{
	static const struct chore_kind kind = {
		.statement = "release_lost", .what = "job", .doing = "given back",
		.row_size = sizeof(struct lost_job), .batch = 64,
		.send = send_release, .done = on_done, .go_on = go_on,
	};

	*r = (struct reclaim){ .ctx = ctx, .jobs = jobs };
	chore_init(&r->chore, &kind, r, ctx->child->slot);
}

void reclaim_free(struct reclaim *r)
{
	chore_free(&r->chore);
}

void reclaim_check(const struct reclaim *r)
{
	INVARIANT(!r->at_ms || r->at_ms <= r->until_ms + EVERY_MS);
	INVARIANT(r->under_way == (r->looking || r->chore.nsent > 0));
}
