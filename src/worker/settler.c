/*
 * A worker's settlements: one statement on its way at a time, with all jobs that were ready when it was
 * sent. Nothing is dropped before the database has said that it is stored or that the job moved on.
 */
#include "worker.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "process/wake.h"
#include "scoreboard/trouble.h"

#define TROUBLE_MS 500		/* pause after a settlement that failed for a reason outside it */
#define BEHIND_MAX_MS 8000	/* between settlements that fail, which may take as long as lock_timeout */

static void count_settled(struct worker *w, const struct grading *g)
{
	const char *status = g->settlement.status;

	worker_count(w, COUNTER_LINES_SKIPPED, g->job.skipped);
	worker_count(w, COUNTER_LINES_FAILED, g->nfailed);
	if (strcmp(status, "completed") == 0) {
		worker_count(w, COUNTER_JOBS_COMPLETED, 1);
		if (g->nfailed > 0)
			log_warn("job %s is completed, but: %s", g->job.id, g->settlement.error);
	} else if (strcmp(status, "failed") == 0) {
		worker_count(w, COUNTER_JOBS_FAILED, 1);
		log_warn("job %s failed: %s", g->job.id, g->settlement.error);
	} else {
		worker_count(w, g->settlement.attempt ? COUNTER_JOBS_RETRIED : COUNTER_JOBS_RELEASED, 1);
		wake_slot(SLOT_JANITOR);	/* it sets a timer for when the job is due again */
	}
}

void worker_finish(struct worker *w, struct grading *g, bool settled)
{
	if (!settled) {
		worker_count(w, COUNTER_CLAIMS_LOST, 1);
		log_debug("job %s had moved on; its result is dropped", g->job.id);
		worker_drop(w, g);
		return;
	}
	worker_count(w, COUNTER_LINES_RATED, g->settlement.nlines);
	grading_attached_done(g, true);
	if (g->settle.failed_ms)
		w->retry_pause_ms = w->retry_not_before_ms = 0;
	g->settle.failed_ms = 0;
	worker_flights_stored(w, g);
	if (!g->settle.last)
		return;		/* only lines were stored; its calls go on */
	count_settled(w, g);
	worker_drop(w, g);
}

/*
 * Something keeps the database from it, such as a row of one of the jobs that somebody has locked for long: they make
 * way for others, and come back in smaller company, until the one that it is about waits for itself alone; others of
 * its session, whose row they share, need not find out for themselves.
 */
static void defer(struct worker *w, int company)
{
	const struct grading *one = w->head;
	int64_t now = now_ms();
	const char *session;

	while (!one->settle.under_way)
		one = one->next;
	session = one->job.session_id;
	w->retry_pause_ms = company > 1 || !w->retry_pause_ms ? TROUBLE_MS : w->retry_pause_ms * 2;
	if (w->retry_pause_ms > BEHIND_MAX_MS)
		w->retry_pause_ms = BEHIND_MAX_MS;
	w->retry_not_before_ms = now + w->retry_pause_ms;
	for (struct grading *g = w->head; g; g = g->next)
		if (g->settle.under_way || (company == 1 && strcmp(g->job.session_id, session) == 0)) {
			g->settle.failed_ms = now;
			g->settle.most = (company + 1) / 2;
		}
}

bool worker_may_settle(const struct worker *w, const struct grading *g, int64_t now)
{
	return !g->settle.failed_ms || w->stopping || now >= w->retry_not_before_ms;
}

/*
 * What the database would not take. A first settlement is sent again in the form that takes whatever is
 * there. Of a batch each job is tried by itself, so that one cannot sink the others; a lone one ends as
 * failed by name; if even that is refused the reaper has to find it.
 */
static void refused(struct worker *w, struct grading *g, bool batch, const struct err *err)
{
	grading_attached_done(g, false);
	if (err->kind != ERR_PERMANENT)
		return;
	if (w->settle_form == SETTLE_FIRST) {
		g->settle.stored_before = true;
	} else if (batch) {
		g->settle.alone = true;
	} else if (!g->settle.refused) {
		worker_cancel(w, g);
		grading_refuse(g, err->text);
	} else {
		log_error("job %s cannot be settled at all: %s; the reaper will find it", g->job.id, err->text);
		worker_drop(w, g);
	}
}

