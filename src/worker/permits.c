/*
 * A worker's part in the host's limits: a permit for each job before it is claimed, another for each
 * further call of it, all of them given back or settled. Only for the rater that is metered; for any other
 * there is nothing here to pay for. It sends no statement and never waits: it says for how long to.
 */
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "scoreboard/breaker.h"

#define SPREAD_MS 300		/* so that not all who wait look at the same moment; less than the burst */
#define LOOK_MS 2000		/* limits may change, and permits come back */
#define LINE_BYTES 64		/* what a question has around a line, about */

/* Claims beyond its attempts in which a job may bring no rating because its calls were not let out. */
#define FREE_CLAIMS 20

void worker_publish_calls(struct worker *w)
{
	if (w->metered)
		atomic_store(&w->c->sb->throttle.calls_open[w->c->index], (uint32_t)(w->metered->in_flight + w->permits));
}

/* ---- claims ---- */

/* It will look again by itself: nobody need wake it meanwhile, and none else on this host could claim. */
static int64_t rest(struct worker *w, int64_t wait)
{
	atomic_store(&w->c->slot->demand, DEMAND_NONE);
	return (wait < LOOK_MS ? wait : LOOK_MS) + 1 + random() % SPREAD_MS;
}

int worker_reserve(struct worker *w, int wanted, int64_t now, int64_t *wait)
{
	struct scoreboard *sb = w->c->sb;
	bool probe = w->probing && w->claim_for == w->rater;
	int n;

	w->permit = (struct permit){ .held = false };
	if (w->claim_for != w->metered || !throttle_active(&sb->throttle))
		return wanted;
	n = throttle_reserve(&sb->throttle, w->c->index, wanted, probe, now, &w->permit, wait);
	w->permits += n;
	if (n > 0)
		return n;
	*wait = rest(w, *wait);
	if (probe) {
		breaker_probe_unused(&sb->breaker);
		w->probing = false;
	}
	return 0;
}

void worker_unreserve(struct worker *w, int n)
{
	if (!w->permit.held || n <= 0)
		return;
	throttle_give_back(&w->c->sb->throttle, &w->permit, n, now_ms());
	w->permits -= n;
	worker_publish_calls(w);
}

void worker_drop_permit(struct worker *w, struct grading *g)
{
	if (!g->permit.held)
		return;
	throttle_give_back(&w->c->sb->throttle, &g->permit, 1, now_ms());
	g->permit.held = false;
	w->permits--;
	worker_publish_calls(w);
}

/* ---- calls ---- */

static size_t question_bytes(const struct rater *rater, const struct ask *ask)
{
	size_t bytes = rater->frame_bytes;

	for (size_t i = 0; i < ask->nlines; i++)
		bytes += strlen(ask->lines[i]->text) + LINE_BYTES;
	return bytes;
}

/* The one it was claimed with, while that is good; else another, which may be for a moment to come. */
static bool has_permit(struct worker *w, struct grading *g, int64_t now)
{
	int64_t wait;

	if (g->permit.held && !throttle_is_fresh(&g->permit, now) && !throttle_renew(&w->c->sb->throttle, &g->permit, now))
		w->permits--;
	if (!g->permit.held) {
		if (grading_calls_open(g) > 0 && !throttle_has_room(&w->c->sb->throttle))
			return false;		/* the answer to one of them asks again */
		if (!throttle_reserve_ahead(&w->c->sb->throttle, &g->permit, now, &wait))
			return false;
		w->permits++;
		worker_publish_calls(w);
	}
	w->pacing |= now < g->permit.at_ms;
	return now >= g->permit.at_ms;
}

static bool may_ask(void *arg, struct ask *ask)
{
	struct worker *w = arg;
	struct grading *g = ask->owner;
	int64_t now = now_ms();

	if (throttle_active(&w->c->sb->throttle) && !has_permit(w, g, now))
		return false;
	ask->permit = g->permit;
	ask->sent_ms = now;
	ask->bytes = question_bytes(w->metered, ask);
	throttle_sent(&w->c->sb->throttle, &ask->permit, ask->bytes, now);
	w->permits -= g->permit.held;
	g->permit.held = false;
	atomic_fetch_add(&w->c->sb->throttle.calls_open[w->c->index], ask->permit.held ? 0 : 1);	/* a permit was counted */
	return true;
}

void worker_keep_pace(struct worker *w, struct grading *g)
{
	bool no_charge;
	struct err err;

	if (!w->metered)
		return;
	if (!grading_is_decided(g) && g->calls.nopen == 0 && flights_undecided(g))
		return;		/* whether it needs a call will be known in a moment */
	if (grading_is_decided(g) || g->calls.nopen == 0 || g->calls.nstarted == g->calls.n || g->rater != w->metered) {
		worker_drop_permit(w, g);
		return;
	}
	if (g->permit.held || grading_calls_open(g) > 0)
		return;
	/* No call of it is open, and none will be for a while. */
	no_charge = grading_got_on(g) || g->job.claim <= g->job.attempts + FREE_CLAIMS;
	err_set(&err, no_charge ? ERR_LIMITED : ERR_RETRY,
		"openai.requests_per_minute or openai.tokens_per_minute leave no room for another call now");
	err.after_ms = throttle_wait_ms(&w->c->sb->throttle, now_ms());
	flights_leave(w, g, false);
	grading_fail(g, &err, g->rater);
}

/* What it has is stored, and the next claim begins with the others: that ends, however many calls it needs. */
bool worker_was_paced(const struct worker *w, const struct grading *g, struct err *err)
{
	if (g->rater != w->metered || g->calls.nstarted == g->calls.n || grading_calls_open(g) >= GRADING_CALLS_AT_ONCE ||
	    !throttle_active(&w->c->sb->throttle) || !grading_got_on(g))
		return false;
	err_set(err, ERR_LIMITED, "openai.requests_per_minute or openai.tokens_per_minute leave no room for all its calls "
		"within queue.job_deadline");
	return true;
}

int64_t worker_ask_paced(struct worker *w)
{
	int64_t now, wait = -1;

	if (!w->pacing)
		return -1;
	w->pacing = false;
	now = now_ms();
	for (struct grading *g = w->head; g; g = g->next) {
		if (!g->permit.held || grading_is_decided(g) || grading_in_lookup(g) || g->calls.nopen == 0)
			continue;
		if (now >= g->permit.at_ms) {
			grading_ask_more(g, g->rater);
			worker_keep_pace(w, g);
		}
		if (!g->permit.held || grading_is_decided(g))
			continue;
		w->pacing = true;
		wait = worker_sooner(wait, g->permit.at_ms > now ? g->permit.at_ms - now : 0);
	}
	return wait;
}

void worker_settle_call(struct worker *w, const struct rater *rater, const struct ask *ask)
{
	struct call_end end;

	if (rater != w->metered)
		return;
	end = (struct call_end){
		.permit = ask->permit, .sent_ms = ask->sent_ms, .bytes = ask->bytes,
		.tokens = ask->used.prompt_tokens + ask->used.completion_tokens,
		.never_sent = ask->never_sent, .limited = err_kind(ask->err) == ERR_LIMITED,
		.answered = !ask->err,
		.most = (int)(atomic_load(&w->c->sb->workers) * w->config->pool.in_flight),
	};
	worker_publish_calls(w);
	throttle_settle(&w->c->sb->throttle, &end, now_ms());
}

void worker_meter(struct worker *w)
{
	w->metered = w->rater->metered ? w->rater : w->fallback && w->fallback->metered ? w->fallback : NULL;
	if (!w->metered)
		return;
	w->metered->gate = may_ask;
	w->metered->gate_arg = w;
}
