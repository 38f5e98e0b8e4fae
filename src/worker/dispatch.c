/*
 * From jobs looked up to verdicts. Runs in workers; no transaction is open meanwhile, and it sends
 * no statement. Whose fault a failed call was is fault.c's to say.
 */
#include "dispatch.h"

#include "base/clock.h"
#include "base/invariant.h"
#include "grading/decide.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/breaker.h"
#include "scoreboard/trouble.h"
#include "fault.h"

#define FALLBACK_PAUSE_MS 2000	/* pause after the fallback failed too */

static struct breaker *breaker_of(const struct dispatch *d)
{
	return &context_scoreboard(d->ctx)->breaker;
}

/* ---- counting ---- */

/* Before anybody is blamed for it. */
static void count_failure(const struct context *ctx, const struct ask *ask)
{
	static const enum counter counters[] = {
		[ERR_NONE] = COUNTER_COUNT, [ERR_RETRY] = COUNTER_COUNT, [ERR_LOST] = COUNTER_COUNT,
		[ERR_CONFIG] = COUNTER_COUNT, [ERR_PERMANENT] = COUNTER_RATER_REJECTED,
		[ERR_UNAVAILABLE] = COUNTER_RATER_AWAY, [ERR_LIMITED] = COUNTER_RATER_LIMITED,
		[ERR_DENIED] = COUNTER_RATER_DENIED, [ERR_UNCLEAR] = COUNTER_RATER_UNCLEAR,
	};

	context_count(ctx, COUNTER_RATER_FAILURES, 1);
	context_count(ctx, COUNTER_OUTCOME_FAILED, ask_job_lines(ask));
	if (counters[ask->err->kind] != COUNTER_COUNT)
		context_count(ctx, counters[ask->err->kind], 1);
}

static void count_verdicts(const struct context *ctx, const struct ask *ask)
{
	for (size_t i = 0; i < ask_job_lines(ask); i++) {
		enum counter counter = outcome_counter(ask->verdicts[i].outcome);

		if (counter != COUNTER_COUNT && !ask_is_whole(ask))
			context_count(ctx, counter, 1);
	}
}

static void count_answer(const struct context *ctx, const struct ask *ask)
{
	context_count(ctx, COUNTER_RATER_CALLS, (uint64_t)ask->used.calls);
	context_count(ctx, COUNTER_PROMPT_TOKENS, (uint64_t)ask->used.prompt_tokens);
	context_count(ctx, COUNTER_COMPLETION_TOKENS, (uint64_t)ask->used.completion_tokens);
	context_count(ctx, COUNTER_REPLY_STRAY, ask->used.stray);
	if (ask->used.calls > 0) {
		context_count(ctx, COUNTER_RATER_MS, (uint64_t)ask->used.latency_ms);
		slot_count_call(context_slot(ctx), ask->used.latency_ms, ask->used.cost_nanos);
	}
	if (ask->err)
		count_failure(ctx, ask);
	else
		count_verdicts(ctx, ask);
}

static void count_fallback_lines(const struct context *ctx, const struct ask *ask)
{
	for (size_t i = 0; !ask->err && i < ask->nlines; i++)
		context_count(ctx, COUNTER_FALLBACK_LINES,
			      ask->verdicts[i].outcome == OUTCOME_RATED);
}

static void settle_call(struct dispatch *d, const struct rater *rater, const struct ask *ask)
{
	permits_settle_call(d->permits, rater, ask);
	count_answer(d->ctx, ask);
}

/* ---- giving up ---- */

static void cancel_calls(struct dispatch *d, struct grading *g)
{
	size_t n = g->calls.nstarted;

	grading_cancel(g, g->rater);
	for (size_t i = 0; i < n; i++)
		if (g->calls.asks[i] && g->calls.asks[i]->used.calls > 0)
			settle_call(d, g->rater, g->calls.asks[i]);
}

void dispatch_cancel(struct dispatch *d, struct grading *g)
{
	cancel_calls(d, g);
	flights_leave(d->flights, g, false);
}

void dispatch_drop(struct dispatch *d, struct grading *g)
{
	cancel_calls(d, g);
	permits_drop(d->permits, g);
	flights_leave(d->flights, g, true);
	joblist_remove(d->jobs, g);
	grading_free(g);
}

