/*
 * A worker's settlements. Runs in workers; it decides nothing about jobs but what becomes of one
 * that the database refuses. While claim_txn.c has a transaction under way nothing is gathered:
 * worker.c sees to that.
 *
 * A race that the order prevents: a job is freed only when the answer to its last settlement has
 * come. Were it freed when that was sent, a connection lost at COMMIT would leave nothing to send
 * again, and nobody would know whether the ratings are stored; sent again it is conditional on the
 * claim, so that what was stored is not stored twice.
 */
#include "settler.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/uuid.h"
#include "process/wake.h"
#include "scoreboard/news.h"
#include "scoreboard/trouble.h"
#include "refusal.h"

#define HELD_FAILED_MS 500	/* pause after a held claim that failed: there is an ordinary way */

/* ---- a job that was answered ---- */

static void count_settled(const struct context *ctx, const struct grading *g)
{
	const char *status = g->settlement.status;

	context_count(ctx, COUNTER_LINES_SKIPPED, g->job.skipped);
	context_count(ctx, COUNTER_LINES_FAILED, g->nfailed);
	if (strcmp(status, "completed") == 0) {
		context_count(ctx, COUNTER_JOBS_COMPLETED, 1);
		context_count(ctx, COUNTER_SESSIONS_GRADED, g->whole.grade != NULL);
		context_count(ctx, COUNTER_SESSIONS_CACHED, g->whole.cached);
		if (g->nfailed > 0)
			log_warn("job %s is completed, but: %s", g->job.id, g->settlement.error);
	} else if (strcmp(status, "failed") == 0) {
		context_count(ctx, COUNTER_JOBS_FAILED, 1);
		log_warn("job %s failed: %s", g->job.id, g->settlement.error);
	} else {
		context_count(ctx, g->settlement.attempt ? COUNTER_JOBS_RETRIED
							 : COUNTER_JOBS_RELEASED, 1);
		wake_slot(SLOT_JANITOR);	/* it sets a timer for when the job is due again */
	}
}

/* Whoever waits for the session's ratings is told by the publisher. */
static void tell_publisher(const struct context *ctx, const struct grading *g)
{
	struct scoreboard *sb = context_scoreboard(ctx);
	unsigned char session[UUID_BYTES];

	if (!atomic_load_explicit(&sb->channels, memory_order_relaxed) || !g->job.session_id[0])
		return;
	uuid_bytes(g->job.session_id, session);
	news_add(&context_slot(ctx)->news, session);
	wake_publisher(sb);
}

/* A batch that has ended may be the last one, for which a job waits that is of all of them. */
static void tell_session(struct settler *s, const struct grading *g)
{
	bool pending = strcmp(g->settlement.status, "pending") == 0;

	if (g->whole.waiting)
		session_end_waits(s->ends, g->settlement.delay_ms);
	else if (!pending && !g->job.whole)
		session_end_note(s->ends, g->job.session_id);
}

void settler_finish(struct settler *s, struct grading *g, bool settled)
{
	if (!settled) {
		context_count(s->ctx, COUNTER_CLAIMS_LOST, 1);
		log_debug("job %s had moved on; its result is dropped", g->job.id);
		dispatch_drop(s->dispatch, g);
		return;
	}
	tell_publisher(s->ctx, g);
	context_count(s->ctx, COUNTER_LINES_RATED, g->settlement.nlines);
	grading_attached_done(g, true);
	flights_stored(s->flights, g);
	if (!g->settle.last)
		return;		/* only lines were stored; its calls go on */
	count_settled(s->ctx, g);
	tell_session(s, g);
	dispatch_drop(s->dispatch, g);
}

/* ---- settlements that failed ---- */

/* A lost connection has been said already. */
static void say(const struct err *err, const char *next)
{
	if (err->kind == ERR_LOST)
		return;
	trouble_say(err->text);
	log_warn("%s; %s", err->text, next);
}

void settler_held_failed(struct settler *s, const struct err *err)
{
	if (err->kind == ERR_LOST || refusal_of_row(err))
		return;		/* the ordinary way tells whose fault it is */
	say(err, "its jobs are claimed again");
	s->not_before_ms = now_ms() + HELD_FAILED_MS;
}

/*
 * A job whose settlement the database refuses. What its values are at fault for will not pass: it
 * ends as failed, by name, and if even that is refused the reaper has to find it. Anything else may
 * pass: it waits behind the others.
 */
