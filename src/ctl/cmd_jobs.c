/*
 * gradingctl jobs, retry, cancel and forget: which jobs there are and why they failed; putting them
 * back, ending them, removing them with their session.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "ctl/cmd.h"
#include "lib/uuid5.h"
#include "pg/pgarray.h"
#include "pg/pgsync.h"
#include "rows.h"

#define LISTING_CAP_BYTES (64 << 20)
#define SESSIONS 500		/* in one transaction */
#define TRIES 3			/* against a deadlock with a settlement */

/* ---- jobs ---- */

enum { JSON, SESSION, BATCH, STATUS, ATTEMPTS, MAX_ATTEMPTS, SINCE_MS, ERROR };

/* Jobs that failed, or that were completed but not in order: as their index says it (094). */
#define REMARKABLE \
	"(status::text = 'failed'::text OR status::text = 'completed'::text" \
	" AND (error IS NOT NULL OR counted_as IS DISTINCT FROM 'completed'::text)) IS TRUE"

/* A job that is over, and some of its lines have no rating. */
#define INCOMPLETE REMARKABLE " AND status::text = 'completed' AND error IS NOT NULL"

/*
 * At most $1 of each kind; $2 to $5 say which. Each by its own index: what failed last, what is
 * claimed next.
 */
static const char jobs_sql[] =
	"SELECT pg_catalog.row_to_json(r), session_id, batch, status, attempts, max_attempts,"
	"  greatest(extract(epoch FROM now() - coalesce(failed_at, completed_at, started_at,"
	"    created_at)::timestamptz) * 1000::numeric, 0)::bigint, error"
	" FROM (SELECT id, session_id, status, job_data ->> 'batchIndex'::text AS batch, attempts,"
	"   max_attempts, priority,"
	"  created_at, CASE WHEN status::text = 'processing' THEN started_at END AS started_at,"
	"  CASE WHEN status::text = 'failed' THEN failed_at END AS failed_at,"
	"  CASE WHEN status::text = 'completed' THEN completed_at END AS completed_at, error FROM ("
	"   (SELECT * FROM grading_jobs WHERE $2::bool AND status::text = 'failed'"
	"     ORDER BY failed_at DESC LIMIT $1::int)"
	"   UNION ALL"
	"   (SELECT * FROM grading_jobs WHERE $3::bool AND status::text = 'processing'"
	"     ORDER BY started_at LIMIT $1::int)"
	"   UNION ALL"
	"   (SELECT * FROM grading_jobs WHERE $5::bool AND " INCOMPLETE
	"     ORDER BY completed_at DESC LIMIT $1::int)"
	"   UNION ALL"
	"   (SELECT * FROM grading_jobs WHERE $4::bool AND status::text = 'pending'"
	"     ORDER BY priority DESC, turn DESC, available_at, id LIMIT $1::int)) g LIMIT $1::int) r";

static void print_table(struct ctl *ctl, const PGresult *result, int rows)
{
	static const char *const columns[] = {
		"session", "batch", "status", "attempts", "since_ms", "error", NULL
	};
	struct table *t = table_new(columns, false);
	char attempts[48];
	struct buf out;

	for (int row = 0; row < rows; row++) {
		table_row(t);
		rows_cell(t, result, row, SESSION, false);
		rows_cell(t, result, row, BATCH, false);
		rows_cell(t, result, row, STATUS, false);
		snprintf(attempts, sizeof(attempts), "%.16s/%.16s",
			 PQgetvalue(result, row, ATTEMPTS), PQgetvalue(result, row, MAX_ATTEMPTS));
		table_text(t, attempts);
		table_ms(t, strtoll(PQgetvalue(result, row, SINCE_MS), NULL, 10));
		rows_cell(t, result, row, ERROR, false);
	}
	buf_init(&out, LISTING_CAP_BYTES);
	table_render(t, false, &out);
	term_print(&ctl->out, buf_text(&out));
	buf_free(&out);
	table_free(t);
}

/* One more than is shown tells that there are more. */
static PGresult *ask_jobs(struct ctl *ctl, PGconn *conn, struct err *err)
{
	bool failed = ctl->option[CTL_FAILED], processing = ctl->option[CTL_PROCESSING];
	bool pending = ctl->option[CTL_PENDING], incomplete = ctl->option[CTL_INCOMPLETE];
	bool all = !failed && !processing && !pending && !incomplete;
	char limit[24];
	const char *const values[] = { limit, all || failed ? "t" : "f",
				       all || processing ? "t" : "f", all || pending ? "t" : "f",
				       incomplete ? "t" : "f" };

	snprintf(limit, sizeof(limit), "%" PRId64, ctl->option[CTL_LIMIT] + 1);
	return pgsync_query(conn, jobs_sql, 5, values, err);
}

