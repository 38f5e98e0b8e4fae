/*
 * A worker's part in the host's limits. Runs in workers; it sends no statement and never waits: it
 * says for how long to. The limits themselves are throttle.c's, in the scoreboard.
 */
#include "permits.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "queue/whole.h"

#define SPREAD_MS 300		/* so that not all who wait look at once; less than the burst */
#define LOOK_MS 2000		/* limits may change, and permits come back */
#define LINE_BYTES 64		/* what a question has around a line, about */

/*
 * Claims beyond its attempts in which a job may bring no rating because its calls were not let out.
 */
#define FREE_CLAIMS 20

static struct throttle *limits_of(const struct permits *p)
{
	return &context_scoreboard(p->ctx)->throttle;
}

static _Atomic uint32_t *calls_open(const struct permits *p)
{
	return &limits_of(p)->calls_open[p->ctx->child->index];
}

void permits_publish(const struct permits *p)
{
	if (p->metered)
		atomic_store(calls_open(p), (uint32_t)(p->metered->in_flight + p->held));
}

/* ---- claims ---- */

/*
 * It will look again by itself: nobody need wake it meanwhile, and none else on this host could
 * claim.
 */
static int64_t rest(const struct permits *p, int64_t wait)
{
	atomic_store(&context_slot(p->ctx)->demand, DEMAND_NONE);
	return (wait < LOOK_MS ? wait : LOOK_MS) + 1 + random() % SPREAD_MS;
}

int permits_reserve(struct permits *p, const struct rater *rater, int wanted, bool probe,
		    int64_t now_ms, int64_t *wait)
{
	int n;

	p->claim = (struct permit){ .held = false };
	if (rater != p->metered || !throttle_active(limits_of(p)))
		return wanted;
	n = throttle_reserve(limits_of(p), p->ctx->child->index, wanted, probe, now_ms, &p->claim,
			     wait);
	p->claim_held = n;
	p->held += n;
	if (n == 0)
		*wait = rest(p, *wait);
	return n;
}

void permits_unreserve(struct permits *p, int n)
{
	if (!p->claim.held || n <= 0)
		return;
	throttle_give_back(limits_of(p), &p->claim, n, now_ms());
	p->claim_held -= n;
	p->held -= n;
	permits_publish(p);
}

void permits_give(struct permits *p, struct grading *g)
{
	g->permit = p->claim;
	p->claim_held -= p->claim.held;
}

void permits_drop(struct permits *p, struct grading *g)
{
	if (!g->permit.held)
		return;
	throttle_give_back(limits_of(p), &g->permit, 1, now_ms());
	g->permit.held = false;
	p->held--;
	permits_publish(p);
}

/* ---- calls ---- */

static size_t question_bytes(const struct rater *rater, const struct ask *ask)
{
	size_t bytes = rater->frame_bytes;

	for (size_t i = 0; i < ask->nlines; i++)
		bytes += strlen(ask->lines[i]->text) + LINE_BYTES;
	if (ask_is_whole(ask))
		bytes += ask->job->whole->bytes + ask->job->whole->nlines * LINE_BYTES;
	return bytes;
}

/*
 * The one it was claimed with, while that is good; else another, which may be for a moment to come.
 */
static bool has_permit(struct permits *p, struct grading *g, int64_t now)
{
	struct throttle *limits = limits_of(p);
	int64_t wait;

	if (g->permit.held && !throttle_is_fresh(&g->permit, now) &&
	    !throttle_renew(limits, &g->permit, now))
		p->held--;
	if (!g->permit.held) {
		if (grading_calls_open(g) > 0 && !throttle_has_room(limits))
			return false;		/* the answer to one of them asks again */
		if (!throttle_reserve_ahead(limits, &g->permit, now, &wait))
			return false;
		p->held++;
		permits_publish(p);
	}
	p->pacing |= now < g->permit.at_ms;
	return now >= g->permit.at_ms;
}

/* The metered rater's gate. */
static bool may_ask(void *arg, struct ask *ask)
{
	struct permits *p = arg;
	struct grading *g = ask->owner;
	int64_t now = now_ms();
	uint32_t unpaid;

	if (throttle_active(limits_of(p)) && !has_permit(p, g, now))
		return false;
	ask->permit = g->permit;
	ask->sent_ms = now;
	ask->bytes = question_bytes(p->metered, ask);
	throttle_sent(limits_of(p), &ask->permit, ask->bytes, now);
	p->held -= g->permit.held;
	g->permit.held = false;
	unpaid = ask->permit.held ? 0 : 1;	/* a permit was counted when it was taken */
	atomic_fetch_add(calls_open(p), unpaid);
	return true;
}

/* It has permits to itself: as long as calls of it are to be made. */
static bool wants_permit(const struct permits *p, const struct grading *g)
{
	return !grading_is_decided(g) && g->calls.nopen > 0 && g->calls.nstarted < g->calls.n &&
	       g->rater == p->metered;
}

