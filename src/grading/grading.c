/*
 * One job under way in a worker, from the claimed row to the settlement: which of its lines have a rating, which
 * are in a call, which are stored. It sends nothing and waits for nothing; worker.c drives it. There is no path
 * here that invents a rating. What becomes of the job is decided in decide.c.
 */
#include "grading/grading.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "grading/decide.h"
#include "rater/question.h"
#include "scoreboard/breadcrumb.h"
#include "provenance.h"
#include "result.h"

#define SMALL_CALLS 100		/* that a job is split into for being asked again */

/* ---- from the row ---- */

static int read_row(struct grading *g, const struct claimed_row *row, struct err *err)
{
	bool full = strcmp(row->job_type, "full_grading") == 0;

	if (!full && strcmp(row->job_type, "line_rating") != 0)
		return err_set(err, ERR_PERMANENT, "job_type is \"%.40s\"; gradingd knows line_rating and "
			       "full_grading", row->job_type);
	if (!row->session_id[0])
		return err_set(err, ERR_PERMANENT, "session_id is null; ratings are stored by session");
	if (row->data_bytes < 0)
		return err_set(err, ERR_PERMANENT, "job_data is null; it must hold {\"transcript\": [...]}");
	if (!row->data)
		return err_set(err, ERR_PERMANENT, "job_data is %" PRId64 " bytes long; the limit is %u",
			       row->data_bytes, JOB_DATA_CAP_BYTES);
	g->job.full = full;
	return job_parse(&g->job, row->data, (size_t)row->data_bytes, err);
}

static void list_lines(struct grading *g, const struct rater *rater)
{
	size_t n = 0;

	g->lines = arena_alloc(&g->job.arena, g->job.nrated * sizeof(*g->lines));
	for (size_t i = 0; i < g->job.nlines; i++) {
		if (!g->job.lines[i].rated)
			continue;
		g->lines[n].owner = g;
		g->lines[n].line = &g->job.lines[i];
		breadcrumb_line(g->lines[n].line->index);
		if (g->keyed)
			phrase_key(rater, &g->job, g->lines[n].line, g->lines[n].key);
		n++;
	}
}

struct grading *grading_new(const struct claimed_row *row, const struct rater *rater, bool with_keys)
{
	struct grading *g = xcalloc(1, sizeof(*g));
	struct err err;

	breadcrumb_job(row->id);
	memcpy(g->job.id, row->id, sizeof(g->job.id));
	memcpy(g->job.session_id, row->session_id, sizeof(g->job.session_id));
	g->settle.stored_before = row->claim > 1 || row->counted_as != COUNTED_NOT;
	g->job.claim = row->claim;
	g->job.attempts = row->attempts;
	g->job.max_attempts = row->max_attempts;
	g->job.counted_as = row->counted_as;
	g->settlement.job = &g->job;
	g->claimed_ms = now_ms();
	g->deadline_ms = g->claimed_ms + rater->config->queue.job_deadline_ms;
	g->bytes = row->data ? row->data_bytes : 0;
	g->keyed = with_keys;
	if (read_row(g, row, &err) == -1) {
		g->job.nrated = 0;
		grading_end(g, "failed", true, 0, arena_printf(&g->job.arena, "%s", err.text));
	} else {
		list_lines(g, rater);
		grading_carry_over(g, row->result);
	}
	breadcrumb_job(NULL);
	return g;
}

void grading_free(struct grading *g)
{
	arena_free(&g->job.arena);
	free(g);
}

/* ---- where it stands ---- */

void grading_end_lookup(struct grading *g)
{
	if (g->phase == GRADING_LOOKUP)
		g->phase = GRADING_ASKING;
	else if (g->phase == GRADING_DECIDED_IN_LOOKUP)
		g->phase = GRADING_DECIDED;
}

void grading_hold_back(struct grading *g)
{
	if (g->phase == GRADING_ASKING)
		g->phase = GRADING_HELD_BACK;
}

void grading_go_on(struct grading *g)
{
	if (g->phase == GRADING_HELD_BACK)
		g->phase = GRADING_ASKING;
}

