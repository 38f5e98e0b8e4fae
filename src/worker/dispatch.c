/*
 * A worker's way from claimed jobs to verdicts: the phrase cache and lines stored by an earlier attempt
 * (one look-up each for a whole claim), then the rater, then its answers. No transaction is open
 * meanwhile. Whose fault a failed call was is for fault.c to say.
 */
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "grading/decide.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/breaker.h"

/* Jobs of one claim whose lines are being looked up. */
struct batch {
	struct worker *w;
	struct grading **gradings;
	size_t n;
	struct graded_line **lines;	/* all their lines, by key */
	size_t nlines;
	int waiting;			/* for so many answers */
};

/* ---- answers ---- */

/* Before anybody is blamed for it. */
static void count_failure(struct worker *w, const struct ask *ask)
{
	static const enum counter counters[] = {
		[ERR_NONE] = COUNTER_COUNT, [ERR_RETRY] = COUNTER_COUNT, [ERR_LOST] = COUNTER_COUNT,
		[ERR_CONFIG] = COUNTER_COUNT, [ERR_PERMANENT] = COUNTER_RATER_REJECTED,
		[ERR_UNAVAILABLE] = COUNTER_RATER_AWAY, [ERR_LIMITED] = COUNTER_RATER_LIMITED,
		[ERR_DENIED] = COUNTER_RATER_DENIED, [ERR_UNCLEAR] = COUNTER_RATER_UNCLEAR,
	};

	worker_count(w, COUNTER_RATER_FAILURES, 1);
	worker_count(w, COUNTER_OUTCOME_FAILED, ask_job_lines(ask));
	if (counters[ask->err->kind] != COUNTER_COUNT)
		worker_count(w, counters[ask->err->kind], 1);
}

static void count_answer(struct worker *w, const struct ask *ask)
{
	worker_count(w, COUNTER_RATER_CALLS, (uint64_t)ask->used.calls);
	worker_count(w, COUNTER_PROMPT_TOKENS, (uint64_t)ask->used.prompt_tokens);
	worker_count(w, COUNTER_COMPLETION_TOKENS, (uint64_t)ask->used.completion_tokens);
	worker_count(w, COUNTER_REPLY_STRAY, ask->used.stray);
	if (ask->used.calls > 0) {
		worker_count(w, COUNTER_RATER_MS, (uint64_t)ask->used.latency_ms);
		slot_count_call(w->c->slot, ask->used.latency_ms, ask->used.cost_nanos);
	}
	if (ask->err) {
		count_failure(w, ask);
		return;
	}
	for (size_t i = 0; i < ask_job_lines(ask); i++)
		if (outcome_counter(ask->verdicts[i].outcome) != COUNTER_COUNT)
			worker_count(w, outcome_counter(ask->verdicts[i].outcome), 1);
}

static void count_fallback_lines(struct worker *w, const struct ask *ask)
{
	for (size_t i = 0; !ask->err && i < ask->nlines; i++)
		worker_count(w, COUNTER_FALLBACK_LINES, ask->verdicts[i].outcome == OUTCOME_RATED);
}

void worker_cancel(struct worker *w, struct grading *g)
{
	size_t n = g->calls.nstarted;

	grading_cancel(g, g->rater);
	for (size_t i = 0; i < n; i++) {
		if (!g->calls.asks[i] || g->calls.asks[i]->used.calls == 0)
			continue;
		worker_settle_call(w, g->rater, g->calls.asks[i]);
		count_answer(w, g->calls.asks[i]);
	}
}

static bool may_fall_back(const struct worker *w)
{
	return w->fallback && !w->stopping && now_ms() >= w->fallback_not_before_ms;
}

/* More jobs that the rater may be asked about now, below 0: fewer. One that answers at once is never short of room. */
static int free_calls(const struct worker *w, const struct rater *rater)
{
	int n = rater->capacity ? rater->capacity : (int)w->config->pool.in_flight;

	if (rater->instant)
		return n;
	for (const struct grading *g = w->head; g; g = g->next)
		n -= g->rater == rater && g->calls.nopen > 0;
	return n;
}

/* Its open lines are asked about, now or when a call is free. */
static void start_asking(struct worker *w, struct grading *g)
{
	if (grading_open_lines(g) > 0 && free_calls(w, g->rater) <= 0)
		grading_hold_back(g);
	else if (worker_needs_control(w, g))
		grading_ask_control(g, g->rater);
	else
		grading_ask(g, g->rater);
	worker_keep_pace(w, g);
}

