/*
 * One job under way in a worker: parse, split into calls, collect verdicts, decide. It sends nothing
 * and waits for nothing; worker.c drives it. There is no path here that invents a rating.
 */
#include "grading.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "child.h"
#include "clock.h"
#include "log.h"
#include "question.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS 300000
#define FREE_DELAY_MS 1000	/* when it was not the job's fault: just out of step with others */
#define RETRY_AFTER_CAP_MS 120000
#define RESULT_CAP_BYTES (1u << 20)
#define CALLS_AT_ONCE 4		/* for one job, however many lines it has */
#define NAMED_LINES 20		/* lines that error and result name; the rest is counted */

static void decide(struct grading *g, const char *status, bool attempt, int64_t delay_ms, const char *error)
{
	g->decided = true;
	g->settlement.job = &g->job;
	g->settlement.status = status;
	g->settlement.attempt = attempt;
	g->settlement.delay_ms = delay_ms;
	g->settlement.error = error;
}

/* Exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). */
static int64_t backoff_ms(int attempts)
{
	int64_t limit = BACKOFF_FIRST_MS;

	for (int i = 0; i < attempts && limit < BACKOFF_MAX_MS; i++)
		limit *= 2;
	if (limit > BACKOFF_MAX_MS)
		limit = BACKOFF_MAX_MS;
	return 1 + (int64_t)(random() % limit);
}

/* Never before what the provider asked for, spread over as much again up to a second more. */
static int64_t retry_delay_ms(const struct err *err, int attempts)
{
	int64_t after = err->after_ms < RETRY_AFTER_CAP_MS ? err->after_ms : RETRY_AFTER_CAP_MS;

	return after > 0 ? after + (int64_t)(random() % 1000) : backoff_ms(attempts);
}

void grading_fail(struct grading *g, const struct err *err)
{
	bool last = g->job.attempts + 1 >= g->job.max_attempts;

	if (err->kind == ERR_UNAVAILABLE)
		decide(g, "pending", false, err->after_ms > 0 ? retry_delay_ms(err, 0) : random() % FREE_DELAY_MS,
		       arena_printf(&g->job.arena, "%s; put back, no attempt counted", err->text));
	else if (err->kind == ERR_PERMANENT)
		decide(g, "failed", true, 0, arena_printf(&g->job.arena, "%s", err->text));
	else if (last)
		decide(g, "failed", true, 0, arena_printf(&g->job.arena, "%s; that was attempt %d of %d",
			err->text, g->job.attempts + 1, g->job.max_attempts));
	else
		decide(g, "pending", true, retry_delay_ms(err, g->job.attempts),
		       arena_printf(&g->job.arena, "%s; attempt %d of %d, it will be tried again", err->text,
				    g->job.attempts + 1, g->job.max_attempts));
}

/* ---- from the row ---- */

static int read_row(struct grading *g, const struct claimed_row *row, struct err *err)
{
	bool full = strcmp(row->job_type, "full_grading") == 0;

	if (!full && strcmp(row->job_type, "line_rating") != 0)
		return err_set(err, ERR_PERMANENT, "job_type is \"%.40s\"; gradingd knows line_rating and "
			       "full_grading", row->job_type);
	if (!row->has_session)
		return err_set(err, ERR_PERMANENT, "session_id is null; ratings are stored by session");
	if (row->data_bytes < 0)
		return err_set(err, ERR_PERMANENT, "job_data is null; it must hold {\"transcript\": [...]}");
	if (!row->data)
		return err_set(err, ERR_PERMANENT, "job_data is %" PRId64 " bytes long; the limit is %u",
			       row->data_bytes, JOB_DATA_CAP_BYTES);
	g->job.full = full;
	return job_parse(&g->job, row->data, (size_t)row->data_bytes, err);
}

static void list_lines(struct grading *g, const struct rater *rater, bool with_keys)
{
	size_t n = 0;

	g->lines = arena_alloc(&g->job.arena, (g->job.nrated + 1) * sizeof(*g->lines));
	for (size_t i = 0; i < g->job.nlines; i++) {
		if (!g->job.lines[i].rated)
			continue;
		g->lines[n].owner = g;
		g->lines[n].line = &g->job.lines[i];
		if (with_keys)
			phrase_key(rater, &g->job, g->lines[n].line, g->lines[n].key);
		n++;
	}
}

struct grading *grading_new(const struct claimed_row *row, const struct rater *rater, bool with_keys)
{
	struct grading *g = xcalloc(1, sizeof(*g));
	struct err err;

