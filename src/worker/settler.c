/*
 * A worker's settlements. Runs in workers; it decides nothing about jobs but what becomes of one that the database
 * refuses. While claim_txn.c has a transaction under way nothing is gathered: worker.c sees to that.
 *
 * A race that the order prevents: a job is freed only when the answer to its last settlement has come. Were it freed
 * when that was sent, a connection lost at COMMIT would leave nothing to send again, and nobody would know whether the
 * ratings are stored; sent again it is conditional on the claim, so that what was stored is not stored twice.
 */
#include "settler.h"

#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "process/wake.h"
#include "scoreboard/trouble.h"

#define TROUBLE_MS 500		/* pause after a settlement that failed for a reason outside it */
#define RETRY_MAX_MS 8000	/* between settlements that fail, which may take as long as lock_timeout */

/* ---- a job that was answered ---- */

static void count_settled(const struct context *ctx, const struct grading *g)
{
	const char *status = g->settlement.status;

	context_count(ctx, COUNTER_LINES_SKIPPED, g->job.skipped);
	context_count(ctx, COUNTER_LINES_FAILED, g->nfailed);
	if (strcmp(status, "completed") == 0) {
		context_count(ctx, COUNTER_JOBS_COMPLETED, 1);
		if (g->nfailed > 0)
			log_warn("job %s is completed, but: %s", g->job.id, g->settlement.error);
	} else if (strcmp(status, "failed") == 0) {
		context_count(ctx, COUNTER_JOBS_FAILED, 1);
		log_warn("job %s failed: %s", g->job.id, g->settlement.error);
	} else {
		context_count(ctx, g->settlement.attempt ? COUNTER_JOBS_RETRIED : COUNTER_JOBS_RELEASED, 1);
		wake_slot(SLOT_JANITOR);	/* it sets a timer for when the job is due again */
	}
}

void settler_finish(struct settler *s, struct grading *g, bool settled)
{
	if (!settled) {
		context_count(s->ctx, COUNTER_CLAIMS_LOST, 1);
		log_debug("job %s had moved on; its result is dropped", g->job.id);
		dispatch_drop(s->dispatch, g);
		return;
	}
	context_count(s->ctx, COUNTER_LINES_RATED, g->settlement.nlines);
	grading_attached_done(g, true);
	if (grading_resume(g))
		s->retry_pause_ms = s->retry_not_before_ms = 0;
	flights_stored(s->flights, g);
	if (!g->settle.last)
		return;		/* only lines were stored; its calls go on */
	count_settled(s->ctx, g);
	dispatch_drop(s->dispatch, g);
}

/* ---- settlements that failed ---- */

static const char *session_under_way(const struct settler *s)
{
	const struct grading *g = s->jobs->head;

	while (!g->settle.under_way)
		g = g->next;
	return g->job.session_id;
}

/*
 * Something keeps the database from it, such as a row of one of the jobs that somebody has locked for long: they make
 * way for others, and come back in smaller company, until the one that it is about waits for itself alone; others of
 * its session, whose row they share, need not find out for themselves.
 */
static void defer(struct settler *s, int company)
{
	const char *session = session_under_way(s);
	int64_t now = now_ms();

	s->retry_pause_ms = company > 1 || !s->retry_pause_ms ? TROUBLE_MS : s->retry_pause_ms * 2;
	if (s->retry_pause_ms > RETRY_MAX_MS)
		s->retry_pause_ms = RETRY_MAX_MS;
	s->retry_not_before_ms = now + s->retry_pause_ms;
	for (struct grading *g = s->jobs->head; g; g = g->next)
		if (g->settle.under_way || (company == 1 && strcmp(g->job.session_id, session) == 0))
			grading_postpone(g, now, (company + 1) / 2);
}

/*
 * What the database would not take. A first settlement is sent again in the form that takes whatever is
 * there. Of a batch each job is tried by itself, so that one cannot sink the others; a lone one ends as
 * failed by name; if even that is refused the reaper has to find it.
 */
static void refused(struct settler *s, struct grading *g, bool batch, const struct err *err)
{
	grading_attached_done(g, false);
	if (err->kind != ERR_PERMANENT)
		return;
	if (s->form == SETTLE_FIRST) {
		grading_may_be_stored(g);
	} else if (batch) {
		grading_settle_alone(g);
	} else if (!g->settle.refused) {
		dispatch_cancel(s->dispatch, g);
		grading_refuse(g, err->text);
	} else {
		log_error("job %s cannot be settled at all: %s; the reaper will find it", g->job.id, err->text);
		dispatch_drop(s->dispatch, g);
	}
}

void settler_say_trouble(struct settler *s, const struct err *err, enum settle_form form)
{
	if (err->kind == ERR_LOST)
		return;		/* the connection has said so */
	if (err->kind == ERR_PERMANENT && form != SETTLE_ANY)
		return;		/* there is another form */
	trouble_say(err->text);
	if (err->kind == ERR_PERMANENT) {
		log_warn("%s; settling job by job", err->text);
		return;
	}
	log_warn("%s; %s", err->text, form == SETTLE_HELD ? "its jobs are claimed again" : "sending it again");
	s->not_before_ms = now_ms() + TROUBLE_MS;
}

/* What a server cannot do in time, or one job in a batch keeps it from doing, it may do by halves. */
static void adapt_batch(struct settler *s, int n, const struct err *err)
{
	if (err && err->kind == ERR_RETRY)
		s->max = n > 1 ? n / 2 : 1;
	else if (!err && s->max < WORKER_BATCH_MAX)
		s->max *= 2;
}

/* ---- answers; the jobs they are about are those under way, in the order of the list ---- */

