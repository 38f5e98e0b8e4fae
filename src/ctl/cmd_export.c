/*
 * gradingctl export: all ratings, or those since a time or behind a cursor, as lines of JSON. It
 * goes through the sessions in the order of their keys, a page in each statement, so that neither
 * side holds much, and no transaction of its own stays open that would keep dead rows from being
 * vacuumed. What a pass consists of: export_cursor.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/cmd.h"
#include "export_cursor.h"
#include "pg/pgsync.h"
#include "rows.h"

#define PAGE "1000"		/* sessions in one statement */
#define HELD_BACK_S 10		/* a transaction that writes for longer is told of */
#define NUMBER_SIZE 24
#define FIRST_SESSION "00000000-0000-0000-0000-000000000000"

/* ---- statements ---- */

/*
 * The number of the transaction that stored a row: xmin is its lower half, and it is below
 * `clock.next`. A row so old that the upper half is another counts as younger, and comes once more.
 */
#define STORED_BY(row) \
	"(clock.next - ((clock.next - " row ".xmin::text::bigint) & 4294967295::bigint))"
#define CLOCK \
	"(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next OFFSET 0) AS clock"

enum { NOW_CLUSTER, NOW_TO, NOW_SINCE, NOW_HELD_S };

/*
 * All transactions below the second column are over, whatever they were; those of other databases
 * count as well. The last one is for how long the oldest that writes has been open, as far as this
 * role may know. A time without a zone is one of UTC.
 */
static const char now_sql[] =
	"SELECT (SELECT system_identifier FROM pg_control_system()),"
	"  pg_snapshot_xmin(now.taken)::text,"
	"  (extract(epoch FROM $1::text::timestamptz) * 1000000::numeric)::bigint, coalesce(("
	"    SELECT max(extract(epoch FROM clock_timestamp() - a.began))::bigint FROM ("
	"      SELECT xact_start AS began FROM pg_stat_activity"
	"      WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
	"      UNION ALL SELECT prepared FROM pg_prepared_xacts) AS a), 0::bigint)"
	" FROM set_config('TimeZone'::text, 'UTC'::text, true) AS zone,"
	"   pg_current_snapshot() AS now(taken)";

enum { PAGE_SESSIONS, PAGE_LAST, PAGE_CHANGED };

/*
 * The sessions behind $1, itself only where $2 says so; those in which something was stored by $3
 * or later, and not before $4. A settlement that stores a rating changes the session's row, too.
 */
static const char page_sql[] =
	"WITH page AS MATERIALIZED ("
	"  SELECT s.session_id, " STORED_BY("s") " >= $3::bigint"
	"    AND ($4::bigint IS NULL OR s.updated_at >= timestamptz 'epoch'"
	"      + $4::bigint::float8 * interval '1 microsecond') AS changed"
	"  FROM grading_sessions s, " CLOCK
	"  WHERE s.session_id >= $1::uuid AND ($2::bool OR s.session_id > $1::uuid)"
	"  ORDER BY s.session_id LIMIT " PAGE ")"
	" SELECT count(*), (SELECT p.session_id FROM page p ORDER BY p.session_id DESC LIMIT 1),"
	"   coalesce(pg_catalog.array_agg(session_id) FILTER (WHERE changed), '{}'::uuid[]) FROM page";

/*
 * Of the sessions $1 what was stored by transactions from $2 on and below $3, behind the line $5 of
 * session $4, and not before $6. $7 and $8 stand around a line's place in its cursor.
 */
static const char lines_sql[] =
	"SELECT pg_catalog.row_to_json(line), r.session_id, r.line_index"
	" FROM " CLOCK ", line_ratings r"
	"   JOIN grading_sessions s ON s.session_id = r.session_id"
	"   JOIN grading_line_ratings v ON v.session_id = r.session_id"
	"     AND v.line_index = r.line_index"
	"   CROSS JOIN LATERAL (SELECT r.session_id, r.line_index, v.line_text, v.rating,"
	"     v.alternatives, v.reason, v.cached, to_char(v.rated_at AT TIME ZONE 'UTC'::text,"
	"       'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'::text) AS rated_at, v.job_id, s.tenant, s.profile,"
	"     v.provenance, $7::text || r.session_id::text || '.'::text || r.line_index::text"
	"       || $8::text AS cursor) AS line"
	" WHERE r.session_id = ANY($1::uuid[])"
	"   AND (r.session_id > $4::uuid OR r.line_index > $5::int)"
	"   AND " STORED_BY("r") " >= $2::bigint AND " STORED_BY("r") " < $3::bigint"
	"   AND ($6::bigint IS NULL OR r.rated_at >= timestamptz 'epoch'"
	"     + $6::bigint::float8 * interval '1 microsecond')"
	" ORDER BY r.session_id, r.line_index";

/* ---- a pass ---- */

struct export {
	PGconn *conn;
	struct export_cursor at;
	int64_t lines;			/* written so far */
};

/* Returns -1 where standard output takes nothing more. */
static int write_line(void *arg, const PGresult *row)
{
	struct export *e = arg;

	rows_print_json(row, 1);
	e->lines++;
	snprintf(e->at.session, sizeof(e->at.session), "%s", PQgetvalue(row, 0, 1));
	e->at.line = strtoll(PQgetvalue(row, 0, 2), NULL, 10);
	return ferror(stdout) ? -1 : 0;
}

