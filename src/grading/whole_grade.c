/*
 * The grade of a session as a whole. Runs in workers; it makes no grade (session_verdict.c does),
 * and stores none: the job's result carries it, and settle.sql takes it from there. The share of
 * each rating is counted here, whoever grades: it is nothing to be asked about.
 */
#include "grading/whole_grade.h"

#include <string.h>

#include "base/arena.h"
#include "grading/graded_line.h"
#include "lib/hash.h"
#include "queue/whole.h"
#include "rater/session_verdict.h"
#include "provenance.h"

#define RATINGS_SHOWN 100	/* different ones, those of earlier scales among them */
#define SHARE_STEPS 10000	/* a share has four decimals */
#define STEP_NANOS 100000	/* one of them, in billionths */

/* ---- equal sessions ---- */

void whole_grade_key(struct grading *g, const struct rater *rater)
{
	const struct whole *whole = g->job.whole;
	struct hash *h = hash_begin();

	hash_string(h, rater->session.fingerprint);
	hash_string(h, g->job.sales_rep);
	hash_string(h, g->job.customer);
	hash_int(h, whole->unrated);
	for (size_t i = 0; i < whole->nlines; i++) {
		hash_int(h, whole->lines[i].index);
		hash_string(h, whole->lines[i].speaker);
		hash_string(h, whole->lines[i].text);
		hash_string(h, whole->lines[i].rating);
	}
	hash_end(h, g->whole.key);
}

/* ---- giving ---- */

static void rate_line(struct grading *g, const struct verdict *v)
{
	struct settle_line store = { .line = g->lines[0].line, .rating = v->rating };

	if (line_rate(&g->lines[0], &store))
		g->whole.grade = v->grade;
}

void whole_grade_take(struct grading *g, const struct verdict *v, const struct rater *rater,
		      const char *model)
{
	rate_line(g, v);
	g->whole.provenance = provenance_fresh(&g->job.arena, rater, model, true);
	g->whole.remember = !rater->fallback;
}

void whole_grade_give(struct grading *g, const struct graded_row *row, const struct config *config)
{
	struct arena *arena = &g->job.arena;
	const char *provenance = row->provenance ? row->provenance : "{}";
	struct verdict v;

	if (!line_is_pending(&g->lines[0]))
		return;
	session_verdict_read(row->grading, strlen(row->grading), config, arena, &v);
	if (v.outcome != OUTCOME_RATED)
		return;
	rate_line(g, &v);
	g->whole.provenance = arena_dup(arena, provenance, strlen(provenance));
	g->whole.given_at = arena_dup(arena, row->given_at, strlen(row->given_at));
	g->whole.cached = g->whole.remember = true;
}

/* ---- the result ---- */

/* How many lines have one rating. */
struct share { const char *rating; size_t lines; };

static size_t count_line(struct share *shares, size_t n, const char *rating)
{
	size_t i = 0;

	while (i < n && strcmp(shares[i].rating, rating) != 0)
		i++;
	if (i == RATINGS_SHOWN)
		return n;
	if (i == n)
		shares[n++] = (struct share){ .rating = rating };
	shares[i].lines++;
	return n;
}

/* Of each rating of the scale, and of others that lines have. */
static void write_shares(struct buf *b, const struct whole *whole, const struct string_list *scale)
{
	struct share shares[RATINGS_SHOWN];
	size_t n = 0;

	for (; n < scale->n; n++)
		shares[n] = (struct share){ .rating = scale->items[n] };
	for (size_t i = 0; i < whole->nlines; i++)
		if (*whole->lines[i].rating)
			n = count_line(shares, n, whole->lines[i].rating);
	buf_str(b, ",\"ratings\":{");
	for (size_t i = 0; i < n; i++) {
		uint64_t steps = (2 * shares[i].lines * SHARE_STEPS + whole->nrated) /
				 (2 * whole->nrated);

		buf_str(b, i ? "," : "");
		buf_json(b, shares[i].rating);
		buf_printf(b, ":{\"lines\":%zu,\"share\":", shares[i].lines);
		buf_billionths(b, steps * STEP_NANOS);
		buf_char(b, '}');
	}
	buf_char(b, '}');
}

static void write_points(struct buf *b, const char *name, const char *const *points, size_t n)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		buf_str(b, i ? "," : "");
		buf_json(b, points[i]);
	}
	buf_char(b, ']');
}

static void write_grading(struct buf *b, const struct session_grade *grade,
			  const struct whole *whole, const struct string_list *scale)
{
	buf_printf(b, ",\"grading\":{\"score\":%d,\"summary\":", grade->score);
	buf_json(b, grade->summary);
	write_points(b, "strengths", grade->strengths, grade->nstrengths);
	write_points(b, "improvements", grade->improvements, grade->nimprovements);
	write_shares(b, whole, scale);
	buf_printf(b, ",\"lines\":%zu,\"unrated\":%d,\"failed_batches\":%d}", whole->nrated,
		   whole->unrated, whole->failed_batches);
}

void whole_grade_write(struct buf *b, const struct grading *g, const struct config *config)
{
	const struct grading_whole *w = &g->whole;

	if (!w->grade)
		return;
	write_grading(b, w->grade, g->job.whole, &config->rater.scale);
	buf_str(b, ",\"upto\":");
	buf_int(b, g->job.whole->upto);
	buf_str(b, w->cached ? ",\"cached\":true,\"provenance\":"
			     : ",\"cached\":false,\"provenance\":");
	buf_str(b, w->provenance);
	if (w->given_at) {
		buf_str(b, ",\"given_at\":");
		buf_json(b, w->given_at);
	}
	if (w->key[0] && w->remember) {
		buf_str(b, ",\"key\":");
		buf_json(b, w->key);
	}
}