/* ---- the probe ---- */

void dispatch_begin_probe(struct dispatch *d)
{
	d->probing = true;
}

void dispatch_end_probe(struct dispatch *d)
{
	if (d->probing)
		breaker_probe_unused(breaker_of(d));
	d->probing = false;
}

void dispatch_check_probe(struct dispatch *d)
{
	for (const struct grading *g = d->jobs->head; d->probing && g; g = g->next)
		if (g->rater == d->ctx->rater)
			return;		/* the probe is one of these */
	dispatch_end_probe(d);
}

/* ---- the breaker and the fallback ---- */

static void tell_breaker(struct dispatch *d, const struct err *err, bool told)
{
	trouble_say(err->text);
	breaker_failure(breaker_of(d), err, told, now_ms());
	d->probing = false;
	d->provider_away = !d->ctx->fallback;
}

static void rater_works(struct dispatch *d)
{
	d->probing = d->provider_away = false;
}

static void heed_rater(struct dispatch *d, struct ask *ask)
{
	switch (fault_of_rater(d->ctx, ask, d->probing)) {
	case FAULT_UNSAID:
		break;
	case FAULT_NONE:
		breaker_success(breaker_of(d), now_ms());
		rater_works(d);
		break;
	case FAULT_ALIVE:
		breaker_alive(breaker_of(d), now_ms());
		rater_works(d);
		break;
	case FAULT_USELESS:
		if (!breaker_useless(breaker_of(d), ask->job->id, now_ms())) {
			rater_works(d);
			break;
		}
		fault_blame_rater(d->ctx->rater, ask);
		tell_breaker(d, ask->err, true);
		break;
	case FAULT_REFUSED:
		if (breaker_refused(breaker_of(d), ask->job->id)) {
			fault_blame_rater(d->ctx->rater, ask);
			tell_breaker(d, ask->err, true);
		}
		break;
	case FAULT_UNPLACED:
		grading_doubt_refusal(ask->owner);
		break;
	case FAULT_SILENCE:
		tell_breaker(d, ask->err, false);
		break;
	case FAULT_OUTSIDE:
		tell_breaker(d, ask->err, true);
		break;
	}
	if (d->ctx->fallback && err_is_outside(err_kind(ask->err)))
		ask->err->after_ms = 0;		/* the breaker waits, the job need not */
}

/*
 * The breaker is the first rater's. A fallback that fails too is left alone for a while, by this
 * worker.
 */
static void heed_fallback(struct dispatch *d, struct ask *ask)
{
	enum fault fault = fault_of_fallback(d->ctx, ask);

	if (fault == FAULT_UNSAID)
		return;
	d->provider_away = fault == FAULT_OUTSIDE;
	if (!d->provider_away)
		return;
	trouble_say(ask->err->text);
	d->fallback_not_before_ms = now_ms() + FALLBACK_PAUSE_MS;
}

int64_t dispatch_fallback_wait(const struct dispatch *d, int64_t now_ms)
{
	return now_ms < d->fallback_not_before_ms ? d->fallback_not_before_ms - now_ms : 0;
}

static bool may_fall_back(const struct dispatch *d)
{
	return d->ctx->fallback && !d->ctx->stopping && dispatch_fallback_wait(d, now_ms()) == 0;
}

/* Its lines were looked up while the breaker opened: nobody else is asked meanwhile. */
static bool has_to_wait(struct dispatch *d, bool probe, struct err *err)
{
	int64_t wait = probe ? 0 : breaker_wait_ms(breaker_of(d), now_ms());

	if (wait == 0)
		return false;
	err_set(err, ERR_UNAVAILABLE, "the breaker is open: the rater was not asked");
	err->after_ms = wait;
	d->provider_away = !d->ctx->fallback;
	return true;
}

/* ---- asking ---- */

int dispatch_asked_of(const struct dispatch *d, const struct rater *rater)
{
	int n = 0;

	for (const struct grading *g = d->jobs->head; g; g = g->next)
		n += g->rater == rater && !grading_is_decided(g);
	return n;
}

/*
 * More jobs that the rater may be asked about now, below 0: fewer. One that answers at once is
 * never short of room.
 */
