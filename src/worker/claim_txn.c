/*
 * Claims held by locks, from begin to commit. Runs in workers with a rater that answers at once, on
 * a deep queue. While a transaction is open nothing else is sent: it would become part of it.
 *
 * A race that the order prevents: the commit of one claim and the begin of the next travel in one
 * pipeline. Were an ordinary settlement gathered in between, it would land inside the next claim's
 * transaction, and a rollback there would undo ratings that were reported as stored.
 */
#include "claim_txn.h"

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "scoreboard/floor.h"

bool claim_txn_fits(const struct claim_txn *t, bool deep)
{
	const struct context *ctx = t->ctx;

	return deep && ctx->rater->instant && !ctx->fallback && !t->write_next &&
	       !claim_size_pays_to_cache(t->size, ctx->config->cache.ttl_ms, true) &&
	       ctx->config->database.pool_mode == POOL_MODE_SESSION;
}

bool claim_txn_can_complete(const struct claimed_row *row)
{
	return row->times_claimed == 0 && row->counted_as == COUNTED_NOT && row->data &&
	       !row->whole;
}

int claim_txn_begin(struct claim_txn *t, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	settler_send(t->settler);	/* what was gathered before */
	t->open = true;
	t->opened_ms = now_ms();
	return queue_hold(t->ctx->queue, claim, answer, arg);
}

void claim_txn_write_next(struct claim_txn *t)
{
	t->write_next = true;
}

void claim_txn_written(struct claim_txn *t)
{
	t->write_next = false;
}

/* It is as if they had never been claimed, and the next claim takes them in the ordinary way. */
void claim_txn_leave(struct claim_txn *t, int n)
{
	if (n == 0)
		return;
	claim_txn_write_next(t);
	t->left += n;
	context_give_back_budget(t->ctx, n);
	floors_forget(context_scoreboard(t->ctx));
}

int claim_txn_take_left(struct claim_txn *t)
{
	int n = t->left;

	t->left = 0;
	return n;
}

static void leave_all(struct claim_txn *t)
{
	int n = 0;

	for (struct grading *g = t->jobs->head, *next; g; g = next) {
		next = g->next;
		if (!g->held)
			continue;
		dispatch_drop(t->dispatch, g);
		n++;
	}
	claim_txn_leave(t, n);
}

/* ---- the end of it ---- */

static void on_completed(void *arg, const PGresult *result, const struct err *err)
{
	struct claim_txn *t = arg;

	if (err)
		t->err = *err;
	if (result)
		queue_settled(result, t->settled, (size_t)t->under_way);
}

static void not_committed(struct claim_txn *t)
{
	settler_held_failed(t->settler, &t->err);
	claim_size_halve(t->size);
	leave_all(t);
}

/* What was locked and is not completed was passed over by a trigger, without an error. */
static void committed(struct claim_txn *t)
{
	int place = 0, passed_over = 0;

	claim_size_took(t->size, now_ms() - t->committing_since_ms);
	for (struct grading *g = t->jobs->head, *next; g; g = next) {
		next = g->next;
		if (!g->held)
			continue;
		if (t->settled[place++] == SETTLED) {
			settler_finish(t->settler, g, true);
			continue;
		}
		dispatch_drop(t->dispatch, g);
		passed_over++;
	}
	context_count(t->ctx, COUNTER_JOBS_CLAIMED, (uint64_t)(place - passed_over));
	t->completed += (uint64_t)(place - passed_over);
	claim_txn_leave(t, passed_over);
}

static void on_committed(void *arg, const PGresult *result, const struct err *err)
{
	struct claim_txn *t = arg;

	if (err && t->err.kind == ERR_NONE)
		t->err = *err;
	t->under_way = 0;
	t->committing = false;
	if (t->err.kind == ERR_NONE && !queue_committed(result))
		err_set(&t->err, ERR_RETRY, "the database did not commit");
	if (t->err.kind == ERR_NONE)
		committed(t);
	else
		not_committed(t);
}

/*
 * All jobs of a claim that is held have been rated. Those that are completed are, the others are
 * left.
 */
static int gather(struct claim_txn *t)
{
	int64_t bytes = 0;
	int n = 0, left = 0;

	for (struct grading *g = t->jobs->head, *next; g; g = next) {
		next = g->next;
		if (!g->held)
			continue;
		if (bytes < SETTLE_BYTES && grading_is_first(g) && grading_attach(g)) {
			t->gathered[n++] = &g->settlement;
			bytes += g->bytes;
		} else {
			dispatch_drop(t->dispatch, g);
			left++;
		}
	}
	claim_txn_leave(t, left);
	return n;
}

void claim_txn_end(struct claim_txn *t)
{
	const struct context *ctx = t->ctx;
	struct err lost = { .kind = ERR_LOST };
	int n;

	if (!t->open || !pg_is_ready(ctx->pg))
		return;
	t->err = (struct err){ .kind = ERR_NONE };
	t->under_way = n = gather(t);
	t->open = false;
	t->committing = true;
	t->committing_since_ms = t->opened_ms;	/* the next one may begin before this one is over */
	if (n > 0 && queue_settle(ctx->queue, SETTLE_HELD, ctx->child->identity, t->gathered,
				  (size_t)n, 0, on_completed, t) == -1)
		on_completed(t, NULL, &lost);
	if (queue_commit(ctx->queue, on_committed, t) == -1)
		on_committed(t, NULL, &lost);
}

void claim_txn_lose(struct claim_txn *t)
{
	if (t->open)
		leave_all(t);
	t->open = false;
}

/* ---- life ---- */

void claim_txn_init(struct claim_txn *t, const struct context *ctx, struct joblist *jobs,
		    struct dispatch *dispatch, struct settler *settler, struct claim_size *size)
{
	*t = (struct claim_txn){
		.ctx = ctx, .jobs = jobs, .dispatch = dispatch, .settler = settler, .size = size,
	};
}

void claim_txn_check(const struct claim_txn *t)
{
	INVARIANT(t->committing || t->under_way == 0);
	INVARIANT(!t->open || !t->settler->to_send);
	INVARIANT(t->under_way >= 0 && t->under_way <= WORKER_BATCH_MAX);
}
