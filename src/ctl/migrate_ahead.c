/*
 * Which rows migrations change, and the walk through a table's pages that changes them. The text of
 * a statement stands here once more than in its file; a test compares the two.
 */
#include "migrate_ahead.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "pg/pgsync.h"

#define STEP_SHORT_MS 20
#define STEP_LONG_MS 80
#define PAGES_FIRST 16
#define PAGES_MAX 256
#define REST_MS 2			/* between steps, for whoever waits for a row */
#define WALKS 20			/* for rows that others had locked */
#define WALK_PAUSE_MS 500
#define STATEMENT_CAP_BYTES 8192

static const struct change {
	int version;
	const char *table;
	const char *when;		/* what must hold for the file to change anything */
	const char *set, *where;
} changes[] = {
	{ 86, "grading_jobs", "true",
	  "available_at = created_at",
	  "status IN ('pending', 'processing') AND claim = 0 AND available_at <= now()"
	  " AND created_at < available_at" },
	{ 92, "grading_jobs",
	  "EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'grading_jobs'::regclass::oid"
	  " AND attname IN ('priority', 'available_at') AND NOT atthasdef)",
	  "priority = coalesce(priority, 0),"
	  " available_at = coalesce(available_at, created_at, now())",
	  "status = 'pending' AND (priority IS NULL OR available_at IS NULL)" },
};

int64_t migrate_ahead_pages(int64_t pages, int64_t took_ms)
{
	if (took_ms > STEP_LONG_MS)
		pages /= 2;
	else if (took_ms < STEP_SHORT_MS)
		pages *= 2;
	if (pages > PAGES_MAX)
		return PAGES_MAX;
	return pages > 0 ? pages : 1;
}

/* A number in the only row of an answer. */
static int ask_number(PGconn *conn, const char *sql, int64_t *out, struct err *err)
{
	PGresult *result = pgsync_query(conn, sql, 0, NULL, err);

	if (!result)
		return -1;
	*out = pgsync_int(result, 0);
	PQclear(result);
	return 0;
}

/* What others have locked is passed over, so nobody who waits for us is waited for. */
static void write_step(struct buf *sql, const struct change *c, int64_t from, int64_t to)
{
	buf_reset(sql);
	buf_printf(sql, "UPDATE %s SET %s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %s"
		   " WHERE ctid >= '(%" PRId64 ",0)'::tid AND ctid < '(%" PRId64 ",0)'::tid"
		   " AND %s FOR UPDATE SKIP LOCKED))", c->table, c->set, c->table, from, to,
		   c->where);
}

static int walk(PGconn *conn, const struct change *c, int64_t end, struct buf *sql,
		struct err *err)
{
	int64_t pages = PAGES_FIRST;

	for (int64_t from = 0, n; from < end; from += n) {
		int64_t began = now_ms();

		n = pages;
		write_step(sql, c, from, from + n);
		if (pgsync_run(conn, buf_text(sql), 0, NULL, err) == -1)
			return -1;
		pages = migrate_ahead_pages(pages, now_ms() - began);
		poll(NULL, 0, REST_MS);
	}
	return 0;
}

/* Whether the file would change a row. *pages: of the table, as it is now. */
static int look(PGconn *conn, const struct change *c, struct buf *sql, int64_t *any,
		int64_t *pages, struct err *err)
{
	buf_reset(sql);
	buf_printf(sql, "SELECT (%s AND EXISTS (SELECT FROM %s WHERE %s))::int", c->when, c->table,
		   c->where);
	if (ask_number(conn, buf_text(sql), any, err) == -1)
		return -1;
	buf_reset(sql);
	buf_printf(sql, "SELECT pg_relation_size('%s'::regclass)"
		   " / current_setting('block_size')::bigint",
		   c->table);
	return ask_number(conn, buf_text(sql), pages, err);
}

static int carry_out(PGconn *conn, const struct change *c, struct err *err)
{
	int64_t any = 1, pages;
	struct buf sql;
	int result = 0;

	buf_init(&sql, STATEMENT_CAP_BYTES);
	for (int n = 0; n < WALKS && result == 0; n++) {
		result = look(conn, c, &sql, &any, &pages, err);
		if (result == -1 || !any)
			break;
		if (n > 0)
			poll(NULL, 0, WALK_PAUSE_MS);
		result = walk(conn, c, pages, &sql, err);
	}
	buf_free(&sql);
	return result;
}

int migrate_ahead(PGconn *conn, int version, struct err *err)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (changes[i].version == version && carry_out(conn, &changes[i], err) == -1)
			return -1;
	return 0;
}
