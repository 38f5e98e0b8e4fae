/*
 * Looking up what is known: phrases in the cache, sessions graded as a whole, lines that earlier
 * attempts stored; and the leases by which equal lines cost one call (single flight). Runs in workers.
 */
#include "queue/queue.h"

#include "pg/pgbinary.h"
#include "queue_send.h"

/* Columns of sql/lookup.sql, in its order. */
enum { CACHED_KEY, CACHED_RATING, CACHED_ALTERNATIVES, CACHED_REASON, CACHED_PROVENANCE,
       CACHED_AT };

int queue_lookup(struct queue *q, const char *const *keys, size_t n, int64_t ttl_ms,
		 pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	queue_put_keys(&p[0], keys, n);
	pgbinary_int8(&p[1], ttl_ms);
	return queue_send(q, STATEMENT_LOOKUP, answer, arg);
}

void queue_cached_row(const PGresult *result, int row, struct cached_row *out)
{
	out->key = PQgetvalue(result, row, CACHED_KEY);
	out->rating = PQgetvalue(result, row, CACHED_RATING);
	out->alternatives = PQgetvalue(result, row, CACHED_ALTERNATIVES);
	out->reason = PQgetvalue(result, row, CACHED_REASON);
	out->provenance = queue_cell(result, row, CACHED_PROVENANCE);
	out->given_at = pgvalue_int8(result, row, CACHED_AT);
}

int queue_graded(struct queue *q, const char *const *keys, size_t n, int64_t ttl_ms,
		 pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	queue_put_keys(&p[0], keys, n);
	pgbinary_int8(&p[1], ttl_ms);
	return queue_send(q, STATEMENT_GRADED, answer, arg);
}

/* Columns of sql/graded.sql, in its order. */
void queue_graded_row(const PGresult *result, int row, struct graded_row *out)
{
	out->key = PQgetvalue(result, row, 0);
	out->grading = PQgetvalue(result, row, 1);
	out->provenance = queue_cell(result, row, 2);
	out->given_at = PQgetvalue(result, row, 3);
}

static void put_ids(struct buf *b, struct job *const *jobs, size_t n, bool sessions)
{
	pgitems_begin(b, PG_UUID);
	for (size_t i = 0; i < n; i++)
		pgitem_uuid(b, sessions ? jobs[i]->session_id : jobs[i]->id);
}

int queue_stored(struct queue *q, struct job *const *jobs, size_t n, pg_answer_fn *answer,
		 void *arg)
{
	struct buf *p = queue_begin(q);

	put_ids(&p[0], jobs, n, false);
	put_ids(&p[1], jobs, n, true);
	return queue_send(q, STATEMENT_STORED, answer, arg);
}

void queue_stored_row(const PGresult *result, int row, struct stored_row *out)
{
	pgvalue_uuid(result, row, 0, out->job_id);
	out->index = pgvalue_int4(result, row, 1);
	out->text = PQgetvalue(result, row, 2);
}

/* ---- leases ---- */

int queue_lease_keys(struct queue *q, const char *const *keys, size_t n, const char *asker,
		     int64_t lease_ms, int64_t ttl_ms, pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	queue_put_keys(&p[0], keys, n);
	buf_str(&p[1], asker);
	pgbinary_int8(&p[2], lease_ms);
	pgbinary_int8(&p[3], ttl_ms);
	return queue_send(q, STATEMENT_LEASE_KEYS, answer, arg);
}

void queue_leased_row(const PGresult *result, int row, const char **key, bool *ours)
{
	*key = PQgetvalue(result, row, 0);
	*ours = pgvalue_bool(result, row, 1);
}

int queue_renew_leases(struct queue *q, const char *const *keys, size_t n, const char *asker,
		       int64_t lease_ms, pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	queue_put_keys(&p[0], keys, n);
	buf_str(&p[1], asker);
	pgbinary_int8(&p[2], lease_ms);
	return queue_send(q, STATEMENT_RENEW_LEASES, answer, arg);
}

int queue_release_leases(struct queue *q, const char *asker, const char *const *keys, size_t n,
			 const char *const *failed, size_t nfailed, int64_t open_ms,
			 pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	buf_str(&p[0], asker);
	queue_put_keys(&p[1], keys, n);
	queue_put_keys(&p[2], failed, nfailed);
	pgbinary_int8(&p[3], open_ms);
	return queue_send(q, STATEMENT_RELEASE_LEASES, answer, arg);
}