/* ---- lines that need not be asked ---- */

void grading_give_cached(struct graded_line *line, const struct config *config, const struct cached_row *cached)
{
	struct arena *arena = &line->owner->job.arena;
	struct settle_line store;
	struct verdict v;

	if (!line_is_pending(line))
		return;
	/* The table may hold anything. */
	verdict_give(&v, config, arena, cached->rating, NULL, 0, cached->reason);
	if (v.outcome != OUTCOME_RATED)
		return;
	store = (struct settle_line){
		.line = line->line, .rating = v.rating, .reason = v.reason[0] ? v.reason : NULL, .cached = true,
		.alternatives = arena_dup(arena, cached->alternatives, strlen(cached->alternatives)),
		.provenance = provenance_cached(arena, cached->provenance),
	};
	line->owner->cached += line_rate(line, &store);
}

void grading_give_equal(struct graded_line *line, const struct config *config, const struct graded_line *rated)
{
	struct cached_row row = {
		.key = rated->key, .rating = rated->store.rating, .alternatives = rated->store.alternatives,
		.reason = rated->store.reason ? rated->store.reason : "", .provenance = rated->store.provenance,
	};

	grading_give_cached(line, config, &row);
}

void grading_give_stored(struct grading *g, int index, const char *text)
{
	for (size_t i = 0; i < g->job.nrated; i++)
		if (g->lines[i].line->index == index && strcmp(g->lines[i].line->text, text) == 0) {
			g->cached -= line_is_rated(&g->lines[i]);	/* found in the cache as well */
			line_find_stored(&g->lines[i]);
		}
}

/* ---- calls ---- */

bool grading_is_suspect(const struct grading *g)
{
	return g->job.claim > g->job.attempts + GRADING_FREE_CLAIMS;
}

/* Half as many each time down to 1, which the last attempt reaches at once. */
static size_t halved(const struct grading *g, size_t n)
{
	int times = g->job.attempts > g->free_retries ? g->job.attempts : g->free_retries;

	if (g->job.attempts > 0 && grading_is_last_attempt(g))
		return 1;
	for (; times > 0 && n > 1; times--)
		n = (n + 1) / 2;
	return n;
}

/*
 * A job that failed before is asked in smaller calls, so that one bad line cannot sink its neighbours. Not
 * in more than so many, though: when hundreds of lines are open no line is to blame, and line by line they
 * would not be rated within the job's deadline.
 */
static size_t lines_per_call(const struct grading *g, const struct rater *rater, size_t open)
{
	size_t most = (size_t)rater->config->rater.lines_per_call, n;

	if (rater->instant)
		return open;
	n = halved(g, most < g->job.nrated ? most : g->job.nrated);
	if (n < open / SMALL_CALLS)
		n = open / SMALL_CALLS < most ? open / SMALL_CALLS : most;
	if (n > open)
		n = open;
	return n > 0 ? n : 1;
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

size_t grading_open_lines(const struct grading *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->job.nrated; i++)
		n += line_is_open(&g->lines[i]);
	return n;
}

/* Room for so many calls more. Returns the place of the first one. */
static struct ask **more_asks(struct grading *g, size_t more)
{
	struct ask **asks = arena_alloc(&g->job.arena, (g->calls.n + more) * sizeof(*asks));

	if (g->calls.n > 0)
		memcpy(asks, g->calls.asks, g->calls.n * sizeof(*asks));
	g->calls.asks = asks;
	asks += g->calls.n;
	g->calls.n += more;
	g->calls.nopen += (int)more;
	return asks;
}

void grading_ask(struct grading *g, struct rater *rater)
{
	size_t open = grading_open_lines(g), room, calls, n = 0, put_back = 0;
	struct ask **asks, *ask = NULL;

	if (open == 0)
		return;
	if (g->job.claim > g->job.attempts)
		put_back = (size_t)(g->job.claim - g->job.attempts - 1);
	room = lines_per_call(g, rater, open);
	calls = (open + room - 1) / room;
	asks = more_asks(g, calls);
	for (size_t i = 0; i < g->job.nrated; i++) {
		if (!line_is_open(&g->lines[i]))
			continue;
		if (n % room == 0)
			ask = asks[(n / room + put_back) % calls] = new_ask(g, room);
		ask->lines[ask->nlines++] = g->lines[i].line;
		line_ask(&g->lines[i]);
		n++;
	}
	grading_ask_more(g, rater);
}