static int free_calls(const struct dispatch *d, const struct rater *rater)
{
	int n = rater->capacity ? rater->capacity : (int)d->ctx->config->pool.in_flight;

	if (rater->instant)
		return n;
	for (const struct grading *g = d->jobs->head; g; g = g->next)
		n -= g->rater == rater && g->calls.nopen > 0;
	return n;
}

/* Its open lines are asked about, now or when a call is free. */
static void start_asking(struct dispatch *d, struct grading *g)
{
	if (grading_open_lines(g) > 0 && free_calls(d, g->rater) <= 0)
		grading_hold_back(g);
	else if (fault_needs_control(d->ctx, g, d->probing))
		grading_ask_control(g, g->rater);
	else
		grading_ask(g, g->rater);
	permits_keep_pace(d->permits, g);
}

/* What the first rater could not be asked about the fallback can, at once. */
static bool is_for_fallback(const struct dispatch *d, const struct grading *g)
{
	return g->rater == d->ctx->rater && err_is_outside(err_kind(g->err)) && may_fall_back(d) &&
	       (d->ctx->child->once || breaker_state(breaker_of(d), now_ms()) != BREAKER_CLOSED);
}

/* Its calls are all back. */
static void decide_or_hand_over(struct dispatch *d, struct grading *g)
{
	if (is_for_fallback(d, g)) {
		flights_leave(d->flights, g, false);
		grading_hand_over(g, d->ctx->fallback);
		start_asking(d, g);
	}
	if (g->phase != GRADING_ASKING || g->calls.nopen > 0)
		return;
	if (!grading_owes_control(g) || g->rater != d->ctx->rater) {
		grading_decide(g, g->rater);
		return;
	}
	grading_ask_control(g, g->rater);
	permits_keep_pace(d->permits, g);
}

/* No call is out or held back, and no line waits or has just ceased to. */
static bool is_complete(const struct grading *g)
{
	return g->phase == GRADING_ASKING && g->calls.nopen == 0 && g->flight.nwaiting == 0 &&
	       !g->flight.ready;
}

/*
 * Its lines waited, for others or for a free call. Some have a rating now, or are to be asked
 * about.
 */
static void go_on(struct dispatch *d, struct grading *g)
{
	struct err err;

	if (g->phase == GRADING_HELD_BACK && flights_is_impatient(g, now_ms()))
		grading_note_wait(g);
	grading_take_ready(g);
	if (grading_is_decided(g))
		return;
	grading_go_on(g);
	if (grading_open_lines(g) > 0 && g->rater == d->ctx->rater && has_to_wait(d, false, &err))
		grading_put_off(g, &err);
	start_asking(d, g);
	if (is_complete(g))
		decide_or_hand_over(d, g);
}

/* ---- answers ---- */

/* What was not sent yet is not sent while the breaker is open. */
static void stop_at_breaker(struct dispatch *d, struct grading *g)
{
	bool more = !grading_is_decided(g) && g->calls.nstarted < g->calls.n;
	struct err err;

	if (more && g->rater == d->ctx->rater && has_to_wait(d, d->probing, &err))
		grading_note_failure(g, &err);
}

static void go_on_after(struct dispatch *d, struct grading *g, struct rater *rater, bool control)
{
	if (control)
		go_on(d, g);
	else if (is_complete(g))
		decide_or_hand_over(d, g);
	else if (!grading_is_decided(g))
		grading_ask_more(g, rater);
}

static void take_answer(struct dispatch *d, struct rater *rater, struct ask *ask)
{
	struct grading *g = ask->owner;

	settle_call(d, rater, ask);
	if (rater->fallback) {
		count_fallback_lines(d->ctx, ask);
		heed_fallback(d, ask);
	} else {
		heed_rater(d, ask);
	}
	breadcrumb_job(g->job.id, g->job.claim);
	grading_take_answer(g, ask, rater, g->keyed && !rater->fallback);
	if (!d->probing)
		grading_ask_one_by_one(g, false);
	flights_answered(d->flights, g, ask->err);
	stop_at_breaker(d, g);
	go_on_after(d, g, rater, ask->control);
	breadcrumb_end();
	permits_keep_pace(d->permits, g);
}

