/*
 * A worker's way through a deep queue with a rater that answers at once: a claim that is held by the locks of its
 * rows, rated, completed and committed in one transaction, so that it is never written down. That spares a third of
 * what a job costs the server. Whatever goes wrong in between, be it this worker's death, nothing has happened; what
 * cannot end as completed is left alone here, and claimed in the ordinary way next.
 *
 * While `holding`, from begin to commit, nothing else may be sent: it would become part of the transaction.
 */
#include "worker.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define AIM_MS 250		/* for how long rows are locked, about */

bool worker_may_hold(const struct worker *w)
{
	return w->deep && w->rater->instant && !w->fallback && !w->write_next && !worker_pays_to_cache(w) &&
	       w->config->database.pool_mode == POOL_MODE_SESSION;
}

bool worker_can_complete_held(const struct claimed_row *row)
{
	return row->claim == 0 && row->counted_as == COUNTED_NOT;
}

int worker_hold(struct worker *w, const struct claim *claim, pg_answer_fn *answer)
{
	worker_settle(w);	/* what was gathered before */
	w->holding = true;
	w->held_since_ms = now_ms();
	return queue_hold(&w->queue, claim, answer, w);
}

/* It is as if they had never been claimed, and the next claim takes them in the ordinary way. */
void worker_leave_held(struct worker *w, int n)
{
	if (n == 0)
		return;
	w->write_next = true;
	w->exhausted = false;
	worker_give_back_budget(w, n);
	floors_forget(w->c->sb);
}

static void leave_all(struct worker *w)
{
	int n = 0;

	for (struct grading *g = w->head, *next; g; g = next) {
		next = g->next;
		if (!g->held)
			continue;
		worker_drop(w, g);
		n++;
	}
	worker_leave_held(w, n);
}

static void halve_stride(struct worker *w)
{
	if (w->claim_factor_max > CLAIM_FACTOR_PAST_CACHE)
		w->claim_factor_max /= 2;
}

/* Slow servers, and those that many workers share, get smaller bites. */
static void adapt_stride(struct worker *w)
{
	int64_t took = now_ms() - w->committing_since_ms;

	if (took > AIM_MS)
		halve_stride(w);
	else if (took < AIM_MS / 4 && w->claim_factor_max < CLAIM_FACTOR_MAX)
		w->claim_factor_max *= 2;
}

static void on_completed(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;

	w->hold_err = err ? *err : (struct err){ .kind = ERR_NONE };
	if (result)
		queue_settled(result, w->held_settled, (size_t)w->settling);
}

static void on_committed(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;
	int n = w->settling, place = 0;

	if (err && w->hold_err.kind == ERR_NONE)
		w->hold_err = *err;
	w->settling = 0;
	w->committing = false;
	if (w->hold_err.kind == ERR_NONE && !queue_committed(result))
		err_set(&w->hold_err, ERR_RETRY, "the database did not commit");
	if (w->hold_err.kind != ERR_NONE) {
		worker_say_trouble(w, &w->hold_err, SETTLE_HELD);
		halve_stride(w);
		leave_all(w);
		return;
	}
	adapt_stride(w);
	worker_count_claimed(w, n);
	for (struct grading *g = w->head, *next; g; g = next) {
		next = g->next;
		if (g->held)
			worker_finish(w, g, w->held_settled[place++]);
	}
}

/* All jobs of a claim that is held have been rated. Those that are completed are, the others are left. */
static int gather_held(struct worker *w)
{
	int64_t bytes = 0;
	int n = 0, left = 0;

	for (struct grading *g = w->head, *next; g; g = next) {
		next = g->next;
		if (!g->held)
			continue;
		if (bytes < WORKER_SETTLE_BYTES && grading_is_first(g) && grading_attach(g)) {
			w->gathered[n++] = &g->settlement;
			bytes += g->bytes;
		} else {
			worker_drop(w, g);
			left++;
		}
	}
	worker_leave_held(w, left);
	return n;
}

void worker_end_hold(struct worker *w)
{
	struct err lost = { .kind = ERR_LOST };
	int n;

	if (!w->holding || w->claiming || !pg_is_ready(w->pg))
		return;
	w->hold_err = (struct err){ .kind = ERR_NONE };
	w->settling = n = gather_held(w);
	w->holding = false;
	w->committing = true;
	w->committing_since_ms = w->held_since_ms;	/* the next one may begin before this one is over */
	if (n > 0 && queue_settle(&w->queue, SETTLE_HELD, w->c->identity, w->gathered, (size_t)n, 0, on_completed, w) == -1)
		on_completed(w, NULL, &lost);
	if (queue_commit(&w->queue, on_committed, w) == -1)
		on_committed(w, NULL, &lost);
}

void worker_lose_hold(struct worker *w)
{
	if (w->holding)
		leave_all(w);
	w->holding = false;
}
