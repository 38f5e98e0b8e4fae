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
#include "json_strict.h"
#include "log.h"
#include "question.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS 300000
#define FREE_DELAY_MS 1000	/* when it was not the job's fault: just out of step with others */
#define RETRY_AFTER_CAP_MS 120000
#define RESULT_CAP_BYTES (1u << 20)
#define CARRIED_CAP 1000000000	/* counts of earlier attempts that are believed: the row may hold anything */
#define SPREAD_MIN_MS 1000
#define SMALL_CALLS 100		/* that a job is split into for being asked again */
#define ERROR_LINES 20		/* lines that error names; the rest is counted */
#define RESULT_LINES 200	/* and result */

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

/* Never before what the provider asked for, and spread over half as much again, a second at least. */
static int64_t retry_delay_ms(const struct err *err, int failures)
{
	int64_t after = err->after_ms < RETRY_AFTER_CAP_MS ? err->after_ms : RETRY_AFTER_CAP_MS;
	int64_t spread = after / 2 > SPREAD_MIN_MS ? after / 2 : SPREAD_MIN_MS;

	return after > 0 ? after + (int64_t)(random() % spread) : backoff_ms(failures);
}

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

static int count_of(struct json_object *object, const char *key)
{
	int64_t n;

	return json_strict_integer(json_object_object_get(object, key), 0, CARRIED_CAP, &n) ? (int)n : 0;
}

/* Billionths of what is no more than CARRIED_CAP; 0 for anything else. */
static int64_t nanos_of(struct json_object *number)
{
	double value = json_object_is_type(number, json_type_double) || json_object_is_type(number, json_type_int) ?
		       json_object_get_double(number) : 0;

	return value > 0 && value <= CARRIED_CAP ? (int64_t)(value * 1e9 + 0.5) : 0;
}

/* What earlier attempts took is part of what the job took. */
static void carry_over(struct grading *g, const char *result)
{
	struct json_object *root = NULL, *outcomes;
	const char *why;

	if (!result || json_strict_parse(result, strlen(result), &root, &why) == -1 ||
	    !json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		return;
	}
	g->used.calls = count_of(root, "calls");
	g->used.prompt_tokens = count_of(root, "prompt_tokens");
	g->used.completion_tokens = count_of(root, "completion_tokens");
	g->used.latency_ms = count_of(root, "latency_ms");
	g->cost_nanos = nanos_of(json_object_object_get(root, "cost"));
	g->stray = (size_t)count_of(root, "stray");
	g->worker_deaths = count_of(root, "worker_deaths");
	outcomes = json_object_object_get(root, "outcomes");
	for (int o = 0; o < OUTCOME_COUNT && json_object_is_type(outcomes, json_type_object); o++)
		g->outcomes[o] = (size_t)count_of(outcomes, outcome_name((enum outcome)o));
	json_object_put(root);
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
		child_in_line(g->lines[n].line->index);
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
	memcpy(g->job.id, row->id, sizeof(g->job.id));
	memcpy(g->job.session_id, row->session_id, sizeof(g->job.session_id));
	g->stored_before = row->claim > 1 || row->counted_as != COUNTED_NOT;
	g->job.claim = row->claim;
	g->job.attempts = row->attempts;
	g->job.max_attempts = row->max_attempts;
	g->job.counted_as = row->counted_as;
	g->settlement.job = &g->job;
	g->claimed_ms = now_ms();
	g->deadline_ms = g->claimed_ms + rater->config->queue.job_deadline_ms;
	g->bytes = row->data ? row->data_bytes : 0;
	if (read_row(g, row, &err) == -1) {
		g->job.nrated = 0;
		decide(g, "failed", true, 0, arena_printf(&g->job.arena, "%s", err.text));
	} else {
		list_lines(g, rater, with_keys);
		carry_over(g, row->result);
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

/* As it was when the line was rated, but for where this one has it from. Of equal keys the last one counts. */
static const char *as_cached(struct arena *arena, const char *provenance)
{
	static const char source[] = "\"source\":\"cache\"}";
	size_t len = provenance ? strlen(provenance) : 0;
	char *text, *end;

	if (len < 2 || provenance[0] != '{' || provenance[len - 1] != '}')	/* not ours: the table may hold anything */
		provenance = "{}", len = 2;
	text = arena_alloc(arena, len + sizeof(source) + 1);
	end = mempcpy(text, provenance, len - 1);
	if (len > 2)
		*end++ = ',';
	strcpy(end, source);
	return text;
}

void grading_give_cached(struct graded_line *line, const struct config *config, const struct cached_row *cached)
{
	struct arena *arena = &line->owner->job.arena;
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
		.provenance = as_cached(arena, cached->provenance),
	};
	line->owner->cached++;
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
			g->lines[i].outcome = OUTCOME_RATED;
			g->lines[i].stored = true;
		}
}

