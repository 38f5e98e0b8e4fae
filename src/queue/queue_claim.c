/*
 * Claims: which jobs are taken, by which statement, and the rows that come back; and giving back
 * what a lost answer left behind. Runs in workers. It decides nothing about jobs.
 */
#include "queue/queue.h"

#include <string.h>

#include "pg/pgbinary.h"
#include "queue_send.h"

#define NO_PRIORITY INT64_MIN

/* Columns of sql/pieces/claimed_rows.sql, in its order. */
enum { CLAIMED_ID, CLAIMED_SESSION, CLAIMED_CLAIM, CLAIMED_TIMES, CLAIMED_ATTEMPTS,
       CLAIMED_MAX_ATTEMPTS, CLAIMED_COUNTED_AS, CLAIMED_JOB_TYPE, CLAIMED_PRIORITY,
       CLAIMED_AVAILABLE_AT, CLAIMED_DATA_BYTES, CLAIMED_DATA, CLAIMED_RESULT };

/* Rows of (priority, known priority above, floor): one a known priority, one for all below. */
static void put_floors(struct buf *p, const struct floors *floors)
{
	static const struct floor below = { .priority = 0 };
	int64_t above = INT64_MAX;

	pgitems_begin(&p[0], PG_INT8);
	pgitems_begin(&p[1], PG_INT8);
	pgitems_begin(&p[2], PG_TIMESTAMPTZ);
	pgitems_begin(&p[3], PG_UUID);
	for (int i = 0; i <= floors->n; i++) {
		const struct floor *f = i < floors->n ? &floors->at[i] : &below;

		pgitem_int8(&p[0], i < floors->n ? f->priority : NO_PRIORITY);
		pgitem_int8(&p[1], above);
		pgitem_int8(&p[2], f->available_at);
		pgitem_uuid_bytes(&p[3], f->id);
		above = f->priority;
	}
}

/* $1 to $8 of all claims. */
static void put_search(struct buf *p, const struct claim *claim)
{
	pgbinary_int4(&p[0], claim->jobs);
	pgbinary_int4(&p[1], JOB_DATA_CAP_BYTES);
	put_floors(&p[2], claim->floors);
	pgbinary_int8(&p[6], claim->slack_ms);
	pgitems_begin(&p[7], PG_UUID);
	for (int i = 0; i < claim->navoid; i++)
		pgitem_uuid_bytes(&p[7], claim->avoid[i].id);
}

int queue_claim(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	put_search(p, claim);
	buf_str(&p[8], claim->identity);
	return queue_send(q, claim->briefly ? STATEMENT_CLAIM_BRIEFLY : STATEMENT_CLAIM, answer,
			  arg);
}

/* What comes next is answered too, and tells whether this went wrong. */
static void no_answer(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg;
	(void)result;
	(void)err;
}

/* Outside of a transaction its locks go with the answer. */
int queue_preview(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	put_search(queue_begin(q), claim);
	return queue_send(q, STATEMENT_HOLD, answer, arg);
}

int queue_hold(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	if (pg_send(q->pg, &statements[STATEMENT_BEGIN], NULL, no_answer, NULL) == -1)
		return -1;
	return queue_preview(q, claim, answer, arg);
}

/* A transaction that had failed is answered with ROLLBACK. */
bool queue_committed(const PGresult *result)
{
	return strcmp(PQcmdStatus((PGresult *)result), "COMMIT") == 0;
}

static int counted_from(const char *text)
{
	if (!text)
		return COUNTED_NOT;
	return strcmp(text, "failed") == 0 ? COUNTED_FAILED : COUNTED_COMPLETED;
}

void queue_claimed_row(const PGresult *result, int row, struct claimed_row *out)
{
	const char *job_type = queue_cell(result, row, CLAIMED_JOB_TYPE);

	pgvalue_uuid(result, row, CLAIMED_ID, out->id);
	pgvalue_uuid(result, row, CLAIMED_SESSION, out->session_id);
	out->claim = pgvalue_int8(result, row, CLAIMED_CLAIM);
	out->times_claimed = pgvalue_int4(result, row, CLAIMED_TIMES);
	out->attempts = pgvalue_int4(result, row, CLAIMED_ATTEMPTS);
	out->max_attempts = pgvalue_int4(result, row, CLAIMED_MAX_ATTEMPTS);
	out->counted_as = counted_from(queue_cell(result, row, CLAIMED_COUNTED_AS));
	out->job_type = job_type ? job_type : "";
	out->place = (struct floor){
		.priority = pgvalue_int4(result, row, CLAIMED_PRIORITY),
		.available_at = pgvalue_int8(result, row, CLAIMED_AVAILABLE_AT),
	};
	memcpy(out->place.id, PQgetvalue(result, row, CLAIMED_ID), UUID_BYTES);
	out->data_bytes = PQgetisnull(result, row, CLAIMED_DATA_BYTES) ? -1
		: pgvalue_int8(result, row, CLAIMED_DATA_BYTES);
	out->data = queue_cell(result, row, CLAIMED_DATA);
	out->result = queue_cell(result, row, CLAIMED_RESULT);
}

int queue_release_lost(struct queue *q, const char *identity, struct job *const *jobs, size_t n,
		       pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	buf_str(&p[0], identity);
	pgitems_begin(&p[1], PG_UUID);
	for (size_t i = 0; i < n; i++)
		pgitem_uuid(&p[1], jobs[i]->id);
	return queue_send(q, STATEMENT_RELEASE_LOST, answer, arg);
}
