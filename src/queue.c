/*
 * Packs what a worker wants into the parameters of statements.c and unpacks the rows that come back.
 * Runs in workers; values travel as parameters only, never inside SQL text. Keeps no state.
 */
#include "queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "pgarray.h"
#include "statements.h"

/* A batch of jobs at their caps, with all their lines, stays below this. */
#define PARAM_CAP_BYTES (256u << 20)
#define SETTLE_JOB_PARAMS 11
#define SETTLE_PARAMS 22

static const char *cell(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

int queue_claim(struct pg *pg, int jobs, const char *identity, pg_answer_fn *answer, void *arg)
{
	char limit[16], cap[16];
	const char *values[] = { limit, identity, cap };

	snprintf(limit, sizeof(limit), "%d", jobs);
	snprintf(cap, sizeof(cap), "%u", JOB_DATA_CAP_BYTES);
	return pg_send(pg, &statements[STATEMENT_CLAIM], values, answer, arg);
}

static int counted_from(const char *text)
{
	if (!text)
		return COUNTED_NOT;
	return strcmp(text, "failed") == 0 ? COUNTED_FAILED : COUNTED_COMPLETED;
}

static const char *counted_text(int counted)
{
	static const char *const texts[] = { NULL, "completed", "failed" };

	return texts[counted];
}

void queue_claimed_row(const PGresult *result, int row, struct claimed_row *out)
{
	const char *session = cell(result, row, 1), *bytes = cell(result, row, 7);

	out->id = cell(result, row, 0);
	out->has_session = session != NULL;
	out->session_id = session ? session : "";
	out->claim = strtoll(cell(result, row, 2), NULL, 10);
	out->attempts = atoi(cell(result, row, 3));
	out->max_attempts = atoi(cell(result, row, 4));
	out->counted_as = counted_from(cell(result, row, 5));
	out->job_type = cell(result, row, 6) ? cell(result, row, 6) : "";
	out->data_bytes = bytes ? strtoll(bytes, NULL, 10) : -1;
	out->data = cell(result, row, 8);
	out->result = cell(result, row, 9);
}

/* Sends the first n of params and frees them all. */
static int send_bufs(struct pg *pg, enum statement_id id, struct buf *params, int n, pg_answer_fn *answer,
		     void *arg)
{
	const char *values[STATEMENT_MAX_PARAMS];
	int sent = -1;
	bool ok = true;

	for (int i = 0; i < n; i++) {
		ok = ok && buf_ok(&params[i]);
		values[i] = buf_text(&params[i]);
	}
	if (ok)
		sent = pg_send(pg, &statements[id], values, answer, arg);
	else
		fatal("statement `%s`: its parameters exceed %u bytes", statements[id].name, PARAM_CAP_BYTES);
	for (int i = 0; i < n; i++)
		buf_free(&params[i]);
	return sent;
}

static void begin_params(struct buf *params, int n)
{
	for (int i = 0; i < n; i++)
		buf_init(&params[i], PARAM_CAP_BYTES);
}

int queue_lookup(struct pg *pg, const char *const *keys, size_t n, int64_t ttl_ms, pg_answer_fn *answer, void *arg)
{
	struct buf params[2];

	begin_params(params, 2);
	pgarray_begin(&params[0]);
	for (size_t i = 0; i < n; i++)
		pgarray_text(&params[0], keys[i]);
	pgarray_end(&params[0]);
	buf_printf(&params[1], "%" PRId64, ttl_ms);
	return send_bufs(pg, STATEMENT_LOOKUP, params, 2, answer, arg);
}

void queue_cached_row(const PGresult *result, int row, struct cached_row *out)
{
	out->key = PQgetvalue(result, row, 0);
	out->rating = PQgetvalue(result, row, 1);
	out->alternatives = cell(result, row, 2) ? cell(result, row, 2) : "{}";
	out->reason = PQgetvalue(result, row, 3);
	out->provenance = cell(result, row, 4);
}

static void put_ids(struct buf *b, struct job *const *jobs, size_t n, bool sessions)
{
	pgarray_begin(b);
	for (size_t i = 0; i < n; i++)
		pgarray_text(b, sessions ? jobs[i]->session_id : jobs[i]->id);
	pgarray_end(b);
}

int queue_stored(struct pg *pg, struct job *const *jobs, size_t n, pg_answer_fn *answer, void *arg)
{
	struct buf params[2];

	begin_params(params, 2);
	put_ids(&params[0], jobs, n, false);
	put_ids(&params[1], jobs, n, true);
	return send_bufs(pg, STATEMENT_STORED, params, 2, answer, arg);
}

int queue_disown(struct pg *pg, const char *identity, struct job *const *jobs, size_t n,
		 pg_answer_fn *answer, void *arg)
{
	struct buf params[2];

	begin_params(params, 2);
	buf_str(&params[0], identity);
	put_ids(&params[1], jobs, n, false);
	return send_bufs(pg, STATEMENT_DISOWN, params, 2, answer, arg);
}

/* The columns of one job, in the order of $1 to $11. */
static void put_settled_job(struct buf *p, const struct settlement *s)
{
	pgarray_text(&p[0], s->job->id);
	pgarray_int(&p[1], s->job->claim);
	pgarray_text(&p[2], s->status);
	pgarray_int(&p[3], s->attempt);
	pgarray_int(&p[4], s->delay_ms);
	pgarray_text(&p[5], s->error);
	pgarray_text(&p[6], s->result);
	pgarray_text(&p[7], counted_text(s->job->counted_as));
	pgarray_int(&p[8], s->job->total_batches);
	pgarray_int(&p[9], (int64_t)s->job->nrated);
	pgarray_int(&p[10], (int64_t)s->job->skipped);
}

/* The columns of one line, in the order of $12 to $21. */
static void put_settled_line(struct buf *p, const struct job *job, const struct settle_line *l)
{
	pgarray_text(&p[0], job->id);
	pgarray_int(&p[1], l->line->index);
	pgarray_text(&p[2], l->line->text);
	pgarray_text(&p[3], l->rating);
	pgarray_text(&p[4], l->alternatives);
	pgarray_text(&p[5], l->reason);
	pgarray_bool(&p[6], l->cached);
	pgarray_text(&p[7], l->provenance);
	pgarray_text(&p[8], l->cache_key);
	pgarray_text(&p[9], l->context);
}

int queue_settle(struct pg *pg, const struct settlement *const *s, size_t n, int64_t cache_ttl_ms,
		 pg_answer_fn *answer, void *arg)
{
	struct buf params[SETTLE_PARAMS];

	begin_params(params, SETTLE_PARAMS);
	for (int i = 0; i < SETTLE_PARAMS - 1; i++)
		pgarray_begin(&params[i]);
	for (size_t i = 0; i < n; i++) {
		put_settled_job(params, s[i]);
		for (size_t k = 0; k < s[i]->nlines; k++)
			put_settled_line(params + SETTLE_JOB_PARAMS, s[i]->job, &s[i]->lines[k]);
	}
	for (int i = 0; i < SETTLE_PARAMS - 1; i++)
		pgarray_end(&params[i]);
	buf_printf(&params[SETTLE_PARAMS - 1], "%" PRId64, cache_ttl_ms);
	return send_bufs(pg, STATEMENT_SETTLE, params, SETTLE_PARAMS, answer, arg);
}

const char *queue_settled_row(const PGresult *result, int row, bool *settled)
{
	*settled = PQgetvalue(result, row, 1)[0] == 't';
	return PQgetvalue(result, row, 0);
}

int64_t queue_settled_lines(const PGresult *result)
{
	return PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 2), NULL, 10) : 0;
}

const char *queue_text_array(struct arena *arena, const char *const *items, size_t n)
{
	struct buf b;
	const char *copy;

	buf_init(&b, PARAM_CAP_BYTES);
	pgarray_begin(&b);
	for (size_t i = 0; i < n; i++)
		pgarray_text(&b, items[i]);
	pgarray_end(&b);
	if (!buf_ok(&b))
		fatal("out of memory: cannot write an array");
	copy = arena_dup(arena, b.data, b.len);
	buf_free(&b);
	return copy;
}