/* ---- calls ---- */

static bool is_last_attempt(const struct grading *g)
{
	return g->job.attempts + 1 >= g->job.max_attempts;
}

/* Half as many each time down to 1, which the last attempt reaches at once. */
static size_t halved(const struct grading *g, size_t n)
{
	if (g->job.attempts > 0 && is_last_attempt(g))
		return 1;
	for (int i = 0; i < g->job.attempts && n > 1; i++)
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

static bool is_open(const struct graded_line *gl)
{
	return gl->outcome == OUTCOME_PENDING && !gl->asked && !gl->waiting;
}

size_t grading_open_lines(const struct grading *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->job.nrated; i++)
		n += is_open(&g->lines[i]);
	return n;
}

/* Room for so many calls more. Returns the place of the first one. */
static struct ask **more_asks(struct grading *g, size_t more)
{
	struct ask **asks = arena_alloc(&g->job.arena, (g->ncalls + more) * sizeof(*asks));

	if (g->ncalls > 0)
		memcpy(asks, g->asks, g->ncalls * sizeof(*asks));
	g->asks = asks;
	asks += g->ncalls;
	g->ncalls += more;
	g->nopen += (int)more;
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
		if (!is_open(&g->lines[i]))
			continue;
		if (n % room == 0)
			ask = asks[(n / room + put_back) % calls] = new_ask(g, room);
		ask->lines[ask->nlines++] = g->lines[i].line;
		g->lines[i].asked = true;
		n++;
	}
	grading_ask_more(g, rater);
}

void grading_ask_more(struct grading *g, struct rater *rater)
{
	child_in_hand(g->job.id);
	for (; g->nstarted < g->ncalls && grading_calls_open(g) < GRADING_CALLS_AT_ONCE; g->nstarted++) {
		if (rater->gate && !rater->gate(rater->gate_arg, g, g->asks[g->nstarted]))
			break;
		rater_start(rater, g->asks[g->nstarted]);
	}
	child_in_hand(NULL);
}

size_t grading_calls_open(const struct grading *g)
{
	return g->nstarted - (g->ncalls - (size_t)g->nopen);
}

bool grading_got_on(const struct grading *g)
{
	for (size_t i = 0; i < g->job.nrated; i++)
		if (g->lines[i].outcome == OUTCOME_RATED && g->lines[i].store.rating && !g->lines[i].store.cached)
			return true;
	return false;
}

void grading_hand_over(struct grading *g, struct rater *rater)
{
	g->rater = rater;
	g->err = (struct err){ .kind = ERR_NONE };
	g->ncalls = g->nstarted = 0;
	for (size_t i = 0; i < g->job.nrated; i++) {
		g->lines[i].asked = false;
		if (g->lines[i].outcome != OUTCOME_RATED)
			g->lines[i].outcome = OUTCOME_PENDING;
	}
}

/* Now, written once a second. */
static const char *timestamp(void)
{
	static char when[40];
	static time_t written;
	time_t now = time(NULL);
	struct tm tm;

	if (now != written) {
		gmtime_r(&now, &tm);
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
		written = now;
	}
	return when;
}

static void write_rater(struct buf *b, const struct rater *rater, const char *model)
{
	buf_str(b, "\"rater\":\"");
	buf_str(b, rater->ops->name);
	buf_str(b, rater->fallback ? "\",\"fallback\":true,\"model\":" : "\",\"model\":");
	buf_json(b, model[0] ? model : rater->model);
}

static const char *provenance(struct grading *g, const struct rater *rater, const char *model)
{
	struct buf b;
	char *text;

	buf_init(&b, 4096);
	buf_char(&b, '{');
	write_rater(&b, rater, model);
	buf_str(&b, ",\"prompt\":\"");
	buf_str(&b, rater->prompt_hash);
	buf_str(&b, "\",\"schema\":\"");
	buf_str(&b, rater->schema_hash);
	buf_str(&b, "\",\"fingerprint\":\"");
	buf_add(&b, rater->fingerprint, strnlen(rater->fingerprint, 16));
	buf_str(&b, "\",\"at\":\"");
	buf_str(&b, timestamp());
	buf_str(&b, "\",\"source\":\"fresh\"}");
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
	gl->asked = false;
	if (v->outcome != OUTCOME_RATED) {
		if (v->reason[0])
			gl->why = arena_printf(&g->job.arena, "%s: %s", outcome_words(v->outcome), v->reason);
		return;
	}
	gl->store = (struct settle_line){
		.line = gl->line, .rating = v->rating, .reason = v->reason[0] ? v->reason : NULL,
		.alternatives = queue_join(&g->job.arena, v->alternatives, v->nalternatives),
		.provenance = provenance_json,
		.cache_key = remember && !gl->repeated ? gl->key : NULL,
		.context = remember && !gl->repeated ? context_text(g, rater->config, gl->line) : NULL,
	};
}