void worker_say_trouble(struct worker *w, const struct err *err, enum settle_form form)
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
	w->settle_not_before_ms = now_ms() + TROUBLE_MS;
}

/* What a server cannot do in time, or one job in a batch keeps it from doing, it may do by halves. */
static void adapt_batch(struct worker *w, int n, const struct err *err)
{
	if (err && err->kind == ERR_RETRY)
		w->settle_max = n > 1 ? n / 2 : 1;
	else if (!err && w->settle_max < WORKER_BATCH_MAX)
		w->settle_max *= 2;
}

/* The jobs it is about are those marked, in the order of the list. */
static void on_settled(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;
	bool batch = w->settling > 1, settled[WORKER_BATCH_MAX];
	int n = w->settling, place = 0, dropped = 0;

	if (result)
		queue_settled(result, settled, (size_t)w->settling);
	w->settling = 0;
	if (err)
		worker_say_trouble(w, err, w->settle_form);
	if (err && err->kind == ERR_RETRY)
		defer(w, n);
	adapt_batch(w, n, err);
	for (struct grading *g = w->head, *next; g; g = next) {
		next = g->next;
		if (!g->settle.under_way)
			continue;
		if (err) {
			refused(w, g, batch, err);
		} else {
			dropped += !settled[place];
			worker_finish(w, g, settled[place++]);
		}
	}
	if (dropped > 0)
		log_info("%d results are dropped: their jobs had moved on", dropped);
}

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

/*
 * Whose turn it is: 0, those that were not sent yet; else those that failed at that moment, the longest ago. The one
 * after the other, since what fails may take all of lock_timeout.
 */
static int64_t turn_of(const struct worker *w, int64_t now, int64_t *wait)
{
	int64_t longest_ago = 0;
	bool any_fresh = false;

	for (const struct grading *g = w->head; g; g = g->next) {
		if (!is_ready(g))
			continue;
		if (!g->settle.failed_ms)
			any_fresh = true;
		else if (!worker_may_settle(w, g, now))
			*wait = w->retry_not_before_ms - now;
		else if (!longest_ago || g->settle.failed_ms < longest_ago)
			longest_ago = g->settle.failed_ms;
	}
	return w->retry_last && any_fresh ? 0 : longest_ago;
}

int64_t worker_gather(struct worker *w)
{
	size_t n = 0, max = w->rater->instant ? WORKER_BATCH_MAX : (size_t)worker_batch(w, w->rater);
	int64_t now = now_ms(), bytes = 0, wait = -1, turn;

	if (max > (size_t)w->settle_max)
		max = (size_t)w->settle_max;
	if (w->settling || w->holding || w->committing || !pg_is_ready(w->pg))
		return -1;
	if (now < w->settle_not_before_ms)
		return w->settle_not_before_ms - now;
	turn = turn_of(w, now, &wait);
	for (struct grading *g = w->head; g && n < max && bytes < WORKER_SETTLE_BYTES; g = g->next) {
		if (!is_ready(g) || g->settle.failed_ms != turn ||
		    (n > 0 && (g->settle.alone || form_of(g) != w->settle_form)) || !grading_attach(g))
			continue;
		if (turn && max > (size_t)g->settle.most)
			max = (size_t)g->settle.most;
		w->settle_form = form_of(g);
		w->gathered[n++] = &g->settlement;
		bytes += g->bytes;
		if (g->settle.alone)
			break;
	}
	if (n > 0)
		w->retry_last = turn != 0;
	w->settling = w->ngathered = (int)n;
	return wait;
}

void worker_settle(struct worker *w)
{
	int n = w->ngathered;

	w->ngathered = 0;
	if (n > 0 && queue_settle(&w->queue, w->settle_form, w->c->identity, w->gathered, (size_t)n,
				  w->config->cache.ttl_ms, on_settled, w) == -1)
		on_settled(w, NULL, &(struct err){ .kind = ERR_LOST });
}