static void take_answers_of(struct dispatch *d, struct rater *rater)
{
	struct ask *ask;

	while ((ask = rater_next_done(rater)))
		take_answer(d, rater, ask);
}

static bool go_on_ready(struct dispatch *d)
{
	if (!flights_take_ready(d->flights))
		return false;
	for (struct grading *g = d->jobs->head; g; g = g->next)
		if (g->flight.ready)
			go_on(d, g);
	return true;
}

/*
 * A call that is answered is followed by the next in the same turn, as long as jobs were claimed
 * ahead.
 */
static bool go_on_held_back_by(struct dispatch *d, const struct rater *rater)
{
	int n = rater->instant ? 0 : free_calls(d, rater);
	bool any = false;

	for (struct grading *g = d->jobs->head; g && n > 0; g = g->next) {
		if (g->phase != GRADING_HELD_BACK || g->rater != rater)
			continue;
		go_on(d, g);
		any = true;
		n--;
	}
	return any;
}

static bool go_on_held_back(struct dispatch *d)
{
	bool any = go_on_held_back_by(d, d->ctx->rater);

	return (d->ctx->fallback && go_on_held_back_by(d, d->ctx->fallback)) || any;
}

/* Answers set lines free that wait for them, and calls; some raters answer at once. */
void dispatch_take_answers(struct dispatch *d)
{
	do {
		take_answers_of(d, d->ctx->rater);
		if (d->ctx->fallback)
			take_answers_of(d, d->ctx->fallback);
	} while (go_on_ready(d) || go_on_held_back(d));
}

/* ---- jobs looked up ---- */

/*
 * A probe is asked at once, and what a fallback rates is for nobody else; one that answers at once
 * has no equal.
 */
static bool has_flights(const struct dispatch *d, const struct grading *g)
{
	const struct rater *rater = d->ctx->rater;

	return g->keyed && !rater->instant && g->rater == rater && !d->probing;
}

/* It has lines that nobody has rated yet. */
static void ask(struct dispatch *d, struct grading *g)
{
	struct rater *rater = d->ctx->rater;
	struct err err;

	if (g->rater == rater && has_to_wait(d, d->probing, &err)) {
		if (!may_fall_back(d)) {
			permits_drop(d->permits, g);
			grading_decide_for(g, &err, rater);
			return;
		}
		grading_hand_over(g, d->ctx->fallback);
	}
	grading_ask_one_by_one(g, d->probing && g->rater == rater);
	if (has_flights(d, g))
		flights_join(d->flights, g);
	start_asking(d, g);
}

static void ask_or_decide(struct dispatch *d, struct grading *g)
{
	size_t misses = 0;

	grading_end_lookup(g);
	if (grading_is_decided(g)) {
		permits_drop(d->permits, g);
		return;
	}
	for (size_t i = 0; i < g->job.nrated; i++)
		misses += line_is_pending(&g->lines[i]);
	context_count(d->ctx, COUNTER_CACHE_HITS, g->cached);
	if (g->keyed)
		context_count(d->ctx, COUNTER_CACHE_MISSES, misses);
	if (misses > 0)
		ask(d, g);
	else
		permits_drop(d->permits, g);
	if (is_complete(g))
		grading_decide(g, g->rater);
}

void dispatch_looked_up(void *arg, struct grading *const *gradings, size_t n)
{
	struct dispatch *d = arg;

	for (size_t i = 0; i < n; i++)
		ask_or_decide(d, gradings[i]);
	dispatch_take_answers(d);
}

/* ---- life ---- */

void dispatch_init(struct dispatch *d, const struct context *ctx, struct joblist *jobs,
		   struct permits *permits, struct flights *flights)
{
	*d = (struct dispatch){ .ctx = ctx, .jobs = jobs, .permits = permits, .flights = flights };
}

void dispatch_check(const struct dispatch *d)
{
	for (const struct grading *g = d->jobs->head; g; g = g->next)
		INVARIANT(g->rater == d->ctx->rater || g->rater == d->ctx->fallback);
	INVARIANT(!d->provider_away || !d->ctx->fallback || d->fallback_not_before_ms > 0);
}
