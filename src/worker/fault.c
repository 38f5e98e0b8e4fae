/*
 * Whose fault a failed call was. Runs in workers, on answers just taken; it sends nothing. The
 * breaker is asked here, which remembers what it was asked about; dispatch.c opens and closes it,
 * and what becomes of the job is grading_decide()'s.
 */
#include "fault.h"

#include "base/clock.h"
#include "scoreboard/breaker.h"

/* A call that failed so close to its job's deadline had no more time to give. */
#define DEADLINE_SLACK_MS 100
#define SHARES_BETWEEN 3	/* of the pace, from a control to the claim it vouches for */

static struct breaker *breaker_of(const struct context *ctx)
{
	return &context_scoreboard(ctx)->breaker;
}

static bool at_deadline(const struct ask *ask)
{
	return ask->deadline_ms - now_ms() < DEADLINE_SLACK_MS;
}

/*
 * Its job's deadline ended it, which says nothing about who was asked: too little time was left, or
 * it is a program of this host, which one question can keep busy for ever.
 */
static bool was_hurried(const struct config *config, const struct rater *rater,
			const struct ask *ask)
{
	bool had_time = ask->used.latency_ms >= config->queue.job_deadline_ms / 2;

	return at_deadline(ask) && (!rater->metered || !had_time);
}

/* It rated a line, or says what is wrong with these lines. */
static bool is_of_use(const struct ask *ask)
{
	if (ask->err)
		return ask->about_lines;
	for (size_t i = 0; i < ask->nlines; i++)
		if (ask->verdicts[i].outcome == OUTCOME_RATED ||
		    ask->verdicts[i].outcome == OUTCOME_REFUSED)
			return true;
	return false;
}

void fault_blame_rater(const struct rater *rater, struct ask *ask)
{
	const char *last = ask->err ? ask->err->text : outcome_words(ask->verdicts[0].outcome);

	ask_fail(ask, ERR_DENIED, "%d jobs in a row brought no usable answer, so they are not to "
		 "blame: %.300s; %s", BREAKER_UNCLEAR_IN_A_ROW, last, rater->ops->advice);
}

/*
 * A line that anybody can rate is refused as well, so it is not what the lines say: an operator
 * must act.
 */
static void blame_request(struct ask *ask)
{
	struct err why = *ask->err;

	ask_fail(ask, ERR_DENIED, "%.380s; it refuses a harmless line, too, so no job is to blame: "
		 "see to account, model and openai.extra", why.text);
}

/*
 * A refusal that no sign tells is no answer: it may be what everybody gets. That somebody has just
 * had an answer tells nothing: of a hundred calls on their way when the credit ends, some were
 * answered a moment before. So a control tells, each time.
 */
static enum fault fault_of_refusal(const struct context *ctx, const struct ask *ask)
{
	const struct grading *g = ask->owner;

	return ctx->rater->metered && !g->calls.controlled ? FAULT_UNPLACED : FAULT_REFUSED;
}

/*
 * Answers of no use cost attempts: after the first, what is left are lines that are hard to rate. A
 * rater that cannot grade a session as a whole may well rate lines, and nobody else is to wait.
 */
static enum fault fault_of_answer(const struct ask *ask, bool probing)
{
	if (is_of_use(ask))
		return FAULT_NONE;
	if (ask_is_whole(ask))
		return FAULT_ALIVE;
	return ask->job->attempts > 0 && !probing ? FAULT_ALIVE : FAULT_USELESS;
}

/*
 * How old an answer may be that shows, before a suspect is asked, that the rater works. Limits may
 * keep the two apart.
 */
static int64_t vouching_ms(const struct context *ctx)
{
	return ctx->config->openai.timeout_ms +
	       SHARES_BETWEEN * throttle_share_ms(&context_scoreboard(ctx)->throttle);
}

bool fault_needs_control(const struct context *ctx, const struct grading *g, bool probing)
{
	if (!ctx->rater->metered || g->rater != ctx->rater || g->calls.controlled ||
	    grading_open_lines(g) == 0)
		return false;
	if (probing && atomic_load(&breaker_of(ctx)->unclear) > 0)
		return true;
	return grading_is_suspect(g) &&
	       !breaker_answered_lately(breaker_of(ctx), vouching_ms(ctx), now_ms());
}

/*
 * Nobody else gets answers either. Those of a suspect were made sure of, if need be by a control.
 */
static bool is_everybodys(const struct context *ctx, const struct ask *ask)
{
	const struct grading *g = ask->owner;
	int64_t before = grading_is_suspect(g) || g->calls.controlled ? vouching_ms(ctx) : 0;

	return ask->control || breaker_unclear(breaker_of(ctx), ask->job->id,
					       before + ask->used.latency_ms, now_ms());
}

