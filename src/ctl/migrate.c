/*
 * Migrations: what the database has, what is missing, applying it, one gradingctl at a time. It
 * prints nothing. Each file may be applied twice (IF NOT EXISTS and the like), so an interrupted
 * run is simply run again. functions.sql is recorded as version 0, so that the highest version is
 * a numbered file's.
 */
#include "migrate.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "lib/hash.h"
#include "pg/pgerror.h"
#include "pg/pgsync.h"
#include "queue/adopted.h"
#include "migrate_ahead.h"
#include "sql_split.h"

#define LOCK "(1735549284, 3)"		/* 1735549284 is "grad"; 1 and 2 are the daemon's */
#define LOCK_POLL_MS 200
#define TRIES 5				/* against others' locks, with growing pauses between */

enum { COLUMN_VERSION, COLUMN_NAME, COLUMN_CHECKSUM, COLUMN_APPLIED_AT };

struct migration {
	PGconn *conn;
	PGresult *records;	/* grading_migrations as it was at first; NULL: no such table */
	migrate_report_fn *report;
	void *arg;
};

/* ---- what the database has ---- */

static int version_of(const struct embedded *file)
{
	return atoi(file->name);
}

static int load_records(struct migration *m, struct err *err)
{
	PGresult *exists = pgsync_query(m->conn, "SELECT to_regclass('grading_migrations'::text) "
					"IS NOT NULL", 0, NULL, err);
	struct err cause;
	bool there = exists && PQgetvalue(exists, 0, 0)[0] == 't';

	PQclear(exists);
	if (!exists)
		return -1;
	if (!there)
		return 0;
	m->records = pgsync_query(m->conn, "SELECT version, name, checksum, "
				  "to_char(applied_at, 'YYYY-MM-DD HH24:MI'::text) "
				  "FROM grading_migrations ORDER BY version", 0, NULL, &cause);
	if (m->records)
		return 0;
	if (pgerror_is_refusal(PQerrorMessage(m->conn)))
		return err_set(err, ERR_CONFIG,
			       "\"%s\" may not read what is applied; migrate as the owner of the "
			       "tables: %s",
			       PQuser(m->conn), cause.text);
	return err_set(err, cause.kind, "%s", cause.text);
}

/* PQntuples(NULL) is 0. */
static int find_record(const struct migration *m, int version)
{
	for (int row = 0; row < PQntuples(m->records); row++)
		if (atoi(PQgetvalue(m->records, row, COLUMN_VERSION)) == version)
			return row;
	return -1;
}

/* Whoever has applied the former text needs nothing of the one that took its place. */
static bool is_superseded(int version, const char *checksum)
{
	static const struct { int version; const char *checksum; } former[] = {
		/* failed where an application's phrase_cache had no column context */
		{ 83, "172d5bfbe3b7c81b31aa7e8095ddafb3a5a8716172f860803c9a868613f14767" },
	};

	for (size_t i = 0; i < sizeof(former) / sizeof(*former); i++)
		if (former[i].version == version && strcmp(former[i].checksum, checksum) == 0)
			return true;
	return false;
}

static enum migrate_state state_of(const struct migration *m, const struct embedded *file)
{
	int row = find_record(m, version_of(file));
	const char *recorded;
	char checksum[HASH_HEX_SIZE];

	if (row == -1)
		return MIGRATE_MISSING;
	if (PQgetisnull(m->records, row, COLUMN_CHECKSUM))
		return MIGRATE_BY_HAND;
	recorded = PQgetvalue(m->records, row, COLUMN_CHECKSUM);
	hash_text(file->text, file->len, checksum);
	return strcmp(recorded, checksum) == 0 || is_superseded(version_of(file), recorded)
		? MIGRATE_PRESENT
		: MIGRATE_CHANGED;
}

/* How many files in the database are not known here. */
static int report_newer(const struct migration *m)
{
	int highest = version_of(&embedded_migrations[embedded_migrations_n - 1]), n = 0;

	for (int row = 0; row < PQntuples(m->records); row++) {
		if (atoi(PQgetvalue(m->records, row, COLUMN_VERSION)) <= highest)
			continue;
		m->report(m->arg, PQgetvalue(m->records, row, COLUMN_NAME), MIGRATE_NEWER);
		n++;
	}
	return n;
}

/* functions.sql, of which there is always the text of some release: the newest may stay. */
static enum migrate_state functions_state(const struct migration *m, int newer)
{
	enum migrate_state state = state_of(m, &embedded_functions);

	if (state != MIGRATE_CHANGED)
		return state;
	return newer > 0 ? MIGRATE_NEWER : MIGRATE_OUTDATED;
}

