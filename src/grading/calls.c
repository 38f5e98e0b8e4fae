/*
 * The calls of a job under way, and the one failure of them that decides. Runs in workers; it
 * hands calls to a rater and takes them back, and decides nothing about the job. There is no path
 * here that invents a rating.
 */
#include "grading/calls.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "grading/graded_line.h"
#include "grading/whole_grade.h"
#include "rater/question.h"
#include "scoreboard/breadcrumb.h"
#include "provenance.h"

#define SMALL_CALLS 100		/* that a job is split into for being asked again */

/* ---- splitting ---- */

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
 * A job that failed before is asked in smaller calls, so that one bad line cannot sink its
 * neighbours. Not in more than so many, though: when hundreds of lines are open no line is to
 * blame, and line by line they would not be rated within the job's deadline.
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
	struct grading_calls *calls = &g->calls;
	struct ask **asks = arena_alloc(&g->job.arena, (calls->n + more) * sizeof(*asks));

	if (calls->n > 0)
		memcpy(asks, calls->asks, calls->n * sizeof(*asks));
	calls->asks = asks;
	asks += calls->n;
	calls->n += more;
	calls->nopen += (int)more;
	return asks;
}

/* Of so many calls the one that its first lines are in: another one each time it was put back. */
static size_t first_call(const struct grading *g, size_t ncalls)
{
	int64_t put_back = (int64_t)g->job.times_claimed - g->job.attempts - 1;

	return put_back > 0 ? (size_t)put_back % ncalls : 0;
}

static void fill_calls(struct grading *g, struct ask **asks, size_t ncalls, size_t room)
{
	size_t first = first_call(g, ncalls), n = 0;
	struct ask *ask = NULL;

	for (size_t i = 0; i < g->job.nrated; i++) {
		if (!line_is_open(&g->lines[i]))
			continue;
		if (n % room == 0)
			ask = asks[(n / room + first) % ncalls] = new_ask(g, room);
		ask->lines[ask->nlines++] = g->lines[i].line;
		line_ask(&g->lines[i]);
		n++;
	}
}

void grading_ask(struct grading *g, struct rater *rater)
{
	size_t open = grading_open_lines(g), room, ncalls;

	if (open == 0)
		return;
	room = lines_per_call(g, rater, open);
	ncalls = (open + room - 1) / room;
	fill_calls(g, more_asks(g, ncalls), ncalls, room);
	grading_ask_more(g, rater);
}

void grading_ask_control(struct grading *g, struct rater *rater)
{
	static const struct line greeting = {
		.rated = true, .speaker = "rep", .text = "Good morning.",
	};
	struct ask *ask = new_ask(g, 1);

	ask->control = g->calls.controlled = true;
	ask->lines[ask->nlines++] = &greeting;
	*more_asks(g, 1) = ask;
	grading_ask_more(g, rater);
}

void grading_doubt_refusal(struct grading *g)
{
	g->calls.in_doubt = true;
}

bool grading_owes_control(const struct grading *g)
{
	enum err_kind kind = err_kind(g->err);

	return g->calls.in_doubt && !g->calls.controlled && !err_is_outside(kind) &&
	       kind != ERR_UNCLEAR;
}

/* ---- going out ---- */

void grading_ask_more(struct grading *g, struct rater *rater)
{
	struct grading_calls *calls = &g->calls;
	size_t most = calls->one_by_one ? 1 : GRADING_CALLS_AT_ONCE;

	breadcrumb_job(g->job.id, g->job.claim);
	for (; calls->nstarted < calls->n && grading_calls_open(g) < most; calls->nstarted++) {
		struct ask *ask = calls->asks[calls->nstarted];

		if (rater->gate && !rater->gate(rater->gate_arg, ask))
			break;
		rater_start(rater, ask);
	}
	breadcrumb_end();
}

void grading_ask_one_by_one(struct grading *g, bool one_by_one)
{
	g->calls.one_by_one = one_by_one;
}

size_t grading_calls_open(const struct grading *g)
{
	return g->calls.nstarted - (g->calls.n - (size_t)g->calls.nopen);
}

/* What was not let out yet need not be. */
static void drop_unsent(struct grading_calls *calls)
{
	calls->nopen -= (int)(calls->n - calls->nstarted);
	calls->n = calls->nstarted;
}

bool grading_got_on(const struct grading *g)
{
	for (size_t i = 0; i < g->job.nrated; i++) {
		const struct settle_line *store = &g->lines[i].store;

		if (line_is_rated(&g->lines[i]) && store->rating && !store->cached)
			return true;
	}
	return false;
}

/* ---- failures ---- */

/*
 * Of several failures the one decides that is least the job's fault: its own can wait until the
 * provider is well again. Of equal ones the one that asks for the longest pause.
 */