static void account(struct grading *g, const struct ask *ask)
{
	g->used.calls += ask->used.calls;
	g->used.prompt_tokens += ask->used.prompt_tokens;
	g->used.completion_tokens += ask->used.completion_tokens;
	g->used.latency_ms += ask->used.latency_ms;
	g->cost_nanos += ask->used.cost_nanos;
	g->stray += ask->used.stray;
	if (ask->used.model[0])
		memcpy(g->used.model, ask->used.model, sizeof(g->used.model));
}

/*
 * Of several failures the one decides that is least the job's fault: its own can wait until the provider
 * is well again. Of equal ones the one that asks for the longest pause.
 */
static void note_failure(struct grading *g, const struct err *err)
{
	static const int ranks[] = {
		[ERR_PERMANENT] = 1, [ERR_RETRY] = 2, [ERR_UNCLEAR] = 3,
		[ERR_UNAVAILABLE] = 4, [ERR_LIMITED] = 4, [ERR_DENIED] = 4, [ERR_CONFIG] = 0,
	};
	int was = ranks[g->err.kind], is = ranks[err->kind];

	if (g->err.kind == ERR_NONE || is > was || (is == was && err->after_ms > g->err.after_ms))
		g->err = *err;
	if (err_is_outside(g->err.kind)) {	/* what was not sent yet need not be */
		g->nopen -= (int)(g->ncalls - g->nstarted);
		g->ncalls = g->nstarted;
	}
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
	const char *why = arena_printf(&g->job.arena, "%s", ask->err.text);

	note_failure(g, &ask->err);
	g->outcomes[OUTCOME_FAILED] += ask->nlines;
	for (size_t i = 0; i < ask->nlines; i++) {
		gl = line_of(gl, ask, i);
		gl->outcome = OUTCOME_FAILED;
		gl->asked = false;
		gl->why = why;
		gl->hopeless = ask->err.kind == ERR_PERMANENT && ask->nlines == 1;
	}
}

void grading_take_answer(struct grading *g, struct ask *ask, const struct rater *rater, bool remember)
{
	struct graded_line *gl = g->lines;
	const char *json = NULL;

	g->nopen--;
	g->answered = true;
	for (size_t i = 0; i < g->ncalls; i++)
		if (g->asks[i] == ask)
			g->asks[i] = NULL;
	account(g, ask);
	if (ask->err.kind != ERR_NONE) {
		take_failure(g, ask);
		return;
	}
	for (size_t i = 0; i < ask->nlines; i++) {
		gl = line_of(gl, ask, i);
		g->outcomes[ask->verdicts[i].outcome]++;
		if (ask->verdicts[i].outcome == OUTCOME_RATED && !json)
			json = provenance(g, rater, ask->used.model);
		keep_verdict(g, gl, &ask->verdicts[i], rater, json, remember);
		gl->hopeless = gl->outcome == OUTCOME_REFUSED && ask->nlines == 1;
	}
}

/* What it took is part of what the job took. */
static void cancel_call(struct grading *g, struct rater *rater, struct ask *ask)
{
	rater_cancel(rater, ask);
	account(g, ask);
	g->answered |= ask->used.calls > 0;
	if (ask->done || ask->used.calls == 0)
		return;
	err_set(&ask->err, ERR_RETRY, "given up before it was answered");
	g->outcomes[OUTCOME_FAILED] += ask->nlines;
}

void grading_cancel(struct grading *g, struct rater *rater)
{
	for (size_t i = 0; i < g->nstarted; i++)
		if (g->asks[i])
			cancel_call(g, rater, g->asks[i]);
	g->ncalls = g->nstarted = 0;
	g->nopen = 0;
}

/* ---- the end ---- */

static const char *why_unrated(const struct graded_line *gl)
{
	return gl->why ? gl->why : outcome_words(gl->outcome);
}

