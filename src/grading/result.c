/*
 * What a job under way says of itself in its row: `result`, with what earlier attempts left there
 * carried over, and the part of `error` that names lines without a rating. Runs in workers; it
 * decides nothing, and what it writes is in the job's arena.
 */
#include "result.h"

#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "grading/graded_line.h"
#include "grading/whole_grade.h"
#include "lib/json_strict.h"
#include "provenance.h"

#define RESULT_CAP_BYTES (1u << 20)
#define CARRIED_CAP 1000000000	/* of earlier attempts is believed: the row may hold anything */
#define ERROR_LINES 20		/* lines that error names; the rest is counted */
#define RESULT_LINES 200	/* and result */
/* Claims ask for it as well: queue/sql/pieces/claimed_rows.sql. */
#define WAITED "waited_for_batches"
/* What is due when its session ends: queue/sql/release_waiting.sql. */
#define WAITING "waiting"
#define WAITS "waits"		/* times that a session was found not to be over */

static int count_of(struct json_object *object, const char *key)
{
	struct json_object *number = json_object_object_get(object, key);
	int64_t n;

	return json_strict_integer(number, 0, CARRIED_CAP, &n) ? (int)n : 0;
}

/* Billionths of what is no more than CARRIED_CAP; 0 for anything else. */
static int64_t nanos_of(struct json_object *number)
{
	double value = 0;

	if (json_object_is_type(number, json_type_double) ||
	    json_object_is_type(number, json_type_int))
		value = json_object_get_double(number);
	return value > 0 && value <= CARRIED_CAP ? (int64_t)(value * 1e9 + 0.5) : 0;
}

/* What earlier attempts took is part of what the job took. */
void result_carry_over(struct grading *g, const char *result)
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
	g->used.cost_nanos = nanos_of(json_object_object_get(root, "cost"));
	g->stray = (size_t)count_of(root, "stray");
	g->worker_deaths = count_of(root, "worker_deaths");
	g->free_retries = count_of(root, "unclear");
	g->whole.waits = count_of(root, WAITS);
	outcomes = json_object_object_get(root, "outcomes");
	for (int o = 0; o < OUTCOME_COUNT && json_object_is_type(outcomes, json_type_object); o++)
		g->outcomes[o] = (size_t)count_of(outcomes, outcome_name((enum outcome)o));
	json_object_put(root);
}

const char *result_mark_waited(struct grading *g, const char *earlier)
{
	size_t len = earlier ? strlen(earlier) : 0;

	/* As the database writes an object: {} or {"key": ...}. */
	if (len <= 2)
		return "{\"" WAITED "\": true}";
	return arena_printf(&g->job.arena, "%.*s, \"" WAITED "\": true}", (int)(len - 1), earlier);
}

bool result_has_waited(const char *earlier)
{
	struct json_object *root = NULL;
	const char *why;
	bool waited;

	if (!earlier || json_strict_parse(earlier, strlen(earlier), &root, &why) == -1)
		return false;
	waited = json_object_is_type(root, json_type_object) &&
		 json_object_object_get_ex(root, WAITED, NULL);
	json_object_put(root);
	return waited;
}

const char *result_mark_waits(struct grading *g, const char *earlier, int waits)
{
	struct json_object *root = NULL;
	const char *why, *text;

	if (!earlier || json_strict_parse(earlier, strlen(earlier), &root, &why) == -1 ||
	    !json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		return arena_printf(&g->job.arena, "{\"" WAITING "\": true, \"" WAITS "\": %d}",
				    waits);
	}
	json_object_object_add(root, WAITING, json_object_new_boolean(true));
	json_object_object_add(root, WAITS, json_object_new_int(waits));
	text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN);
	text = arena_dup(&g->job.arena, text, strlen(text));
	json_object_put(root);
	return text;
}

static const char *why_unrated(const struct graded_line *gl)
{
	return gl->why ? gl->why : outcome_words(gl->outcome);
}

/* "no rating for lines 12, 13 (the reply left the line out), 15 (...)" */
const char *result_name_unrated(struct grading *g, size_t unrated)
{
	const char *text, *why = NULL;
	struct buf b;
	size_t n = 0;

	if (g->job.whole)
		return arena_printf(&g->job.arena, "no grade for the session as a whole (%s)",
				    why_unrated(&g->lines[0]));
	buf_init(&b, RESULT_CAP_BYTES);
	for (size_t i = 0; i < g->job.nrated && n < ERROR_LINES; i++) {
		const struct graded_line *gl = &g->lines[i];

		if (line_is_rated(gl))
			continue;
		if (why && strcmp(why, why_unrated(gl)) != 0)
			buf_printf(&b, " (%s)", why);
		why = why_unrated(gl);
		buf_printf(&b, "%s%d", n++ ? ", " : "", gl->line->index);
	}
	buf_printf(&b, " (%s)", why ? why : "");
	if (unrated > n)
		buf_printf(&b, " and %zu more", unrated - n);
	text = arena_printf(&g->job.arena, "no rating for line%s %s", unrated == 1 ? "" : "s",
			    buf_text(&b));
	buf_free(&b);
	return text;
}