	child_in_hand(row->id);
	snprintf(g->job.id, sizeof(g->job.id), "%s", row->id);
	snprintf(g->job.session_id, sizeof(g->job.session_id), "%s", row->session_id);
	g->job.claim = row->claim;
	g->job.attempts = row->attempts;
	g->job.max_attempts = row->max_attempts;
	g->job.counted_as = row->counted_as;
	g->settlement.job = &g->job;
	g->claimed_ms = now_ms();
	g->deadline_ms = g->claimed_ms + rater->config->queue.job_deadline_ms;
	if (read_row(g, row, &err) == -1) {
		g->job.nrated = 0;
		grading_fail(g, &err);
	} else {
		list_lines(g, rater, with_keys);
	}
	child_in_hand(NULL);
	return g;
}

void grading_free(struct grading *g)
{
	arena_free(&g->job.arena);
	free(g);
}

/* ---- lines that need not be asked ---- */

void grading_give_cached(struct graded_line *line, const struct config *config, const struct cached_row *cached)
{
	struct arena *arena = &line->owner->job.arena;
	const char *provenance = cached->provenance;
	struct verdict v;

	if (line->outcome != OUTCOME_PENDING)
		return;
	/* The table may hold anything. */
	verdict_give(&v, config, arena, cached->rating, NULL, 0, cached->reason);
	if (v.outcome != OUTCOME_RATED)
		return;
	line->outcome = OUTCOME_RATED;
	line->store = (struct settle_line){
		.line = line->line, .rating = v.rating, .reason = v.reason[0] ? v.reason : NULL, .cached = true,
		.alternatives = arena_dup(arena, cached->alternatives, strlen(cached->alternatives)),
		.provenance = provenance ? arena_dup(arena, provenance, strlen(provenance)) : NULL,
	};
	line->owner->cached++;
}

void grading_give_stored(struct grading *g, int index, const char *text)
{
	for (size_t i = 0; i < g->job.nrated; i++)
		if (g->lines[i].line->index == index && strcmp(g->lines[i].line->text, text) == 0) {
			g->lines[i].outcome = OUTCOME_RATED;
			g->lines[i].stored = true;
		}
}

/* ---- calls ---- */

/* A job that failed before is asked in smaller calls, so that one bad line cannot sink its neighbours. */
static size_t lines_per_call(const struct grading *g, const struct rater *rater, size_t open)
{
	size_t n = (size_t)rater->config->rater.lines_per_call;

	if (rater->instant)
		return open;
	if (n > open)
		n = open;
	for (int i = 0; i < g->job.attempts && n > 1; i++)
		n = (n + 1) / 2;
	return n;
}

static struct ask *new_ask(struct grading *g, size_t room)
{
	struct arena *arena = &g->job.arena;
	struct ask *ask = arena_alloc(arena, sizeof(*ask));

	ask->job = &g->job;
	ask->lines = arena_alloc(arena, room * sizeof(*ask->lines));
	ask->verdicts = arena_alloc(arena, room * sizeof(*ask->verdicts));
	ask->deadline_ms = g->deadline_ms;
	ask->owner = g;
	return ask;
}

void grading_ask(struct grading *g, struct rater *rater)
{
	size_t open = 0, room, n = 0;

	for (size_t i = 0; i < g->job.nrated; i++)
		open += g->lines[i].outcome == OUTCOME_PENDING;
	if (open == 0)
		return;
	room = lines_per_call(g, rater, open);
	g->ncalls = (open + room - 1) / room;
	g->asks = arena_alloc(&g->job.arena, g->ncalls * sizeof(*g->asks));
	for (size_t i = 0; i < g->job.nrated; i++) {
		if (g->lines[i].outcome != OUTCOME_PENDING)
			continue;
		if (n % room == 0)
			g->asks[n / room] = new_ask(g, room);
		g->asks[n / room]->lines[g->asks[n / room]->nlines++] = g->lines[i].line;
		n++;
	}
	g->nopen = (int)g->ncalls;
	grading_ask_more(g, rater);
}

void grading_ask_more(struct grading *g, struct rater *rater)
{
	size_t answered = g->ncalls - (size_t)g->nopen;

	child_in_hand(g->job.id);
	for (; g->nstarted < g->ncalls && g->nstarted - answered < CALLS_AT_ONCE; g->nstarted++)
		rater_start(rater, g->asks[g->nstarted]);
	child_in_hand(NULL);
}

void grading_hand_over(struct grading *g, struct rater *rater)
{
	g->rater = rater;
	g->err = (struct err){ .kind = ERR_NONE };
	g->ncalls = g->nstarted = 0;
	grading_ask(g, rater);
}