int cmd_jobs(struct ctl *ctl, char **args, int n)
{
	struct err err;
	PGconn *conn = ctl_database(ctl, &err);
	PGresult *result = conn ? ask_jobs(ctl, conn, &err) : NULL;
	int rows = PQntuples(result);
	bool more = rows > ctl->option[CTL_LIMIT];

	(void)args, (void)n;
	PQfinish(conn);
	if (!result)
		return ctl_fail(ctl, &err);
	rows -= more;
	if (ctl->option[CTL_JSON])
		rows_print_json(result, rows);
	else
		print_table(ctl, result, rows);
	if (more && !ctl->option[CTL_JSON])
		printf("there are more: --limit N shows N of them\n");
	PQclear(result);
	return EXIT_STOPPED;
}

/* ---- retry, cancel and forget ---- */

/* Each of sessions, $1: uuid[]. */
static const char retry_failed_sql[] = "SELECT grading_retry_many($1::uuid[])";
static const char retry_incomplete_sql[] =
	"SELECT grading_put_back($1::uuid[], failed => false, incomplete => true)";
static const char retry_both_sql[] =
	"SELECT grading_put_back($1::uuid[], failed => true, incomplete => true)";
static const char cancel_sql[] =
	"SELECT coalesce(sum(grading_cancel(s)), 0) FROM pg_catalog.unnest($1::uuid[]) AS s";
static const char forget_sql[] = "SELECT grading_forget_many($1::uuid[])";

/*
 * The next sessions behind $1 that have failed jobs ($3), or incomplete ones ($4), as an array
 * (null: none), and the last of them.
 */
static const char sessions_sql[] =
	"SELECT pg_catalog.array_agg(session_id ORDER BY session_id),"
	"  (pg_catalog.array_agg(session_id ORDER BY session_id DESC))[1] FROM ("
	" SELECT DISTINCT session_id FROM grading_jobs WHERE " REMARKABLE
	"   AND ($3::bool AND status::text = 'failed'"
	"     OR $4::bool AND status::text = 'completed' AND error IS NOT NULL)"
	"   AND ($1::uuid IS NULL OR session_id > $1::uuid)"
	"  ORDER BY session_id LIMIT $2::int) s";

/* The places in $1: uuid[] of those of which nothing is kept. */
static const char unknown_sql[] =
	"SELECT a.place FROM pg_catalog.unnest($1::uuid[]) WITH ORDINALITY AS a(id, place)"
	" WHERE NOT EXISTS (SELECT FROM grading_progress(a.id))"
	"   AND NOT EXISTS (SELECT FROM line_ratings r WHERE r.session_id = a.id)"
	" ORDER BY a.place";

static int tell_unknown(struct ctl *ctl, PGconn *conn, const char *sessions, char **ids,
			int64_t *unknown, struct err *err)
{
	PGresult *result = pgsync_query(conn, unknown_sql, 1, &sessions, err);

	for (int i = 0; i < PQntuples(result); i++)
		ctl_unknown_session(ctl, ids[atoi(PQgetvalue(result, i, 0)) - 1]);
	*unknown += PQntuples(result);
	PQclear(result);
	return result ? 0 : -1;
}

/* Adds to *n how many jobs, or rows, of these sessions (uuid[]) it was. */
static int apply(PGconn *conn, const char *sql, const char *sessions, int64_t *n, struct err *err)
{
	PGresult *result = NULL;

	for (int i = 0; i < TRIES && !result; i++) {
		result = pgsync_query(conn, sql, 1, &sessions, err);
		if (!result && err->kind != ERR_RETRY)
			break;
	}
	if (!result)
		return -1;
	*n += pgsync_int(result, 0);
	PQclear(result);
	return 0;
}

/* What became of the sessions that were named. */
struct done {
	int outcome;		/* -1: err says why it was broken off */
	int64_t rows;		/* jobs, or rows */
	int64_t unknown;	/* sessions */
	struct err err;
};

static void apply_to_words(struct ctl *ctl, PGconn *conn, const char *sql, char **ids, int n,
			   struct done *done)
{