static void settled(struct settler *s, const bool *still_ours)
{
	int place = 0, dropped = 0;

	for (struct grading *g = s->jobs->head, *next; g; g = next) {
		next = g->next;
		if (!g->settle.under_way)
			continue;
		dropped += !still_ours[place];
		settler_finish(s, g, still_ours[place++]);
	}
	if (dropped > 0)
		log_info("%d results are dropped: their jobs had moved on", dropped);
}

static void failed(struct settler *s, int n, const struct err *err)
{
	settler_say_trouble(s, err, s->form);
	if (err->kind == ERR_RETRY)
		defer(s, n);
	for (struct grading *g = s->jobs->head, *next; g; g = next) {
		next = g->next;
		if (g->settle.under_way)
			refused(s, g, n > 1, err);
	}
}

static void on_settled(void *arg, const PGresult *result, const struct err *err)
{
	struct settler *s = arg;
	bool still_ours[WORKER_BATCH_MAX];
	int n = s->under_way;

	s->under_way = 0;
	adapt_batch(s, n, err);
	if (err) {
		failed(s, n, err);
		return;
	}
	queue_settled(result, still_ours, (size_t)n);
	settled(s, still_ours);
}

/* ---- gathering ---- */

/* Decided, or with some of its calls answered and others (or other jobs') not: those lines are stored as they arrive. */
static bool is_ready(const struct grading *g)
{
	bool some_to_come = g->calls.nopen > 0 || g->flight.nwaiting > 0;

	if (grading_in_lookup(g))
		return false;
	return grading_is_decided(g) || (g->calls.nopen < (int)g->calls.n && some_to_come);
}

static enum settle_form form_of(const struct grading *g)
{
	return grading_is_first(g) ? SETTLE_FIRST : SETTLE_ANY;
}

/* Not when its last settlement failed so short a while ago that others go first. */
static bool may_settle(const struct settler *s, const struct grading *g, int64_t now)
{
	return !g->settle.failed_ms || s->ctx->stopping || now >= s->retry_not_before_ms;
}

bool settler_has_any(const struct settler *s, int64_t now_ms)
{
	for (const struct grading *g = s->jobs->head; g; g = g->next)
		if (!g->settle.under_way && may_settle(s, g, now_ms))
			return true;
	return false;
}

/*
 * Whose turn it is: 0, those that were not sent yet; else those that failed at that moment, the longest ago. The one
 * after the other, since what fails may take all of lock_timeout.
 */
static int64_t turn_of(const struct settler *s, int64_t now, int64_t *wait)
{
	int64_t longest_ago = 0;
	bool any_fresh = false;

	for (const struct grading *g = s->jobs->head; g; g = g->next) {
		if (!is_ready(g))
			continue;
		if (!g->settle.failed_ms)
			any_fresh = true;
		else if (!may_settle(s, g, now))
			*wait = s->retry_not_before_ms - now;
		else if (!longest_ago || g->settle.failed_ms < longest_ago)
			longest_ago = g->settle.failed_ms;
	}
	return s->retried_last && any_fresh ? 0 : longest_ago;
}

static int batch_max(const struct settler *s)
{
	int max = s->ctx->rater->instant ? WORKER_BATCH_MAX : context_batch(s->ctx, s->ctx->rater);

	return max < s->max ? max : s->max;
}

/* g goes along with the n gathered before it. */
static bool fits(const struct settler *s, const struct grading *g, int64_t turn, int n)
{
	if (!is_ready(g) || g->settle.failed_ms != turn)
		return false;
	return n == 0 || (!g->settle.alone && form_of(g) == s->form);
}

static int gather(struct settler *s, int64_t turn)
{
	int n = 0, max = batch_max(s);
	int64_t bytes = 0;

	for (struct grading *g = s->jobs->head; g && n < max && bytes < SETTLE_BYTES; g = g->next) {
		if (!fits(s, g, turn, n) || !grading_attach(g))
			continue;
		if (turn && max > g->settle.most)
			max = g->settle.most;
		s->form = form_of(g);
		s->gathered[n++] = &g->settlement;
		bytes += g->bytes;
		if (g->settle.alone)
			break;
	}
	return n;
}

int64_t settler_gather(struct settler *s)
{
	int64_t now = now_ms(), wait = -1, turn;
	int n;

	if (s->under_way || !pg_is_ready(s->ctx->pg))
		return -1;
	if (now < s->not_before_ms)
		return s->not_before_ms - now;
	turn = turn_of(s, now, &wait);
	n = gather(s, turn);
	if (n > 0)
		s->retried_last = turn != 0;
	s->under_way = s->ngathered = n;
	return wait;
}

void settler_send(struct settler *s)
{
	int n = s->ngathered;

	s->ngathered = 0;
	if (n > 0 && queue_settle(s->ctx->queue, s->form, s->ctx->child->identity, s->gathered, (size_t)n,
				  s->ctx->config->cache.ttl_ms, on_settled, s) == -1)
		on_settled(s, NULL, &(struct err){ .kind = ERR_LOST });
}

/* ---- life ---- */

void settler_init(struct settler *s, const struct context *ctx, struct joblist *jobs,
		  struct dispatch *dispatch, struct flights *flights)
{
	*s = (struct settler){
		.ctx = ctx, .jobs = jobs, .dispatch = dispatch, .flights = flights,
		.max = WORKER_BATCH_MAX,
	};
}

void settler_check(const struct settler *s)
{
	INVARIANT(s->ngathered == 0 || s->ngathered == s->under_way);
	INVARIANT(s->max >= 1);
	INVARIANT(s->retry_pause_ms <= RETRY_MAX_MS);
}