static void guilty(struct settler *s, struct grading *g, const struct err *err)
{
	trouble_say(err->text);
	if (err->kind != ERR_PERMANENT) {
		log_warn("job %s cannot be settled now: %s; it waits behind the others", g->job.id,
			 err->text);
		rowset_defer(&s->set, &g->settle.row, now_ms());
	} else if (!g->settle.refused) {
		dispatch_cancel(s->dispatch, g);
		grading_end_unstorable(g, err->text);
	} else {
		log_error("job %s cannot be settled at all: %s; the reaper will find it", g->job.id,
			  err->text);
		dispatch_drop(s->dispatch, g);
	}
}

static void heed(struct settler *s, enum rowset_verdict verdict, const struct err *err)
{
	switch (verdict) {
	case ROWSET_AGAIN:
	case ROWSET_WAITS:
		say(err, "sending it again");
		break;
	case ROWSET_SPLIT:
		say(err, "settling in smaller batches");
		break;
	case ROWSET_GUILTY:
		guilty(s, s->gathered[0], err);
		break;
	case ROWSET_TROUBLE:
		say(err, err->kind == ERR_PERMANENT
			 ? "no job can be settled: each is tried alone"
			 : "no job can be settled: trying again until one can");
		break;
	case ROWSET_TROUBLE_STILL:
		break;
	}
}

/*
 * A first settlement that is refused is sent again in the form that takes whatever is there:
 * nothing was learnt.
 */
static bool has_other_form(struct settler *s, int n, const struct err *err)
{
	if (s->form != SETTLE_FIRST || err->kind != ERR_PERMANENT)
		return false;
	for (int i = 0; i < n; i++)
		grading_may_be_stored(s->gathered[i]);
	return true;
}

static void failed(struct settler *s, int n, const struct err *err)
{
	for (int i = 0; i < n; i++)
		grading_attached_done(s->gathered[i], false);
	if (has_other_form(s, n, err))
		rowset_again(&s->set);
	else
		heed(s, rowset_failed(&s->set, err, now_ms()), err);
}

/* Those that are to be sent again have left the set, and join it anew. */
static void settled(struct settler *s, int n, const enum settled *outcomes)
{
	int64_t troubled_ms = rowset_succeeded(&s->set, now_ms());
	int dropped = 0;

	if (troubled_ms >= 0)
		log_info("jobs are settled again, after %" PRId64 " ms", troubled_ms);
	for (int i = 0; i < n; i++) {
		dropped += outcomes[i] == SETTLED_NOT_OURS;
		if (outcomes[i] == SETTLED_AGAIN)
			grading_attached_done(s->gathered[i], false);
		else
			settler_finish(s, s->gathered[i], outcomes[i] == SETTLED);
	}
	if (dropped > 0)
		log_info("%d results are dropped: their jobs had moved on", dropped);
}

static bool none_settled(int n, const enum settled *outcomes)
{
	for (int i = 0; i < n; i++)
		if (outcomes[i] != SETTLED_AGAIN)
			return false;
	return true;
}

/* Returns whether this was so of all jobs of this settlement before. */
static bool mark_opened(struct settler *s, int n)
{
	bool all = true;

	for (int i = 0; i < n; i++) {
		all &= s->gathered[i]->settle.opened;
		s->gathered[i]->settle.opened = true;
	}
	return all;
}

/*
 * Nothing was stored, but the sessions were opened, so the same again will do. If it did not, what
 * is inserted there vanishes, or cannot be locked; with jobs beside it that are new here, it may be
 * their sessions that were missing.
 */
static void only_opened(struct settler *s, int n)
{
	struct err err;

	if (!mark_opened(s, n)) {
		for (int i = 0; i < n; i++)
			grading_attached_done(s->gathered[i], false);
		rowset_again(&s->set);
		return;
	}
	err_set(&err, ERR_RETRY, "job %s%s: the row of its session in grading_sessions is not there "
		"although it was inserted; look for a trigger or a policy there that is in the way",
		s->gathered[0]->job.id, n > 1 ? " or another one" : "");
	strcpy(err.sqlstate, "02000");
	failed(s, n, &err);
}

static void on_settled(void *arg, const PGresult *result, const struct err *err)
{
	struct settler *s = arg;
	enum settled outcomes[WORKER_BATCH_MAX];
	int n = s->under_way;

	s->under_way = 0;
	if (err) {
		failed(s, n, err);
		return;
	}
	queue_settled(result, outcomes, (size_t)n);
	if (none_settled(n, outcomes)) {
		only_opened(s, n);
		return;
	}
	settled(s, n, outcomes);
}