/* "no rating for lines 12, 13 (the reply left the line out), 15 (...)" */
static const char *name_unrated(struct grading *g, size_t unrated)
{
	const char *text, *why = NULL;
	struct buf b;
	size_t n = 0;

	buf_init(&b, RESULT_CAP_BYTES);
	for (size_t i = 0; i < g->job.nrated && n < ERROR_LINES; i++) {
		const struct graded_line *gl = &g->lines[i];

		if (gl->outcome == OUTCOME_RATED)
			continue;
		if (why && strcmp(why, why_unrated(gl)) != 0)
			buf_printf(&b, " (%s)", why);
		why = why_unrated(gl);
		buf_printf(&b, "%s%d", n++ ? ", " : "", gl->line->index);
	}
	buf_printf(&b, " (%s)", why ? why : "");
	if (unrated > n)
		buf_printf(&b, " and %zu more", unrated - n);
	text = arena_printf(&g->job.arena, "no rating for line%s %s", unrated == 1 ? "" : "s", buf_text(&b));
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
		buf_char(b, ':');
		buf_int(b, (int64_t)n);
	}
	buf_char(b, '}');
}

static void write_outcomes(struct buf *b, const struct grading *g)
{
	const char *separator = "";

	buf_str(b, ",\"outcomes\":{");
	for (int o = 0; o < OUTCOME_COUNT; o++)
		if (g->outcomes[o]) {
			buf_printf(b, "%s\"%s\":%zu", separator, outcome_name((enum outcome)o), g->outcomes[o]);
			separator = ",";
		}
	buf_printf(b, "},\"stray\":%zu", g->stray);
}

static void write_unrated(struct buf *b, const struct grading *g)
{
	size_t n = 0;

	buf_str(b, ",\"unrated\":[");
	for (size_t i = 0; i < g->job.nrated && n < RESULT_LINES; i++) {
		const struct graded_line *gl = &g->lines[i];

		if (gl->outcome == OUTCOME_RATED)
			continue;
		buf_printf(b, "%s{\"line\":%d,\"outcome\":\"%s\",\"why\":", n++ ? "," : "", gl->line->index,
			   outcome_name(gl->outcome));
		buf_json(b, why_unrated(gl));
		buf_char(b, '}');
	}
	buf_char(b, ']');
}

/* The job's `result`: what was done and what it took, earlier attempts included. */
static const char *write_result(struct grading *g, const struct rater *rater, size_t unrated)
{
	struct buf b;
	const char *text;

	buf_init(&b, RESULT_CAP_BYTES);
	buf_str(&b, "{\"lines\":");
	buf_int(&b, (int64_t)g->job.nrated);
	buf_str(&b, ",\"rated\":");
	buf_int(&b, (int64_t)(g->job.nrated - unrated));
	buf_str(&b, ",\"skipped\":");
	buf_int(&b, (int64_t)g->job.skipped);
	buf_str(&b, ",\"cached\":");
	buf_int(&b, (int64_t)g->cached);
	buf_char(&b, ',');
	write_rater(&b, rater, g->used.model);
	if (!rater->instant)
		buf_printf(&b, ",\"calls\":%d,\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
			   ",\"latency_ms\":%" PRId64, g->used.calls, g->used.prompt_tokens,
			   g->used.completion_tokens, g->used.latency_ms);
	if (config_has_prices(rater->config)) {
		buf_str(&b, ",\"cost\":");
		buf_billionths(&b, (uint64_t)g->cost_nanos);
	}
	write_counts(&b, g, rater);
	if (!rater->instant || unrated)
		write_outcomes(&b, g);
	if (g->worker_deaths)
		buf_printf(&b, ",\"worker_deaths\":%d", g->worker_deaths);
	if (unrated)
		write_unrated(&b, g);
	buf_char(&b, '}');
	if (!buf_ok(&b))
		fatal("out of memory: cannot write a result");
	text = arena_dup(&g->job.arena, b.data, b.len);
	buf_free(&b);
	return text;
}

/* Free of charge. A job under suspicion backs off further each time, others wait for the provider alone. */
static void put_back(struct grading *g)
{
	int64_t delay_ms = random() % FREE_DELAY_MS;

	if (g->err.kind == ERR_UNCLEAR)
		delay_ms = retry_delay_ms(&g->err, (int)(g->job.claim - g->job.attempts));
	else if (g->err.after_ms > 0)
		delay_ms = retry_delay_ms(&g->err, 0);
	decide(g, "pending", false, delay_ms,
	       arena_printf(&g->job.arena, "%s; put back, no attempt counted", g->err.text));
}