	for (int i = 0; i < n && done->outcome == 0; ) {
		char session[UUID_SIZE], **first = &ids[i];
		struct buf sessions;

		buf_init(&sessions, LISTING_CAP_BYTES);
		pgarray_begin(&sessions);
		for (int last = i + SESSIONS; i < n && i < last; i++) {
			uuid5_from_id(ids[i], session);
			pgarray_text(&sessions, session);
		}
		pgarray_end(&sessions);
		done->outcome = tell_unknown(ctl, conn, buf_text(&sessions), first, &done->unknown,
					     &done->err);
		if (done->outcome == 0)
			done->outcome = apply(conn, sql, buf_text(&sessions), &done->rows,
					      &done->err);
		buf_free(&sessions);
	}
}

/* Each session once: what fails again meanwhile is not put back for ever. */
static int retry_all(PGconn *conn, bool failed, bool incomplete, int64_t *jobs, struct err *err)
{
	const char *sql = !incomplete ? retry_failed_sql : failed ? retry_both_sql
		: retry_incomplete_sql;
	char last[UUID_SIZE] = "", limit[16];
	int outcome = 0;

	snprintf(limit, sizeof(limit), "%d", SESSIONS);
	for (bool done = false; !done && outcome == 0; ) {
		const char *const values[] = { last[0] ? last : NULL, limit, failed ? "t" : "f",
					       incomplete ? "t" : "f" };
		PGresult *found = pgsync_query(conn, sessions_sql, 4, values, err);

		if (!found)
			return -1;
		done = PQgetisnull(found, 0, 0);
		if (!done) {
			snprintf(last, sizeof(last), "%s", PQgetvalue(found, 0, 1));
			outcome = apply(conn, sql, PQgetvalue(found, 0, 0), jobs, err);
		}
		PQclear(found);
	}
	return outcome;
}

static int status_of(struct ctl *ctl, const struct done *done)
{
	if (done->outcome == -1)
		return ctl_fail(ctl, &done->err);
	return done->unknown ? EXIT_FAILED : EXIT_STOPPED;
}

static int finish(struct ctl *ctl, const struct done *done, const char *key, const char *words)
{
	int64_t jobs = done->rows;

	if (ctl->option[CTL_JSON])
		printf("{\"%s\": %" PRId64 "}\n", key, jobs);
	else if (jobs > 0 || done->outcome == 0)
		printf("%" PRId64 " job%s %s%s\n", jobs, term_plural(jobs), words,
		       jobs ? "" : "; `gradingctl jobs` lists those that wait, are rated or have "
		       "failed");
	return status_of(ctl, done);
}

int cmd_retry(struct ctl *ctl, char **args, int n)
{
	bool failed = ctl->option[CTL_FAILED], incomplete = ctl->option[CTL_INCOMPLETE];
	struct done done = { 0 };
	PGconn *conn;

	if (n > 0 ? failed : !failed && !incomplete) {
		ctl_complain(ctl, "say what to put back: gradingctl retry SESSION..., or --failed "
			     "for all failed jobs, --incomplete for all with lines that got no "
			     "rating");
		return EXIT_FAILED;
	}
	conn = ctl_database(ctl, &done.err);
	if (!conn)
		return ctl_fail(ctl, &done.err);
	if (n == 0)
		done.outcome = retry_all(conn, failed, incomplete, &done.rows, &done.err);
	else
		apply_to_words(ctl, conn, incomplete ? retry_both_sql : retry_failed_sql, args, n,
			       &done);
	PQfinish(conn);
	return finish(ctl, &done, "retried", "put back into the queue");
}

int cmd_cancel(struct ctl *ctl, char **args, int n)
{
	struct done done = { 0 };
	PGconn *conn = ctl_database(ctl, &done.err);

	if (!conn)
		return ctl_fail(ctl, &done.err);
	apply_to_words(ctl, conn, cancel_sql, args, n, &done);
	PQfinish(conn);
	return finish(ctl, &done, "cancelled", "cancelled");
}

int cmd_forget(struct ctl *ctl, char **args, int n)
{
	struct done done = { 0 };
	PGconn *conn = ctl_database(ctl, &done.err);

	if (!conn)
		return ctl_fail(ctl, &done.err);
	apply_to_words(ctl, conn, forget_sql, args, n, &done);
	PQfinish(conn);
	if (ctl->option[CTL_JSON])
		printf("{\"rows\": %" PRId64 "}\n", done.rows);
	else if (done.outcome == 0)
		printf("%" PRId64 " row%s removed\n", done.rows, term_plural(done.rows));
	return status_of(ctl, &done);
}