static int refuse_changed(const struct migration *m, struct err *err)
{
	for (size_t i = 0; i < embedded_migrations_n; i++) {
		const struct embedded *file = &embedded_migrations[i];

		if (state_of(m, file) == MIGRATE_CHANGED)
			return err_set(err, ERR_PERMANENT,
				       "%s was changed after it was applied on %s; nothing was "
				       "done: use the gradingctl of the release that applied it, "
				       "and bring changes as a new file", file->name,
				       PQgetvalue(m->records, find_record(m, version_of(file)),
						  COLUMN_APPLIED_AT));
	}
	return 0;
}

/*
 * What our files do to a table of other types fails in the middle of one, or only when the daemon
 * is at work, and in words that name neither table nor column.
 */
static int refuse_types(const struct migration *m, struct err *err)
{
	PGresult *columns = pgsync_query(m->conn, ADOPTED_COLUMNS_SQL, 0, NULL, err);
	char first[400], other[400];
	int n = 0;

	if (!columns)
		return -1;
	for (int row = 0; row < PQntuples(columns); row++)
		n += !adopted_fits(PQgetvalue(columns, row, ADOPTED_TABLE),
				   PQgetvalue(columns, row, ADOPTED_COLUMN),
				   PQgetvalue(columns, row, ADOPTED_TYPE), n ? other : first,
				   sizeof(first));
	PQclear(columns);
	if (n == 0)
		return 0;
	if (n == 1)
		return err_set(err, ERR_PERMANENT, "nothing was done: %s", first);
	return err_set(err, ERR_PERMANENT, "nothing was done: %s; and %d more of our columns have "
		       "types that do not do", first, n - 1);
}

/* ---- applying ---- */

static int send_whole(PGconn *conn, const struct embedded *file, struct err *err)
{
	return pgsync_run(conn, file->text, 0, NULL, err);
}

/* Unless the file has done so. */
static int bound_waits(PGconn *conn, bool *bounded, struct err *err)
{
	PGresult *result = pgsync_query(conn, "SELECT set_config('lock_timeout', '2s', false) "
					"WHERE current_setting('lock_timeout') = '0'", 0, NULL,
					err);

	*bounded = PQntuples(result) > 0;
	PQclear(result);
	return result ? 0 : -1;
}

/*
 * Rows that it changes are those that migrate_ahead() has left, and it may wait for whoever has
 * them locked, but not for ever: the others are locked meanwhile.
 */
static int send_statement(PGconn *conn, const char *text, struct err *err)
{
	bool bounded = false;

	if (strncmp(text, "UPDATE ", 7) == 0 && bound_waits(conn, &bounded, err) == -1)
		return -1;
	if (pgsync_run(conn, text, 0, NULL, err) == -1)
		return -1;
	return bounded ? pgsync_run(conn, "RESET lock_timeout", 0, NULL, err) : 0;
}

static int send_by_statement(PGconn *conn, const struct embedded *file, struct err *err)
{
	const char *sql = file->text, *statement;
	int result = 0;
	size_t len;

	while (result == 0 && (statement = sql_split_next(&sql, &len))) {
		char *text = strndup(statement, len);

		result = text ? send_statement(conn, text, err)
			: err_set(err, ERR_RETRY, "out of memory");
		free(text);
	}
	return result;
}

static int record(PGconn *conn, const struct embedded *file, struct err *err)
{
	char version[16], checksum[HASH_HEX_SIZE];
	const char *values[] = { version, file->name, checksum };

	snprintf(version, sizeof(version), "%d", version_of(file));
	hash_text(file->text, file->len, checksum);
	return pgsync_run(conn, "INSERT INTO grading_migrations (version, name, checksum) "
			  "VALUES ($1::int, $2, $3) ON CONFLICT (version) DO UPDATE "
			  "SET name = excluded.name, checksum = excluded.checksum,"
			  "  applied_at = now()",
			  3, values, err);
}

static bool by_statement(const struct embedded *file)
{
	static const char mark[] = "gradingctl: statement by statement";

	return memmem(file->text, strcspn(file->text, "\n"), mark, strlen(mark));
}

/* *blocked: it failed because of others' locks alone. */
static int apply(PGconn *conn, const struct embedded *file, bool *blocked, struct err *err)
{
	bool single = by_statement(file);
	int result = migrate_ahead(conn, version_of(file), err);

	if (result == 0 && !single)
		result = pgsync_run(conn, "BEGIN", 0, NULL, err);
	if (result == 0)
		result = single ? send_by_statement(conn, file, err) : send_whole(conn, file, err);
	if (result == 0)
		result = record(conn, file, err);
	if (result == 0 && !single)
		result = pgsync_run(conn, "COMMIT", 0, NULL, err);
	*blocked = result == -1 && pgerror_is_lock_conflict(PQerrorMessage(conn));
	if (result == -1 && !single)
		pgsync_run(conn, "ROLLBACK", 0, NULL, NULL);
	if (result == -1)
		pgsync_run(conn, "RESET ALL", 0, NULL, NULL);	/* what its own SETs left */
	return result;
}