static void write_counts(struct buf *b, const struct grading *g, const struct rater *rater)
{
	const struct string_list *scale = &rater->config->rater.scale;

	buf_str(b, ",\"ratings\":{");
	for (size_t s = 0; s < scale->n; s++) {
		size_t n = 0;

		for (size_t i = 0; i < g->job.nrated; i++) {
			const char *rating = g->lines[i].store.rating;

			n += rating && strcmp(rating, scale->items[s]) == 0;
		}
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
			buf_printf(b, "%s\"%s\":%zu", separator, outcome_name((enum outcome)o),
				   g->outcomes[o]);
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

		if (line_is_rated(gl))
			continue;
		buf_printf(b, "%s{\"line\":%d,\"outcome\":\"%s\",\"why\":", n++ ? "," : "",
			   gl->line->index, outcome_name(gl->outcome));
		buf_json(b, why_unrated(gl));
		buf_char(b, '}');
	}
	buf_char(b, ']');
}

static void write_lines(struct buf *b, const struct grading *g, size_t unrated)
{
	buf_str(b, "{\"lines\":");
	buf_int(b, (int64_t)g->job.nrated);
	buf_str(b, ",\"rated\":");
	buf_int(b, (int64_t)(g->job.nrated - unrated));
	buf_str(b, ",\"skipped\":");
	buf_int(b, (int64_t)g->job.skipped);
	buf_str(b, ",\"cached\":");
	buf_int(b, (int64_t)g->cached);
	buf_char(b, ',');
}

/* Which of the session's batches it was, under the keys of job_data: who reads `result` counts by. */
static void write_batch(struct buf *b, const struct job *job)
{
	if (job->batch_index >= 0)
		buf_printf(b, "\"batchIndex\":%d,", job->batch_index);
	if (job->total_batches > 0)
		buf_printf(b, "\"totalBatches\":%d,", job->total_batches);
}

static void write_used(struct buf *b, const struct grading_used *used)
{
	buf_printf(b, ",\"calls\":%d,\"prompt_tokens\":%" PRId64, used->calls, used->prompt_tokens);
	buf_printf(b, ",\"completion_tokens\":%" PRId64 ",\"latency_ms\":%" PRId64,
		   used->completion_tokens, used->latency_ms);
}

static void write_cost(struct buf *b, const struct grading_used *used)
{
	buf_str(b, ",\"cost\":");
	buf_billionths(b, (uint64_t)used->cost_nanos);
}

static void write_troubles(struct buf *b, const struct grading *g)
{
	int unclear = g->free_retries + g->used_free_retry;

	if (g->worker_deaths)
		buf_printf(b, ",\"worker_deaths\":%d", g->worker_deaths);
	if (unclear)
		buf_printf(b, ",\"unclear\":%d", unclear);
	if (g->whole.waits)
		buf_printf(b, ",\"" WAITS "\":%d", g->whole.waits);
}

static void write_notice(struct buf *b, const struct grading *g)
{
	if (!g->job.notice)
		return;
	buf_str(b, ",\"notice\":");
	buf_json(b, g->job.notice);
}

const char *result_write(struct grading *g, const struct rater *rater, size_t unrated)
{
	/* A fallback that answers at once may have ended what another began. */
	bool asked = !rater->instant || g->used.calls > 0;
	struct buf b;
	const char *text;

	buf_init(&b, RESULT_CAP_BYTES);
	if (g->job.whole) {
		buf_char(&b, '{');	/* it brings no line, and counts none */
	} else {
		write_lines(&b, g, unrated);
		write_batch(&b, &g->job);
	}
	provenance_write_rater(&b, rater, g->used.model);
	if (asked)
		write_used(&b, &g->used);
	if (config_has_prices(rater->config))
		write_cost(&b, &g->used);
	if (g->job.whole)
		whole_grade_write(&b, g, rater->config);
	else
		write_counts(&b, g, rater);
	if (asked || unrated)
		write_outcomes(&b, g);
	write_troubles(&b, g);
	write_notice(&b, g);
	if (unrated && !g->job.whole)
		write_unrated(&b, g);
	buf_char(&b, '}');
	if (!buf_ok(&b))
		fatal("out of memory: cannot write a result");
	text = arena_dup(&g->job.arena, b.data, b.len);
	buf_free(&b);
	return text;
}