void grading_ask_control(struct grading *g, struct rater *rater)
{
	static const struct line greeting = { .rated = true, .speaker = "rep", .text = "Good morning." };
	struct ask *ask = new_ask(g, 1);

	ask->control = g->calls.controlled = true;
	ask->lines[ask->nlines++] = &greeting;
	*more_asks(g, 1) = ask;
	grading_ask_more(g, rater);
}

void grading_ask_more(struct grading *g, struct rater *rater)
{
	breadcrumb_job(g->job.id);
	for (; g->calls.nstarted < g->calls.n && grading_calls_open(g) < (g->calls.one_by_one ? 1 : GRADING_CALLS_AT_ONCE); g->calls.nstarted++) {
		if (rater->gate && !rater->gate(rater->gate_arg, g, g->calls.asks[g->calls.nstarted]))
			break;
		rater_start(rater, g->calls.asks[g->calls.nstarted]);
	}
	breadcrumb_job(NULL);
}

size_t grading_calls_open(const struct grading *g)
{
	return g->calls.nstarted - (g->calls.n - (size_t)g->calls.nopen);
}

bool grading_got_on(const struct grading *g)
{
	for (size_t i = 0; i < g->job.nrated; i++)
		if (line_is_rated(&g->lines[i]) && g->lines[i].store.rating && !g->lines[i].store.cached)
			return true;
	return false;
}

void grading_hand_over(struct grading *g, struct rater *rater)
{
	g->rater = rater;
	g->err = NULL;
	g->calls.n = g->calls.nstarted = 0;
	for (size_t i = 0; i < g->job.nrated; i++)
		line_reopen(&g->lines[i]);
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
	struct settle_line store;

	if (v->outcome != OUTCOME_RATED) {
		line_leave_unrated(gl, v->outcome, v->reason[0] ?
				   arena_printf(&g->job.arena, "%s: %s", outcome_words(v->outcome), v->reason) : gl->why);
		return;
	}
	store = (struct settle_line){
		.line = gl->line, .rating = v->rating, .reason = v->reason[0] ? v->reason : NULL,
		.alternatives = queue_join(&g->job.arena, v->alternatives, v->nalternatives),
		.provenance = provenance_json,
		.cache_key = remember && !gl->repeated ? gl->key : NULL,
		.context = remember && !gl->repeated ? context_text(g, rater->config, gl->line) : NULL,
	};
	line_rate(gl, &store);
}

static void account(struct grading *g, const struct ask *ask)
{
	g->used.calls += ask->used.calls;
	g->used.prompt_tokens += ask->used.prompt_tokens;
	g->used.completion_tokens += ask->used.completion_tokens;
	g->used.latency_ms += ask->used.latency_ms;
	g->used.cost_nanos += ask->used.cost_nanos;
	g->stray += ask->used.stray;
	if (ask->used.model)
		g->used.model = ask->used.model;
}

/* The graded line of a call's i-th line, at or after gl: both are in the order of the transcript. */
static struct graded_line *line_of(struct graded_line *gl, const struct ask *ask, size_t i)
{
	while (gl->line != ask->lines[i])
		gl++;
	return gl;
}

static void take_failure(struct grading *g, const struct ask *ask)
{
	struct graded_line *gl = g->lines;
	const char *why = ask->err->text;

	grading_note_failure(g, ask->err);
	g->outcomes[OUTCOME_FAILED] += ask->nlines;
	for (size_t i = 0; i < ask->nlines; i++) {
		gl = line_of(gl, ask, i);
		line_leave_unrated(gl, OUTCOME_FAILED, why);
		gl->hopeless = ask->err->kind == ERR_PERMANENT && ask->nlines == 1;
	}
}