static int apply_patiently(const struct migration *m, const struct embedded *file, struct err *err)
{
	struct err cause;
	bool blocked;

	for (int n = 1; apply(m->conn, file, &blocked, &cause) == -1; n++) {
		if (!blocked || n == TRIES)
			return err_set(err, cause.kind == ERR_LOST ? ERR_LOST : ERR_PERMANENT,
				       "%s was not applied: %s%s", file->name, cause.text,
				       blocked ? "; look in pg_locks for whose lock is in the way"
					       : "");
		m->report(m->arg, file->name, MIGRATE_BLOCKED);
		poll(NULL, 0, n * 1000);
	}
	m->report(m->arg, file->name, MIGRATE_APPLIED);
	return 0;
}

static int apply_numbered(const struct migration *m, bool *applied, struct err *err)
{
	*applied = false;
	for (size_t i = 0; i < embedded_migrations_n; i++) {
		const struct embedded *file = &embedded_migrations[i];

		if (state_of(m, file) == MIGRATE_PRESENT) {
			m->report(m->arg, file->name, MIGRATE_PRESENT);
			continue;
		}
		if (apply_patiently(m, file, err) == -1)
			return -1;
		*applied = true;
	}
	return 0;
}

/* A numbered file that was applied just now may have made a function as it once was. */
/*
 * A table of the application's may have come since functions.sql was applied. Who may not see to it
 * is told by the owner's next run, or by doctor.
 */
static int follow_application(const struct migration *m, struct err *err)
{
	return pgsync_run(m->conn,
			  "DO $$ BEGIN SET LOCAL lock_timeout = '5s';"
			  " PERFORM grading_follow_live_sessions();"
			  " PERFORM grading_allow_mirror();"
			  " EXCEPTION WHEN insufficient_privilege THEN NULL; END $$",
			  0, NULL, err);
}

static int apply_missing(const struct migration *m, struct err *err)
{
	enum migrate_state state;
	bool applied;

	if (apply_numbered(m, &applied, err) == -1)
		return -1;
	state = functions_state(m, report_newer(m));
	if (state == MIGRATE_NEWER || (state == MIGRATE_PRESENT && !applied)) {
		m->report(m->arg, embedded_functions.name, state);
		return state == MIGRATE_NEWER ? 0 : follow_application(m, err);
	}
	return apply_patiently(m, &embedded_functions, err);
}

/* ---- one at a time ---- */

/*
 * By trying, not by waiting inside the server: a statement that waits holds a snapshot, and CREATE
 * INDEX CONCURRENTLY in the other gradingctl would wait for that one in turn.
 */
static int take_lock(const struct migration *m, struct err *err)
{
	for (bool waiting = false;; poll(NULL, 0, LOCK_POLL_MS)) {
		PGresult *result = pgsync_query(m->conn, "SELECT pg_try_advisory_lock" LOCK, 0,
						NULL, err);
		bool taken = result && PQgetvalue(result, 0, 0)[0] == 't';

		PQclear(result);
		if (!result)
			return -1;
		if (taken)
			return 0;
		if (!waiting)
			m->report(m->arg, NULL, MIGRATE_WAITING);
		waiting = true;
	}
}

int migrate_run(PGconn *conn, migrate_report_fn *report, void *arg, struct err *err)
{
	struct migration m = { .conn = conn, .report = report, .arg = arg };
	int result;

	if (take_lock(&m, err) == -1)
		return -1;
	result = load_records(&m, err);
	if (result == 0)
		result = refuse_changed(&m, err);
	if (result == 0)
		result = refuse_types(&m, err);
	if (result == 0)
		result = apply_missing(&m, err);
	PQclear(m.records);
	pgsync_run(conn, "SELECT pg_advisory_unlock" LOCK, 0, NULL, NULL);
	return result;
}

int migrate_status(PGconn *conn, migrate_report_fn *report, void *arg, struct err *err)
{
	struct migration m = { .conn = conn, .report = report, .arg = arg };

	if (load_records(&m, err) == -1)
		return -1;
	for (size_t i = 0; i < embedded_migrations_n; i++)
		report(arg, embedded_migrations[i].name, state_of(&m, &embedded_migrations[i]));
	report(arg, embedded_functions.name, functions_state(&m, report_newer(&m)));
	PQclear(m.records);
	return 0;
}
