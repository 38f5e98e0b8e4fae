/*
 * Looking claimed jobs up, one statement of a kind for a whole claim. Runs in workers; it asks no
 * rater, and a look-up that fails costs calls, no job.
 */
#include "lookup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "grading/whole_grade.h"

struct batch {
	LIST_ENTRY(batch) link;
	const struct context *ctx;
	lookup_done_fn *done;
	void *arg;
	struct grading **gradings;
	size_t n;
	struct graded_line **lines;	/* nlines of them, all that have a key, in its order */
	size_t nlines;
	int waiting;			/* answers to come, and until all is sent one more */
};

/* Those under way. */
static LIST_HEAD(, batch) batches = LIST_HEAD_INITIALIZER(batches);

static void batch_free(struct batch *b)
{
	LIST_REMOVE(b, link);
	free(b->gradings);
	free(b->lines);
	free(b);
}

static void answered(struct batch *b)
{
	if (--b->waiting > 0)
		return;
	b->done(b->arg, b->gradings, b->n);
	batch_free(b);
}

void lookup_forget_all(void)
{
	for (struct batch *b = LIST_FIRST(&batches), *next; b; b = next) {
		next = LIST_NEXT(b, link);
		batch_free(b);
	}
}

/* ---- the phrase cache ---- */

static int by_key(const void *a, const void *b)
{
	struct graded_line *const *one = a, *const *other = b;

	return strcmp((*one)->key, (*other)->key);
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

static void give_cached(struct batch *b, const struct cached_row *cached)
{
	for (size_t i = find_key(b, cached->key);
	     i < b->nlines && strcmp(b->lines[i]->key, cached->key) == 0; i++)
		grading_give_cached(b->lines[i], b->ctx->config, cached);
}

static void on_cached(void *arg, const PGresult *result, const struct err *err)
{
	struct batch *b = arg;

	if (err && err->kind != ERR_LOST)
		log_warn("%s; rating without the phrase cache", err->text);
	for (int row = 0; result && row < PQntuples(result); row++) {
		struct cached_row cached;

		queue_cached_row(result, row, &cached);
		give_cached(b, &cached);
	}
	answered(b);
}

/* A session as a whole has a key of its own, and its line has none. */
static size_t keyed_lines(const struct grading *g)
{
	return g->keyed ? g->job.nrated : 0;
}

static void sort_lines(struct batch *b)
{
	size_t k = 0;

	for (size_t i = 0; i < b->n; i++)
		b->nlines += keyed_lines(b->gradings[i]);
	if (b->nlines == 0)
		return;
	b->lines = xcalloc(b->nlines, sizeof(*b->lines));
	for (size_t i = 0; i < b->n; i++)
		for (size_t l = 0; l < keyed_lines(b->gradings[i]); l++)
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
	if (queue_lookup(b->ctx->queue, keys, n, b->ctx->config->cache.ttl_ms, on_cached, b) == 0)
		b->waiting++;
	free(keys);
}

/* ---- what was stored before ---- */

static void give_stored(struct batch *b, const struct stored_row *stored)
{
	for (size_t i = 0; i < b->n; i++)
		if (strcmp(b->gradings[i]->job.id, stored->job_id) == 0)
			grading_give_stored(b->gradings[i], stored->index, stored->text);
}

static void on_stored(void *arg, const PGresult *result, const struct err *err)
{
	struct batch *b = arg;

	if (err && err->kind != ERR_LOST)
		log_warn("%s; rating all lines anew", err->text);
	for (int row = 0; result && row < PQntuples(result); row++) {
		struct stored_row stored;

		queue_stored_row(result, row, &stored);
		give_stored(b, &stored);
	}
	answered(b);
}

/* Only a job that was claimed before may have lines in line_ratings. */
static void look_up_stored(struct batch *b)
{
	struct job **jobs = xcalloc(b->n, sizeof(*jobs));
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->gradings[i]->job.times_claimed > 1 && !b->gradings[i]->job.whole)
			jobs[n++] = &b->gradings[i]->job;
	if (n > 0 && queue_stored(b->ctx->queue, jobs, n, on_stored, b) == 0)
		b->waiting++;
	free(jobs);
}

/* ---- equal sessions ---- */

static void on_graded(void *arg, const PGresult *result, const struct err *err)
{
	struct batch *b = arg;

	if (err && err->kind != ERR_LOST)
		log_warn("%s; grading sessions without what is known of equal ones", err->text);
	for (int row = 0; result && row < PQntuples(result); row++) {
		struct graded_row graded;

		queue_graded_row(result, row, &graded);
		for (size_t i = 0; i < b->n; i++)
			if (b->gradings[i]->job.whole && b->gradings[i]->job.nrated > 0 &&
			    strcmp(b->gradings[i]->whole.key, graded.key) == 0)
				whole_grade_give(b->gradings[i], &graded, b->ctx->config);
	}
	answered(b);
}

static void look_up_graded(struct batch *b)
{
	const char **keys = xcalloc(b->n, sizeof(*keys));
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->gradings[i]->job.nrated > 0 && b->gradings[i]->whole.key[0])
			keys[n++] = b->gradings[i]->whole.key;
	if (n > 0 && queue_graded(b->ctx->queue, keys, n, b->ctx->config->cache.ttl_ms, on_graded,
				  b) == 0)
		b->waiting++;
	free(keys);
}

void lookup_begin(const struct context *ctx, struct grading *const *gradings, size_t n,
		  lookup_done_fn *done, void *arg)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	LIST_INSERT_HEAD(&batches, b, link);
	b->ctx = ctx;
	b->done = done;
	b->arg = arg;
	b->n = n;
	b->gradings = xcalloc(n, sizeof(struct grading *));
	memcpy(b->gradings, gradings, n * sizeof(struct grading *));
	b->waiting = 1;
	look_up_cached(b);
	look_up_graded(b);
	look_up_stored(b);
	answered(b);
}