/* ---- gathering ---- */

/*
 * Decided, or with some of its calls answered and others (or other jobs') not: those lines are
 * stored as they arrive.
 */
static bool is_ready(const struct grading *g)
{
	bool some_to_come = g->calls.nopen > 0 || g->flight.nwaiting > 0;

	if (grading_in_lookup(g))
		return false;
	if (grading_is_decided(g))
		return true;
	return g->calls.nopen < (int)g->calls.n && some_to_come && grading_has_news(g);
}

static enum settle_form form_of(const struct grading *g)
{
	return grading_is_first(g) ? SETTLE_FIRST : SETTLE_ANY;
}

bool settler_has_any(const struct settler *s, int64_t now_ms)
{
	for (const struct grading *g = s->jobs->head; g; g = g->next)
		if (!g->settle.under_way && !rowset_waits(&s->set, &g->settle.row, now_ms))
			return true;
	return false;
}

static void add_ready(struct settler *s)
{
	for (struct grading *g = s->jobs->head; g; g = g->next)
		if (!g->settle.row.added && is_ready(g))
			rowset_add(&s->set, &g->settle.row, g->job.session_id);
}

static struct grading *job_of(struct rowset_row *row)
{
	return (struct grading *)((char *)row - offsetof(struct grading, settle.row));
}

static int batch_max(const struct settler *s)
{
	if (s->ctx->rater->instant)
		return WORKER_BATCH_MAX;
	return context_batch(s->ctx, s->ctx->rater);
}

/*
 * What the set offers, as far as it is of one form and not too large. Jobs that have nothing to
 * send yet leave the set until they are looked at again: it would offer them for ever, and
 * nothing behind them.
 */
static int gather(struct settler *s, int64_t now)
{
	struct rowset_row *row;
	int64_t bytes = 0;
	int n = 0;

	while (bytes < SETTLE_BYTES && (row = rowset_offer(&s->set))) {
		struct grading *g = job_of(row);

		if (n > 0 && form_of(g) != s->form)
			continue;
		if (!grading_attach(g)) {
			rowset_remove(&s->set, row);
			continue;
		}
		rowset_take(&s->set, row, now);
		s->form = form_of(g);
		s->gathered[n++] = g;
		bytes += g->bytes;
	}
	return n;
}

int64_t settler_gather(struct settler *s)
{
	int64_t now = now_ms(), wait;

	if (s->under_way || !pg_is_ready(s->ctx->pg))
		return -1;
	if (now < s->not_before_ms)
		return s->not_before_ms - now;
	if (s->ctx->stopping)
		rowset_hurry(&s->set);
	add_ready(s);
	do {
		wait = rowset_begin(&s->set, batch_max(s), now);
		s->under_way = wait == 0 ? gather(s, now) : 0;
	} while (wait == 0 && s->under_way == 0);
	s->to_send = s->under_way > 0;
	return s->to_send ? -1 : wait;
}

void settler_send(struct settler *s)
{
	const struct settlement *settlements[WORKER_BATCH_MAX];
	int n = s->under_way;

	if (!s->to_send)
		return;
	s->to_send = false;
	for (int i = 0; i < n; i++)
		settlements[i] = &s->gathered[i]->settlement;
	if (queue_settle(s->ctx->queue, s->form, s->ctx->child->identity, settlements, (size_t)n,
			 s->ctx->config->cache.ttl_ms, on_settled, s) == -1)
		on_settled(s, NULL, &(struct err){ .kind = ERR_LOST });
}

/* ---- life ---- */

void settler_init(struct settler *s, const struct context *ctx, struct joblist *jobs,
		  struct dispatch *dispatch, struct flights *flights, struct session_end *ends)
{
	*s = (struct settler){
		.ctx = ctx, .jobs = jobs, .dispatch = dispatch, .flights = flights, .ends = ends,
	};
	rowset_init(&s->set, WORKER_BATCH_MAX);
}

void settler_check(const struct settler *s)
{
	INVARIANT(!s->to_send || s->under_way > 0);
	INVARIANT(s->under_way == s->set.nsent);
	for (int i = 0; i < s->under_way; i++)
		INVARIANT(s->gathered[i]->settle.under_way);
}