static const char *provenance(struct grading *g, const struct rater *rater, const char *model)
{
	struct buf b;
	char when[40], *text;
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_init(&b, 4096);
	buf_printf(&b, "{\"rater\":\"%s\",%s\"model\":", rater->ops->name, rater->fallback ? "\"fallback\":true," : "");
	buf_json(&b, model[0] ? model : rater->model);
	buf_printf(&b, ",\"fingerprint\":\"%.16s\",\"at\":\"%s\"}", rater->fingerprint, when);
	text = arena_dup(&g->job.arena, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

static void add_context(void *arg, const struct line *line)
{
	struct buf *b = arg;

	buf_printf(b, "%s%s: %s", b->len ? "\n" : "", line->speaker, line->text);
}

/* What the rater saw around the line, for people who read the cache; NULL when that is nothing. */
static const char *context_text(struct grading *g, const struct config *config, const struct line *line)
{
	struct buf b;
	const char *text = NULL;

	buf_init(&b, JOB_DATA_CAP_BYTES);
	question_each_context(config, &g->job, &line, 1, add_context, &b);
	if (b.len)
		text = arena_dup(&g->job.arena, b.data, b.len);
	buf_free(&b);
	return text;
}

static void keep_verdict(struct grading *g, struct graded_line *gl, const struct verdict *v,
			 const struct rater *rater, const char *provenance_json, bool remember)
{
	gl->outcome = v->outcome;
	if (v->outcome != OUTCOME_RATED)
		return;
	gl->store = (struct settle_line){
		.line = gl->line, .rating = v->rating, .reason = v->reason[0] ? v->reason : NULL,
		.alternatives = queue_text_array(&g->job.arena, v->alternatives, v->nalternatives),
		.provenance = provenance_json,
		.cache_key = remember ? gl->key : NULL,
		.context = remember ? context_text(g, rater->config, gl->line) : NULL,
	};
}

static void account(struct grading *g, const struct ask *ask)
{
	g->used.calls += ask->used.calls;
	g->used.prompt_tokens += ask->used.prompt_tokens;
	g->used.completion_tokens += ask->used.completion_tokens;
	g->used.latency_ms += ask->used.latency_ms;
	if (ask->used.model[0])
		memcpy(g->used.model, ask->used.model, sizeof(g->used.model));
}

void grading_take_answer(struct grading *g, struct ask *ask, const struct rater *rater, bool remember)
{
	struct graded_line *gl = g->lines;
	const char *json = NULL;

	g->nopen--;
	for (size_t i = 0; i < g->ncalls; i++)
		if (g->asks[i] == ask)
			g->asks[i] = NULL;
	account(g, ask);
	if (ask->err.kind != ERR_NONE) {
		if (g->err.kind == ERR_NONE)
			g->err = ask->err;
		return;
	}
	for (size_t i = 0; i < ask->nlines; i++) {
		while (gl->line != ask->lines[i])	/* both are in the order of the transcript */
			gl++;
		if (ask->verdicts[i].outcome == OUTCOME_RATED && !json)
			json = provenance(g, rater, ask->used.model);
		keep_verdict(g, gl, &ask->verdicts[i], rater, json, remember);
	}
}

void grading_cancel(struct grading *g, struct rater *rater)
{
	for (size_t i = 0; i < g->nstarted; i++)
		if (g->asks[i])
			rater_cancel(rater, g->asks[i]);
	g->ncalls = g->nstarted = 0;
	g->nopen = 0;
}

/* ---- the end ---- */

/* "lines 12 (the reply left the line out), 14 (...)" for the lines without a rating. */
static const char *name_unrated(struct grading *g, size_t *unrated, size_t *refused)
{
	struct buf b;
	const char *text;

	buf_init(&b, RESULT_CAP_BYTES);
	*unrated = *refused = 0;
	for (size_t i = 0; i < g->job.nrated; i++) {
		const struct graded_line *gl = &g->lines[i];

		if (gl->outcome == OUTCOME_RATED)
			continue;
		*refused += gl->outcome == OUTCOME_REFUSED;
		if (++*unrated <= NAMED_LINES)
			buf_printf(&b, "%s%d (%s)", b.len ? ", " : "", gl->line->index, outcome_words(gl->outcome));
	}
	if (*unrated > NAMED_LINES)
		buf_printf(&b, " and %zu more", *unrated - NAMED_LINES);
	text = arena_printf(&g->job.arena, "no rating for line%s %s", *unrated == 1 ? "" : "s", buf_text(&b));
	buf_free(&b);
	return text;
}

static void write_counts(struct buf *b, const struct grading *g, const struct rater *rater)
{
	const struct string_list *scale = &rater->config->rater.scale;

	buf_str(b, ",\"ratings\":{");
	for (size_t s = 0; s < scale->n; s++) {
		size_t n = 0;

		for (size_t i = 0; i < g->job.nrated; i++)
			n += g->lines[i].store.rating && strcmp(g->lines[i].store.rating, scale->items[s]) == 0;
		buf_str(b, s ? "," : "");
		buf_json(b, scale->items[s]);
		buf_printf(b, ":%zu", n);
	}
	buf_char(b, '}');
}

static void write_unrated(struct buf *b, const struct grading *g)
{
	size_t n = 0;

	buf_str(b, ",\"unrated\":[");
	for (size_t i = 0; i < g->job.nrated && n < NAMED_LINES; i++) {
		if (g->lines[i].outcome == OUTCOME_RATED)
			continue;
		buf_printf(b, "%s{\"line\":%d,\"outcome\":\"%s\"}", n++ ? "," : "", g->lines[i].line->index,
			   outcome_name(g->lines[i].outcome));
	}
	buf_char(b, ']');
}

/* The job's `result`: what was done and what it took. */
static const char *write_result(struct grading *g, const struct rater *rater, size_t unrated)
{
	struct buf b;
	const char *text;

	buf_init(&b, RESULT_CAP_BYTES);
	buf_printf(&b, "{\"lines\":%zu,\"rated\":%zu,\"skipped\":%zu,\"cached\":%zu,\"rater\":\"%s\",%s\"model\":",
		   g->job.nrated, g->job.nrated - unrated, g->job.skipped, g->cached, rater->ops->name,
		   rater->fallback ? "\"fallback\":true," : "");
	buf_json(&b, g->used.model[0] ? g->used.model : rater->model);
	buf_printf(&b, ",\"calls\":%d,\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
		   ",\"latency_ms\":%" PRId64, g->used.calls, g->used.prompt_tokens,
		   g->used.completion_tokens, g->used.latency_ms);
	write_counts(&b, g, rater);
	if (unrated)
		write_unrated(&b, g);
	buf_char(&b, '}');
	if (!buf_ok(&b))
		fatal("out of memory: cannot write a result");
	text = arena_dup(&g->job.arena, b.data, b.len);
	buf_free(&b);
	return text;
}

void grading_decide(struct grading *g, const struct rater *rater)
{
	size_t unrated, refused;
	const char *names = name_unrated(g, &unrated, &refused);
	struct err err = g->err;

	if (unrated == 0) {
		decide(g, "completed", false, 0, NULL);
	} else if (err.kind != ERR_NONE) {
		grading_fail(g, &err);
	} else {
		err_set(&err, refused == unrated ? ERR_PERMANENT : ERR_RETRY, "%s", names);
		grading_fail(g, &err);
	}
	if (strcmp(g->settlement.status, "pending") != 0)
		g->settlement.result = write_result(g, rater, unrated);
}

void grading_release(struct grading *g, const char *why, int64_t delay_ms)
{
	decide(g, "pending", false, delay_ms, why);
}

/* ---- on its way to the database ---- */

bool grading_attach(struct grading *g)
{
	struct settle_line *lines = NULL;
	size_t n = 0;

	for (size_t i = 0; i < g->job.nrated; i++) {
		g->lines[i].sent = g->lines[i].outcome == OUTCOME_RATED && !g->lines[i].stored;
		n += g->lines[i].sent;
	}
	if (n == 0 && !g->decided)
		return false;
	if (n > 0)
		lines = arena_alloc(&g->job.arena, n * sizeof(*lines));
	g->settlement.lines = lines;
	g->settlement.nlines = n;
	for (size_t i = 0; i < g->job.nrated; i++)
		if (g->lines[i].sent)
			*lines++ = g->lines[i].store;
	g->settling = true;
	g->settling_last = g->decided;
	if (!g->decided)
		g->settlement.status = "processing";
	return true;
}

void grading_attached_done(struct grading *g, bool stored)
{
	g->settling = false;
	for (size_t i = 0; i < g->job.nrated; i++) {
		g->lines[i].stored |= g->lines[i].sent && stored;
		g->lines[i].sent = false;
	}
}

void grading_refuse(struct grading *g, const char *why)
{
	for (size_t i = 0; i < g->job.nrated; i++)
		g->lines[i].stored = true;	/* they cannot be: nothing of them is sent again */
	g->settlement.result = NULL;
	decide(g, "failed", true, 0, arena_printf(&g->job.arena, "%s", why));
	g->refused = true;
}