static int export_lines(struct export *e, const char *sessions, struct err *err)
{
	char from[NUMBER_SIZE], to[NUMBER_SIZE], line[NUMBER_SIZE], since[NUMBER_SIZE];
	char session[UUID_SIZE], before[EXPORT_CURSOR_SIZE], after[NUMBER_SIZE + 1] = "";
	const char *values[] = { sessions, from, to, session, line, NULL, before, after };

	snprintf(from, sizeof(from), "%" PRId64, e->at.from);
	snprintf(to, sizeof(to), "%" PRId64, e->at.to);
	snprintf(session, sizeof(session), "%s", e->at.session);
	snprintf(line, sizeof(line), "%" PRId64, e->at.line);
	export_cursor_text(&e->at, before);
	*strstr(before, e->at.session) = '\0';
	if (e->at.since_us != EXPORT_EVER) {
		snprintf(since, sizeof(since), "%" PRId64, e->at.since_us);
		snprintf(after, sizeof(after), ".%s", since);
		values[5] = since;
	}
	return pgsync_each(e->conn, lines_sql, 8, values, write_line, e, err);
}

/* Returns 1 when there are more sessions, 0 at the end, -1 and err. */
static int export_page(struct export *e, bool with_first, struct err *err)
{
	char from[NUMBER_SIZE], since[NUMBER_SIZE];
	const char *values[] = { e->at.session, with_first ? "t" : "f", from, NULL };
	PGresult *page;
	int rc = 0;

	snprintf(from, sizeof(from), "%" PRId64, e->at.from);
	if (e->at.since_us != EXPORT_EVER) {
		snprintf(since, sizeof(since), "%" PRId64, e->at.since_us);
		values[3] = since;
	}
	page = pgsync_query(e->conn, page_sql, 4, values, err);
	if (!page)
		return -1;
	if (strcmp(PQgetvalue(page, 0, PAGE_CHANGED), "{}") != 0)
		rc = export_lines(e, PQgetvalue(page, 0, PAGE_CHANGED), err);
	if (rc == 0 && pgsync_int(page, PAGE_SESSIONS) > 0) {
		snprintf(e->at.session, sizeof(e->at.session), "%s",
			 PQgetvalue(page, 0, PAGE_LAST));
		e->at.line = INT32_MAX;
		rc = 1;
	}
	PQclear(page);
	return rc;
}

static int export_pass(struct export *e, struct err *err)
{
	int rc = export_page(e, true, err);

	while (rc == 1)
		rc = export_page(e, false, err);
	return rc;
}

static void begin_pass(struct export_cursor *at, int64_t from, int64_t to, int64_t since_us)
{
	at->from = from;
	at->to = to;
	at->since_us = since_us;
	snprintf(at->session, sizeof(at->session), FIRST_SESSION);
	at->line = -1;
}

/* ---- the command ---- */

static int refuse_cursor(const struct export *e, int64_t cluster, int64_t to, struct err *err)
{
	if (e->at.cluster == cluster && e->at.to <= to)
		return 0;
	return err_set(err, ERR_PERMANENT,
		       "the cursor is of another database, or this one was restored to an earlier "
		       "time: export everything anew, or use --since");
}

static void tell_held_back(struct ctl *ctl, int64_t seconds)
{
	char text[32];

	if (seconds >= HELD_BACK_S)
		ctl_complain(ctl, "a transaction has been writing in this cluster for %s: what was "
				  "rated since it began comes with a later export",
			     duration_human(seconds * 1000, text, sizeof(text)));
}

/* One pass; behind a cursor first what is left of its own. */
static int run(struct ctl *ctl, struct export *e, struct err *err)
{
	const char *since = ctl->text[CTL_SINCE];
	PGresult *now = pgsync_query(e->conn, now_sql, 1, &since, err);
	int64_t cluster, to, since_us, held_s;
	int rc = 0;

	if (!now)
		return -1;
	cluster = pgsync_int(now, NOW_CLUSTER);
	to = pgsync_int(now, NOW_TO);
	since_us = PQgetisnull(now, 0, NOW_SINCE) ? EXPORT_EVER : pgsync_int(now, NOW_SINCE);
	held_s = pgsync_int(now, NOW_HELD_S);
	PQclear(now);
	if (ctl->text[CTL_AFTER]) {
		rc = refuse_cursor(e, cluster, to, err);
		if (rc == 0)
			rc = export_pass(e, err);
		begin_pass(&e->at, e->at.to, to, EXPORT_EVER);
	} else {
		e->at.cluster = cluster;
		begin_pass(&e->at, 0, to, since_us);
	}
	if (rc == 0)
		rc = export_pass(e, err);
	if (rc == 0)
		tell_held_back(ctl, held_s);
	return rc;
}

int cmd_export(struct ctl *ctl, char **args, int n)
{
	const char *after = ctl->text[CTL_AFTER];
	struct export e = { .lines = 0 };
	struct err err;
	int rc;

	(void)args, (void)n;
	if (after && ctl->text[CTL_SINCE]) {
		ctl_complain(ctl, "--since begins an export, --after goes on with one: not both");
		return EXIT_FAILED;
	}
	if (after && export_cursor_read(after, &e.at) == -1) {
		ctl_complain(ctl, "--after takes the cursor of a line that `gradingctl export` wrote; "
				  "this is none: %.200s", after);
		return EXIT_FAILED;
	}
	e.conn = ctl_database(ctl, &err);
	if (!e.conn)
		return ctl_fail(ctl, &err);
	rc = run(ctl, &e, &err);
	if (rc == -1)
		ctl_name_right(e.conn, "grading_reader", &err);
	PQfinish(e.conn);
	return rc == 0 ? EXIT_STOPPED : ctl_fail(ctl, &err);
}