void grading_note_failure(struct grading *g, const struct err *err)
{
	static const int ranks[] = {
		[ERR_PERMANENT] = 1, [ERR_RETRY] = 2, [ERR_UNCLEAR] = 3,
		[ERR_UNAVAILABLE] = 4, [ERR_LIMITED] = 4, [ERR_DENIED] = 4, [ERR_CONFIG] = 0,
	};
	int was = ranks[err_kind(g->err)], is = ranks[err->kind];

	if (!g->err)
		g->err = memcpy(arena_alloc(&g->job.arena, sizeof(*err)), err, sizeof(*err));
	else if (is > was || (is == was && err->after_ms > g->err->after_ms))
		*g->err = *err;
	if (err_is_outside(g->err->kind))
		drop_unsent(&g->calls);
}

void grading_put_off(struct grading *g, const struct err *err)
{
	const char *why = arena_printf(&g->job.arena, "%s", err->text);

	for (size_t i = 0; i < g->job.nrated; i++)
		if (line_is_open(&g->lines[i]))
			line_leave_unrated(&g->lines[i], OUTCOME_FAILED, why);
	grading_note_failure(g, err);
}

/* ---- answers ---- */

static void add_context(void *arg, const struct line *line)
{
	struct buf *b = arg;

	buf_printf(b, "%s%s: %s", b->len ? "\n" : "", line->speaker, line->text);
}

/* What the rater saw around the line, for people who read the cache; NULL when that is nothing. */
static const char *context_text(struct grading *g, const struct config *config,
				const struct line *line)
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

/* A line without a reason keeps what was said of it before. */
static void keep_no_rating(struct graded_line *gl, const struct verdict *v)
{
	struct arena *arena = &gl->owner->job.arena;
	const char *why = gl->why;

	if (v->reason[0])
		why = arena_printf(arena, "%s: %s", outcome_words(v->outcome), v->reason);
	line_leave_unrated(gl, v->outcome, why);
}

static void keep_rating(struct grading *g, struct graded_line *gl, const struct verdict *v,
			const struct rater *rater, const char *provenance, bool remember)
{
	bool to_cache = remember && !gl->repeated;
	struct settle_line store = {
		.line = gl->line, .rating = v->rating, .reason = v->reason[0] ? v->reason : NULL,
		.alternatives = queue_join(&g->job.arena, v->alternatives, v->nalternatives),
		.provenance = provenance,
		.cache_key = to_cache ? gl->key : NULL,
		.context = to_cache ? context_text(g, rater->config, gl->line) : NULL,
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

/*
 * The graded line of a call's i-th line, at or after gl: both are in the order of the transcript.
 */
static struct graded_line *line_of(struct graded_line *gl, const struct ask *ask, size_t i)
{
	while (gl->line != ask->lines[i])
		gl++;
	return gl;
}

static void take_failure(struct grading *g, const struct ask *ask)
{
	struct graded_line *gl = g->lines;

	grading_note_failure(g, ask->err);
	g->outcomes[OUTCOME_FAILED] += ask->nlines;
	for (size_t i = 0; i < ask->nlines; i++) {
		gl = line_of(gl, ask, i);
		line_leave_unrated(gl, OUTCOME_FAILED, ask->err->text);
		gl->hopeless = ask->err->kind == ERR_PERMANENT && ask->nlines == 1;
	}
}

static void take_verdicts(struct grading *g, const struct ask *ask, const struct rater *rater,
			  bool remember)
{
	struct graded_line *gl = g->lines;
	const char *provenance = NULL;

	for (size_t i = 0; i < ask->nlines; i++) {
		const struct verdict *v = &ask->verdicts[i];

		gl = line_of(gl, ask, i);
		g->outcomes[v->outcome]++;
		gl->hopeless = v->outcome == OUTCOME_REFUSED && ask->nlines == 1;
		if (v->outcome != OUTCOME_RATED) {
			keep_no_rating(gl, v);
			continue;
		}
		if (v->grade) {
			whole_grade_take(g, v, rater, ask->used.model);
			continue;
		}
		if (!provenance)
			provenance = provenance_fresh(&g->job.arena, rater, ask->used.model, false);
		keep_rating(g, gl, v, rater, provenance, remember);
	}
}

static void close_call(struct grading_calls *calls, const struct ask *ask)
{
	calls->nopen--;
	calls->answered = true;
	for (size_t i = 0; i < calls->n; i++)
		if (calls->asks[i] == ask)
			calls->asks[i] = NULL;
}

void grading_take_answer(struct grading *g, struct ask *ask, const struct rater *rater,
			 bool remember)
{
	enum err_kind kind = err_kind(ask->err);

	close_call(&g->calls, ask);
	account(g, ask);
	if (ask->control) {
		if (err_is_outside(kind) || kind == ERR_UNCLEAR)
			grading_put_off(g, ask->err);
		else
			g->calls.in_doubt = false;
		return;
	}
	if (ask->err)
		take_failure(g, ask);
	else
		take_verdicts(g, ask, rater, remember);
}

/* ---- the end of all calls ---- */

void grading_hand_over(struct grading *g, struct rater *rater)
{
	g->rater = rater;
	g->err = NULL;
	g->calls.n = g->calls.nstarted = 0;
	g->calls.in_doubt = false;
	for (size_t i = 0; i < g->job.nrated; i++)
		line_reopen(&g->lines[i]);
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