static void try_again(struct grading *g, const char *names)
{
	decide(g, "pending", true, retry_delay_ms(&g->err, g->job.attempts),
	       arena_printf(&g->job.arena, "%s; attempt %d of %d, it will be tried again", names,
			    g->job.attempts + 1, g->job.max_attempts));
}

/* The lines without a rating end as they are; those that have one are not lost with them. */
static void give_up(struct grading *g, const char *names, bool any_rated)
{
	const char *error = names;

	if (is_last_attempt(g))
		error = arena_printf(&g->job.arena, "%s; that was attempt %d of %d", names,
				     g->job.attempts + 1, g->job.max_attempts);
	decide(g, any_rated ? "completed" : "failed", true, 0, error);
}

static void count_unrated(const struct grading *g, size_t *unrated, size_t *hopeless)
{
	*unrated = *hopeless = 0;
	for (size_t i = 0; i < g->job.nrated; i++) {
		*unrated += g->lines[i].outcome != OUTCOME_RATED;
		*hopeless += g->lines[i].outcome != OUTCOME_RATED && g->lines[i].hopeless;
	}
}

void grading_decide(struct grading *g, const struct rater *rater)
{
	size_t unrated, hopeless;
	const char *names;
	bool pending;

	count_unrated(g, &unrated, &hopeless);
	names = unrated ? name_unrated(g, unrated) : NULL;
	if (unrated == 0)
		decide(g, "completed", false, 0, NULL);
	else if (unrated > hopeless && (err_is_outside(g->err.kind) || g->err.kind == ERR_UNCLEAR))
		put_back(g);
	else if (unrated > hopeless && !is_last_attempt(g))
		try_again(g, names);
	else
		give_up(g, names, unrated < g->job.nrated);
	pending = strcmp(g->settlement.status, "pending") == 0;
	if (!pending)
		g->nfailed = unrated;
	if (!pending || g->answered)	/* else it stays as earlier attempts left it */
		g->settlement.result = write_result(g, rater, unrated);
}

void grading_fail(struct grading *g, const struct err *err, const struct rater *rater)
{
	const char *why = arena_printf(&g->job.arena, "%s", err->text);

	for (size_t i = 0; i < g->job.nrated; i++)
		if (g->lines[i].outcome == OUTCOME_PENDING)
			g->lines[i].why = why;
	note_failure(g, err);
	grading_decide(g, rater);
}

void grading_put_off(struct grading *g, const struct err *err)
{
	const char *why = arena_printf(&g->job.arena, "%s", err->text);

	for (size_t i = 0; i < g->job.nrated; i++)
		if (is_open(&g->lines[i])) {
			g->lines[i].outcome = OUTCOME_FAILED;
			g->lines[i].why = why;
		}
	note_failure(g, err);
}

void grading_release(struct grading *g, const char *why, int64_t delay_ms)
{
	size_t unrated, hopeless;

	decide(g, "pending", false, delay_ms, why);
	count_unrated(g, &unrated, &hopeless);
	if (g->answered)
		g->settlement.result = write_result(g, g->rater, unrated);
}

/* ---- on its way to the database ---- */

bool grading_attach(struct grading *g)
{
	struct settle_line *lines = NULL;
	size_t n = 0, resent = 0;

	for (size_t i = 0; i < g->job.nrated; i++) {
		g->lines[i].sent = g->lines[i].outcome == OUTCOME_RATED && !g->lines[i].stored;
		n += g->lines[i].sent;
		resent += g->lines[i].sent && g->lines[i].resent;
	}
	if (n == 0 && !g->decided)
		return false;
	if (n > 0)
		lines = arena_alloc(&g->job.arena, n * sizeof(*lines));
	g->settlement.lines = lines;
	g->settlement.nlines = n;
	g->settlement.nresent = resent;
	for (size_t i = 0; i < g->job.nrated; i++)
		if (g->lines[i].sent)
			*lines++ = g->lines[i].store;
	g->settling = true;
	g->settling_last = g->decided;
	if (!g->decided)
		g->settlement.status = "processing";
	return true;
}

bool grading_is_first(const struct grading *g)
{
	return g->decided && !g->stored_before && strcmp(g->settlement.status, "completed") == 0 &&
	       !g->settlement.attempt && !g->settlement.error && g->job.nrated > 0;
}

void grading_attached_done(struct grading *g, bool stored)
{
	g->settling = false;
	g->stored_before |= !g->settling_last;
	for (size_t i = 0; i < g->job.nrated; i++) {
		g->lines[i].stored |= g->lines[i].sent && stored;
		g->lines[i].resent |= g->lines[i].sent && !stored;
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