/* No call of it is open, and none will be for a while. */
static void send_back(struct permits *p, struct grading *g)
{
	bool no_charge = grading_got_on(g) || g->job.times_claimed <= g->job.attempts + FREE_CLAIMS;
	struct err err;

	err_set(&err, no_charge ? ERR_LIMITED : ERR_RETRY, "openai.requests_per_minute or "
		"openai.tokens_per_minute leave no room for another call now");
	err.after_ms = throttle_wait_ms(limits_of(p), now_ms());
	flights_leave(p->flights, g, false);
	grading_decide_for(g, &err, g->rater);
}

void permits_keep_pace(struct permits *p, struct grading *g)
{
	if (!p->metered)
		return;
	if (!grading_is_decided(g) && g->calls.nopen == 0 && flights_undecided(g))
		return;		/* whether it needs a call will be known in a moment */
	if (!wants_permit(p, g))
		permits_drop(p, g);
	else if (!g->permit.held && grading_calls_open(g) == 0)
		send_back(p, g);
}

/*
 * What it has is stored, and the next claim begins with the others: that ends, however many calls
 * it needs.
 */
bool permits_kept_calls_in(const struct permits *p, const struct grading *g, struct err *err)
{
	if (g->rater != p->metered || g->calls.nstarted == g->calls.n ||
	    grading_calls_open(g) >= GRADING_CALLS_AT_ONCE || !throttle_active(limits_of(p)) ||
	    !grading_got_on(g))
		return false;
	err_set(err, ERR_LIMITED, "openai.requests_per_minute or openai.tokens_per_minute leave no "
		"room for all its calls within queue.job_deadline");
	return true;
}

/* Holds a permit for a call that is to go out when its time has come. */
static bool is_paced(const struct grading *g)
{
	return g->permit.held && !grading_is_decided(g) && !grading_in_lookup(g) &&
	       g->calls.nopen > 0;
}

int64_t permits_ask_due(struct permits *p)
{
	int64_t now, wait = -1;

	if (!p->pacing)
		return -1;
	p->pacing = false;
	now = now_ms();
	for (struct grading *g = p->jobs->head; g; g = g->next) {
		if (!is_paced(g))
			continue;
		if (now >= g->permit.at_ms) {
			grading_ask_more(g, g->rater);
			permits_keep_pace(p, g);
		}
		if (!g->permit.held || grading_is_decided(g))
			continue;
		p->pacing = true;
		wait = wait_sooner(wait, g->permit.at_ms > now ? g->permit.at_ms - now : 0);
	}
	return wait;
}

/* Calls that it took besides the one that was let out. */
static void pay_for_more(struct permits *p, const struct ask *ask, int64_t now)
{
	int64_t wait;

	for (int i = 1; i < ask->used.calls; i++) {
		struct permit more = { .held = false };

		if (throttle_active(limits_of(p)))
			throttle_reserve_ahead(limits_of(p), &more, now, &wait);
		throttle_sent(limits_of(p), &more, ask->bytes, now);
	}
}

void permits_settle_call(struct permits *p, const struct rater *rater, const struct ask *ask)
{
	int64_t workers = atomic_load(&context_scoreboard(p->ctx)->workers);
	int64_t most = workers * p->ctx->config->pool.in_flight;
	struct call_end end;

	if (rater != p->metered)
		return;
	end = (struct call_end){
		.permit = ask->permit, .sent_ms = ask->sent_ms, .bytes = ask->bytes,
		.tokens = ask->used.prompt_tokens + ask->used.completion_tokens,
		.never_sent = ask->never_sent, .limited = err_kind(ask->err) == ERR_LIMITED,
		.answered = !ask->err,
		.most = most < INT_MAX ? (int)most : INT_MAX,
	};
	permits_publish(p);
	pay_for_more(p, ask, now_ms());
	throttle_settle(limits_of(p), &end, now_ms());
}

/* ---- life ---- */

void permits_init(struct permits *p, const struct context *ctx, struct joblist *jobs,
		  struct flights *flights)
{
	*p = (struct permits){ .ctx = ctx, .jobs = jobs, .flights = flights };
	if (ctx->rater->metered)
		p->metered = ctx->rater;
	else if (ctx->fallback && ctx->fallback->metered)
		p->metered = ctx->fallback;
	if (!p->metered)
		return;
	p->metered->gate = may_ask;
	p->metered->gate_arg = p;
}

void permits_check(const struct permits *p)
{
	int held = p->claim_held;

	for (const struct grading *g = p->jobs->head; g; g = g->next)
		held += g->permit.held;
	INVARIANT(p->held == held);
	INVARIANT(p->claim_held >= 0);
	INVARIANT(p->metered || p->held == 0);
}