/* Its calls are all back. What the first rater could not be asked about the fallback can, at once. */
static void decide_or_hand_over(struct worker *w, struct grading *g)
{
	if (g->rater == w->rater && err_is_outside(err_kind(g->err)) && may_fall_back(w) &&
	    (w->c->once || breaker_state(&w->c->sb->breaker, now_ms()) != BREAKER_CLOSED)) {
		flights_leave(w, g, false);
		grading_hand_over(g, w->fallback);
		start_asking(w, g);
	}
	if (g->calls.nopen == 0 && g->phase == GRADING_ASKING)
		grading_decide(g, g->rater);
}

/* No call is out or held back, and no line waits or has just ceased to. */
static bool is_complete(const struct grading *g)
{
	return g->phase == GRADING_ASKING && g->calls.nopen == 0 && g->flight.nwaiting == 0 &&
	       !g->flight.ready;
}

/* Its lines were looked up while the breaker opened: nobody else is asked meanwhile. */
static bool has_to_wait(struct worker *w, bool probe, struct err *err)
{
	int64_t wait = probe ? 0 : breaker_wait_ms(&w->c->sb->breaker, now_ms());

	if (wait == 0)
		return false;
	err_set(err, ERR_UNAVAILABLE, "the breaker is open: the rater was not asked");
	err->after_ms = wait;
	w->provider_away = !w->fallback;
	return true;
}

/* Its lines waited, for others or for a free call. Some have a rating now, or are to be asked about. */
static void go_on(struct worker *w, struct grading *g)
{
	struct err err;

	g->flight.waited |= g->phase == GRADING_HELD_BACK && worker_is_impatient(g, now_ms());
	g->flight.ready = false;
	if (grading_is_decided(g))
		return;
	grading_go_on(g);
	if (grading_open_lines(g) > 0 && g->rater == w->rater && has_to_wait(w, false, &err))
		grading_put_off(g, &err);
	start_asking(w, g);
	if (is_complete(g))
		decide_or_hand_over(w, g);
}

static void take_answers_of(struct worker *w, struct rater *rater)
{
	struct ask *ask;
	struct err err;

	while ((ask = rater_next_done(rater))) {
		struct grading *g = ask->owner;

		worker_settle_call(w, rater, ask);
		count_answer(w, ask);
		if (rater->fallback)
			count_fallback_lines(w, ask);
		worker_find_blame(w, rater, ask);
		breadcrumb_job(g->job.id);
		grading_take_answer(g, ask, rater, g->keyed && !rater->fallback);
		g->calls.one_by_one &= w->probing;
		flights_answered(w, g, ask->err);
		if (!grading_is_decided(g) && g->calls.nstarted < g->calls.n && g->rater == w->rater && has_to_wait(w, w->probing, &err))
			grading_note_failure(g, &err);		/* what was not sent yet is not sent */
		if (ask->control)
			go_on(w, g);
		else if (is_complete(g))
			decide_or_hand_over(w, g);
		else if (!grading_is_decided(g))
			grading_ask_more(g, rater);
		breadcrumb_job(NULL);
		worker_keep_pace(w, g);
	}
}

static bool go_on_ready(struct worker *w)
{
	if (!w->flights.ready)
		return false;
	w->flights.ready = false;
	for (struct grading *g = w->head; g; g = g->next)
		if (g->flight.ready)
			go_on(w, g);
	return true;
}

/* A call that is answered is followed by the next in the same turn, as long as jobs were claimed ahead. */
static bool go_on_held_back_by(struct worker *w, const struct rater *rater)
{
	int n = rater->instant ? 0 : free_calls(w, rater);
	bool any = false;

	for (struct grading *g = w->head; g && n > 0; g = g->next) {
		if (g->phase != GRADING_HELD_BACK || g->rater != rater)
			continue;
		go_on(w, g);
		any = true;
		n--;
	}
	return any;
}

static bool go_on_held_back(struct worker *w)
{
	bool any = go_on_held_back_by(w, w->rater);

	return (w->fallback && go_on_held_back_by(w, w->fallback)) || any;
}

/* Answers set lines free that wait for them, and calls; some raters answer at once. */
void worker_take_answers(struct worker *w)
{
	do {
		take_answers_of(w, w->rater);
		if (w->fallback)
			take_answers_of(w, w->fallback);
	} while (go_on_ready(w) || go_on_held_back(w));
}

/* A probe is asked at once, and what a fallback rates is for nobody else; one that answers at once has no equal. */
static bool has_flights(const struct worker *w, const struct grading *g)
{
	return g->keyed && !w->rater->instant && g->rater == w->rater && !w->probing;
}

/* It has lines that nobody has rated yet. */
static void ask(struct worker *w, struct grading *g)
{
	struct err err;

	if (g->rater == w->rater && has_to_wait(w, w->probing, &err)) {
		if (!may_fall_back(w)) {
			worker_drop_permit(w, g);
			grading_fail(g, &err, w->rater);
			return;
		}
		g->rater = w->fallback;
	}
	g->calls.one_by_one = w->probing && g->rater == w->rater;
	if (has_flights(w, g))
		flights_join(w, g);
	start_asking(w, g);
}