void grading_take_answer(struct grading *g, struct ask *ask, const struct rater *rater, bool remember)
{
	struct graded_line *gl = g->lines;
	const char *json = NULL;

	g->calls.nopen--;
	g->calls.answered = true;
	for (size_t i = 0; i < g->calls.n; i++)
		if (g->calls.asks[i] == ask)
			g->calls.asks[i] = NULL;
	account(g, ask);
	if (ask->control) {
		if (err_is_outside(err_kind(ask->err)) || err_kind(ask->err) == ERR_UNCLEAR)
			grading_put_off(g, ask->err);
		return;
	}
	if (ask->err) {
		take_failure(g, ask);
		return;
	}
	for (size_t i = 0; i < ask->nlines; i++) {
		gl = line_of(gl, ask, i);
		g->outcomes[ask->verdicts[i].outcome]++;
		if (ask->verdicts[i].outcome == OUTCOME_RATED && !json)
			json = provenance_fresh(&g->job.arena, rater, ask->used.model);
		keep_verdict(g, gl, &ask->verdicts[i], rater, json, remember);
		gl->hopeless = gl->outcome == OUTCOME_REFUSED && ask->nlines == 1;
	}
}

void grading_put_off(struct grading *g, const struct err *err)
{
	const char *why = arena_printf(&g->job.arena, "%s", err->text);

	for (size_t i = 0; i < g->job.nrated; i++)
		if (line_is_open(&g->lines[i]))
			line_leave_unrated(&g->lines[i], OUTCOME_FAILED, why);
	grading_note_failure(g, err);
}

/* What it took is part of what the job took. */
static void cancel_call(struct grading *g, struct rater *rater, struct ask *ask)
{
	rater_cancel(rater, ask);
	account(g, ask);
	g->calls.answered |= ask->used.calls > 0;
	if (ask->done || ask->used.calls == 0)
		return;
	ask_fail(ask, ERR_RETRY, "given up before it was answered");
	g->outcomes[OUTCOME_FAILED] += ask_job_lines(ask);
}

void grading_cancel(struct grading *g, struct rater *rater)
{
	for (size_t i = 0; i < g->calls.nstarted; i++)
		if (g->calls.asks[i])
			cancel_call(g, rater, g->calls.asks[i]);
	g->calls.n = g->calls.nstarted = 0;
	g->calls.nopen = 0;
}

/* ---- on its way to the database ---- */

static bool is_to_be_sent(const struct grading *g, const struct graded_line *gl)
{
	return !g->settle.refused && (gl->state == LINE_RATED || gl->state == LINE_IN_DOUBT);
}

static void send_lines(struct grading *g, size_t n)
{
	struct settle_line *lines = n > 0 ? arena_alloc(&g->job.arena, n * sizeof(*lines)) : NULL;

	g->settlement.lines = lines;
	g->settlement.nlines = n;
	g->settlement.nresent = 0;
	for (size_t i = 0; i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (!is_to_be_sent(g, gl))
			continue;
		g->settlement.nresent += gl->state == LINE_IN_DOUBT;
		*lines++ = gl->store;
		line_send(gl);
	}
}

bool grading_attach(struct grading *g)
{
	size_t n = 0;

	if (g->settle.under_way)
		return false;
	for (size_t i = 0; i < g->job.nrated; i++)
		n += is_to_be_sent(g, &g->lines[i]);
	if (n == 0 && !grading_is_decided(g))
		return false;
	send_lines(g, n);
	g->settle.under_way = true;
	g->settle.last = grading_is_decided(g);
	if (!grading_is_decided(g))
		g->settlement.status = "processing";
	return true;
}

bool grading_is_first(const struct grading *g)
{
	return grading_is_decided(g) && !g->settle.stored_before &&
	       strcmp(g->settlement.status, "completed") == 0 && !g->settlement.attempt &&
	       !g->settlement.error;
}

void grading_attached_done(struct grading *g, bool stored)
{
	g->settle.under_way = false;
	g->settle.stored_before |= !g->settle.last;
	for (size_t i = 0; i < g->job.nrated; i++)
		line_end_sending(&g->lines[i], stored);
}