/* Sent by all workers within the breaker's memory of doubts. */
static int64_t calls_lately(const struct context *ctx)
{
	return tally_sum(&context_scoreboard(ctx)->throttle.requests_sent, now_ms());
}

/* Whether a failure that is not everybody's, and unclear, is to cost this job nothing. */
static bool costs_nothing(const struct context *ctx, struct grading *g)
{
	int64_t now = now_ms();

	if (ctx->rater->metered && g->free_retries == 0 && !g->used_free_retry)
		breaker_doubt(breaker_of(ctx), now);
	grading_use_free_retry(g);
	return g->free_retries < GRADING_FREE_DOUBTS ||
	       (g->free_retries < GRADING_FREE_DOUBTS_FLAKY &&
		breaker_is_flaky(breaker_of(ctx), calls_lately(ctx), now));
}

/*
 * A job that spent some of its time waiting for the calls of others, or for a free one, has a few
 * goes free.
 */
void fault_past_deadline(const struct config *config, const struct grading *g, struct err *err)
{
	bool waited = g->flight.waited || g->phase == GRADING_HELD_BACK;
	bool no_charge = waited && !grading_is_suspect(g);
	char limit[32];

	duration_format(config->queue.job_deadline_ms, limit, sizeof(limit));
	err_set(err, no_charge ? ERR_UNCLEAR : ERR_RETRY,
		"no rating arrived within %s of the claim", limit);
}

/*
 * A firewall before the provider refuses lines that look like an attack, and a provider those that
 * it finds improper, with the status of an account that is denied: 403, 405, a redirect. While
 * others get answers it is this job's as far as anybody knows, and no reason to stop the pool; but
 * a gateway may have one bad key of many, so it costs as little as what is unclear.
 */
static void doubt_denial(const struct context *ctx, struct ask *ask)
{
	const struct grading *g = ask->owner;
	struct err why;

	if (!ask->err || !ask->filtered || ask->control || !ctx->rater->metered ||
	    !(g->calls.controlled || breaker_answered_lately(breaker_of(ctx), 0, now_ms())) ||
	    is_everybodys(ctx, ask))
		return;
	why = *ask->err;
	ask_fail(ask, ERR_UNCLEAR, "%.400s; others get answers, so it may be about these lines",
		 why.text);
}

/*
 * A call that timed out, was cut or met a 500 was the provider's fault while nobody else gets
 * answers either (breaker_unclear()). One that its job's own deadline ended tells as much only if
 * it had half of that time to itself; else the job has used up an attempt. When others did get
 * answers while it waited, the job is under suspicion (it stays ERR_UNCLEAR): it goes back free of
 * charge a few times, as the provider may just have restarted, and more often while it fails others
 * now and then; after that its attempts count. Answers of no use are the job's fault until too many
 * jobs in a row have met with them.
 */
enum fault fault_of_rater(const struct context *ctx, struct ask *ask, bool probing)
{
	doubt_denial(ctx, ask);
	if (err_kind(ask->err) == ERR_UNCLEAR && !was_hurried(ctx->config, ctx->rater, ask) &&
	    is_everybodys(ctx, ask)) {
		ask->err->kind = ERR_UNAVAILABLE;
		return FAULT_SILENCE;
	}
	if (ask->control && err_kind(ask->err) == ERR_PERMANENT)
		blame_request(ask);
	if (err_is_outside(err_kind(ask->err)))
		return FAULT_OUTSIDE;
	if (ask->err && ask->unplaced)
		return fault_of_refusal(ctx, ask);
	if (err_kind(ask->err) == ERR_UNCLEAR) {
		if (at_deadline(ask))
			fault_past_deadline(ctx->config, ask->owner, ask->err);
		else if (!costs_nothing(ctx, ask->owner))
			ask->err->kind = ERR_RETRY;
		return FAULT_UNSAID;
	}
	if ((ask->used.calls == 0 && !ctx->rater->instant) || ask->silent)
		return FAULT_UNSAID;
	return fault_of_answer(ask, probing);
}

enum fault fault_of_fallback(const struct context *ctx, struct ask *ask)
{
	if (err_kind(ask->err) == ERR_UNCLEAR && was_hurried(ctx->config, ctx->fallback, ask)) {
		fault_past_deadline(ctx->config, ask->owner, ask->err);
		return FAULT_UNSAID;
	}
	if (err_kind(ask->err) != ERR_UNCLEAR && !err_is_outside(err_kind(ask->err)))
		return FAULT_NONE;
	ask->err->kind = ERR_UNAVAILABLE;
	return FAULT_OUTSIDE;
}
