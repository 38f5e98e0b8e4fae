/*
 * Whose fault it is that a call brought nothing: the provider's, which the breaker is told, the job's, or nobody
 * knows yet. Runs in workers, on answers just taken; it sends nothing, and what becomes of the job is
 * decide.c's.
 */
#include "worker.h"

#include "base/clock.h"
#include "scoreboard/breaker.h"
#include "scoreboard/trouble.h"

/* A call that failed so close to its job's deadline had no more time to give. */
#define DEADLINE_SLACK_MS 100

#define FALLBACK_PAUSE_MS 2000	/* for one that cannot answer either */
#define SHARES_BETWEEN 3	/* of the pace, at most, between a control and the claim that it vouches for */

static void tell_breaker(struct worker *w, const struct err *err)
{
	trouble_say(err->text);
	breaker_failure(&w->c->sb->breaker, err, now_ms());
	w->probing = false;
	w->provider_away = !w->fallback;
}

static bool at_deadline(const struct ask *ask)
{
	return ask->deadline_ms - now_ms() < DEADLINE_SLACK_MS;
}

/*
 * Its job's deadline ended it, which says nothing about who was asked: too little time was left, or it is a
 * program of this host, which one question can keep busy for ever.
 */
static bool was_hurried(const struct worker *w, const struct rater *rater, const struct ask *ask)
{
	return at_deadline(ask) && (!rater->metered || ask->used.latency_ms < w->config->queue.job_deadline_ms / 2);
}

/* It rated a line, or says what is wrong with these lines. */
static bool is_of_use(const struct ask *ask)
{
	if (ask->err)
		return ask->about_lines;
	for (size_t i = 0; i < ask->nlines; i++)
		if (ask->verdicts[i].outcome == OUTCOME_RATED || ask->verdicts[i].outcome == OUTCOME_REFUSED)
			return true;
	return false;
}

static void blame_rater(const struct rater *rater, struct ask *ask)
{
	const char *last = ask->err ? ask->err->text : outcome_words(ask->verdicts[0].outcome);

	ask_fail(ask, ERR_DENIED, "%d jobs in a row brought no usable answer, so they are not to blame: %.300s; %s",
		 BREAKER_UNCLEAR_IN_A_ROW, last, rater->ops->advice);
}

static void find_use(struct worker *w, struct ask *ask)
{
	if (is_of_use(ask)) {
		breaker_success(&w->c->sb->breaker, now_ms());
	} else if (ask->job->attempts > 0 && !w->probing) {
		breaker_alive(&w->c->sb->breaker, now_ms());	/* such answers cost attempts: what is left are lines that are hard to rate */
	} else if (breaker_useless(&w->c->sb->breaker, ask->job->id, now_ms())) {
		blame_rater(w->rater, ask);
		tell_breaker(w, ask->err);
		return;
	}
	w->probing = w->provider_away = false;
}

/* How old an answer may be that shows, before a suspect is asked, that the rater works. Limits may keep the two apart. */
static int64_t vouching_ms(const struct worker *w)
{
	return w->config->openai.timeout_ms + SHARES_BETWEEN * throttle_share_ms(&w->c->sb->throttle);
}

/*
 * When a job that fails is the only one, nobody knows whether the provider is away or this job's lines break its
 * calls; and it would be asked about for ever, since an outage may cost no attempt. The same when jobs fail one after
 * the other and the breaker asks for a sign of life. So the provider is asked something else first.
 */
bool worker_needs_control(const struct worker *w, const struct grading *g)
{
	if (!w->rater->metered || g->rater != w->rater || g->calls.controlled || grading_open_lines(g) == 0)
		return false;
	if (w->probing && atomic_load(&w->c->sb->breaker.unclear) > 0)
		return true;
	return grading_is_suspect(g) && !breaker_answered_lately(&w->c->sb->breaker, vouching_ms(w), now_ms());
}

/* Nobody else gets answers either. Those of a suspect were made sure of, if need be by a control. */
static bool is_everybodys(struct worker *w, const struct ask *ask)
{
	const struct grading *g = ask->owner;
	int64_t before = grading_is_suspect(g) || g->calls.controlled ? vouching_ms(w) : 0;

	return ask->control || breaker_unclear(&w->c->sb->breaker, ask->job->id, before + ask->used.latency_ms, now_ms());
}

/* Sent by all workers within the breaker's memory of doubts. */
static int64_t calls_lately(const struct worker *w)
{
	return tally_sum(&w->c->sb->throttle.requests_sent, now_ms());
}

/* Whether a failure that is not everybody's, and unclear, is to cost this job nothing. */
static bool is_free(struct worker *w, struct grading *g)
{
	if (w->rater->metered && g->free_retries == 0 && !g->used_free_retry)
		breaker_doubt(&w->c->sb->breaker, now_ms());
	g->used_free_retry = true;
	return g->free_retries < GRADING_FREE_DOUBTS ||
	       (g->free_retries < GRADING_FREE_DOUBTS_FLAKY && breaker_is_flaky(&w->c->sb->breaker, calls_lately(w), now_ms()));
}

/*
 * A call that timed out, was cut or met a 500 was the provider's fault while nobody else gets answers either
 * (breaker_unclear()). One that its job's own deadline ended tells as much only if it had half of that time
 * to itself; else the job has used up an attempt. When others did get answers while it waited, the job is
 * under suspicion (it stays ERR_UNCLEAR): it goes back free of charge a few times, as the provider may
 * just have restarted, and more often while it fails others now and then; after that its attempts count. Answers of
 * no use are the job's fault until too many jobs in a row have met with them.
 */
static void find_blame_with_rater(struct worker *w, struct ask *ask)
{
	if (err_kind(ask->err) == ERR_UNCLEAR && !was_hurried(w, w->rater, ask) && is_everybodys(w, ask))
		ask->err->kind = ERR_UNAVAILABLE;
	if (err_is_outside(err_kind(ask->err))) {
		tell_breaker(w, ask->err);
	} else if (err_kind(ask->err) == ERR_UNCLEAR && at_deadline(ask)) {
		worker_past_deadline(w, ask->owner, ask->err);
	} else if (err_kind(ask->err) == ERR_UNCLEAR) {
		if (!is_free(w, ask->owner))
			ask->err->kind = ERR_RETRY;
	} else if ((ask->used.calls > 0 || w->rater->instant) && !ask->silent) {
		find_use(w, ask);
	}
}

/* The breaker is the first rater's. A fallback that fails too is left alone for a while, by this worker. */
static void find_blame_with_fallback(struct worker *w, struct ask *ask)
{
	if (err_kind(ask->err) == ERR_UNCLEAR && was_hurried(w, w->fallback, ask)) {
		worker_past_deadline(w, ask->owner, ask->err);
		return;
	}
	w->provider_away = err_kind(ask->err) == ERR_UNCLEAR || err_is_outside(err_kind(ask->err));
	if (!w->provider_away)
		return;
	ask->err->kind = ERR_UNAVAILABLE;
	trouble_say(ask->err->text);
	w->fallback_not_before_ms = now_ms() + FALLBACK_PAUSE_MS;
}

void worker_find_blame(struct worker *w, const struct rater *rater, struct ask *ask)
{
	if (rater->fallback) {
		find_blame_with_fallback(w, ask);
		return;
	}
	find_blame_with_rater(w, ask);
	if (w->fallback && err_is_outside(err_kind(ask->err)))
		ask->err->after_ms = 0;		/* told to the breaker; the job need not wait so long */
}