static void ask_or_decide(struct worker *w, struct grading *g)
{
	size_t misses = 0;

	grading_end_lookup(g);
	if (grading_is_decided(g)) {
		worker_drop_permit(w, g);
		return;
	}
	for (size_t i = 0; i < g->job.nrated; i++)
		misses += line_is_pending(&g->lines[i]);
	worker_count(w, COUNTER_CACHE_HITS, g->cached);
	if (g->keyed)
		worker_count(w, COUNTER_CACHE_MISSES, misses);
	if (misses > 0)
		ask(w, g);
	else
		worker_drop_permit(w, g);
	if (is_complete(g))
		grading_decide(g, g->rater);
}

/* ---- looking up ---- */

static void answered(struct batch *b)
{
	if (--b->waiting > 0)
		return;
	for (size_t i = 0; i < b->n; i++)
		ask_or_decide(b->w, b->gradings[i]);
	worker_take_answers(b->w);
	free(b->gradings);
	free(b->lines);
	free(b);
}

static int by_key(const void *a, const void *b)
{
	return strcmp((*(struct graded_line *const *)a)->key, (*(struct graded_line *const *)b)->key);
}

/* The first of the batch's lines with this key, or where it would be; equal ones follow. */
static size_t find_key(const struct batch *b, const char *key)
{
	size_t low = 0, high = b->nlines;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(b->lines[middle]->key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void on_cached(void *arg, const PGresult *result, const struct err *err)
{
	struct batch *b = arg;

	if (err && err->kind != ERR_LOST)
		log_warn("%s; rating without the phrase cache", err->text);
	for (int row = 0; result && row < PQntuples(result); row++) {
		struct cached_row cached;

		queue_cached_row(result, row, &cached);
		for (size_t i = find_key(b, cached.key);
		     i < b->nlines && strcmp(b->lines[i]->key, cached.key) == 0; i++)
			grading_give_cached(b->lines[i], b->w->config, &cached);
	}
	answered(b);
}

static void on_stored(void *arg, const PGresult *result, const struct err *err)
{
	struct batch *b = arg;

	if (err && err->kind != ERR_LOST)
		log_warn("%s; rating all lines anew", err->text);
	for (int row = 0; result && row < PQntuples(result); row++) {
		struct stored_row stored;

		queue_stored_row(result, row, &stored);
		for (size_t i = 0; i < b->n; i++)
			if (strcmp(b->gradings[i]->job.id, stored.job_id) == 0)
				grading_give_stored(b->gradings[i], stored.index, stored.text);
	}
	answered(b);
}

static void sort_lines(struct batch *b)
{
	size_t k = 0;

	for (size_t i = 0; i < b->n; i++)
		b->nlines += b->gradings[i]->job.nrated;
	b->lines = xcalloc(b->nlines, sizeof(*b->lines));
	for (size_t i = 0; i < b->n; i++)
		for (size_t l = 0; l < b->gradings[i]->job.nrated; l++)
			b->lines[k++] = &b->gradings[i]->lines[l];
	qsort(b->lines, b->nlines, sizeof(*b->lines), by_key);
}

static void look_up_cached(struct batch *b)
{
	const char **keys;
	size_t n = 0;

	sort_lines(b);
	if (b->nlines == 0)
		return;
	keys = xcalloc(b->nlines, sizeof(*keys));
	for (size_t i = 0; i < b->nlines; i++)
		if (n > 0 && strcmp(keys[n - 1], b->lines[i]->key) == 0)
			b->lines[i]->repeated = true;
		else
			keys[n++] = b->lines[i]->key;
	if (queue_lookup(&b->w->queue, keys, n, b->w->config->cache.ttl_ms, on_cached, b) == 0)
		b->waiting++;
	free(keys);
}

/* Only a job that was claimed before may have lines in line_ratings. */
static void look_up_stored(struct batch *b)
{
	struct job **jobs = xcalloc(b->n, sizeof(*jobs));
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->gradings[i]->job.claim > 1)
			jobs[n++] = &b->gradings[i]->job;
	if (n > 0 && queue_stored(&b->w->queue, jobs, n, on_stored, b) == 0)
		b->waiting++;
	free(jobs);
}

void worker_rate(struct worker *w, struct grading *const *gradings, size_t n)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->w = w;
	b->n = n;
	b->gradings = xcalloc(n, sizeof(*gradings));
	memcpy(b->gradings, gradings, n * sizeof(*gradings));
	b->waiting = 1;		/* ourselves, until all is sent */
	if (gradings[0]->keyed)		/* as all of one claim */
		look_up_cached(b);
	look_up_stored(b);
	answered(b);
}
