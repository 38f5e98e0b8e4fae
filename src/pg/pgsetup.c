/*
 * Setting a new connection up: all steps are sent at once, and what the first of them that fails
 * says counts. It decides nothing about the connection: the owner is told when the last step is
 * answered.
 */
#include "pgsetup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/pgsettings.h"

static void note_error(struct pgsetup *s, enum err_kind kind, const char *what, const char *detail)
{
	if (s->err.kind == ERR_NONE)
		err_set(&s->err, kind, "%s%s%s", what, detail[0] ? ": " : "", detail);
}

static void on_step(void *arg, const PGresult *result, const struct err *err)
{
	(void)result;
	if (err && err->kind != ERR_LOST)
		note_error(arg, err->kind, "the database connection cannot be set up", err->text);
}

static void on_schema_version(void *arg, const PGresult *result, const struct err *err)
{
	struct pgsetup *s = arg;
	char text[160];
	int version;

	if (err && err->kind == ERR_LOST)
		return;
	if (err) {
		note_error(s, err->kind,
			   "the grading tables are not there, or not readable for us; run "
			   "`gradingctl migrate`",
			   err->text);
		return;
	}
	s->read_committed = strcmp(PQgetvalue(result, 0, 2), "read committed") == 0;
	if (strcmp(PQgetvalue(result, 0, 1), "on") == 0)
		note_error(s, ERR_LOST, "the database is read-only", "");
	version = atoi(PQgetvalue(result, 0, 0));
	if (version >= s->schema_version)
		return;
	snprintf(text, sizeof(text),
		 "the database schema is at version %d and this gradingd needs %d; "
		 "run `gradingctl migrate`",
		 version, s->schema_version);
	note_error(s, ERR_CONFIG, text, "");
}

static void on_last_step(void *arg, const PGresult *result, const struct err *err)
{
	struct pgsetup *s = arg;

	on_step(s, result, err);
	if (!err || err->kind != ERR_LOST)
		s->done(s->arg);
}

/* Behind a pooler there is nothing to set up that would last: the schema's version is all. */
static void on_only_step(void *arg, const PGresult *result, const struct err *err)
{
	struct pgsetup *s = arg;

	on_schema_version(s, result, err);
	if (!err || err->kind != ERR_LOST)
		s->done(s->arg);
}

/* Where the steps go. */
struct way { struct pgsetup *s; PGconn *conn; struct pgrequests *list; };

static bool send_sql(const struct way *w, const char *sql, pg_answer_fn *answer)
{
	if (!PQsendQueryParams(w->conn, sql, 0, NULL, NULL, NULL, NULL, 0) ||
	    !PQpipelineSync(w->conn))
		return false;
	pgrequests_mark_sent(w->list, pgrequests_add(w->list, NULL, answer, w->s));
	return true;
}

static bool send_prepare(const struct way *w, const struct statement *st)
{
	if (!PQsendPrepare(w->conn, st->name, st->text, 0, NULL) || !PQpipelineSync(w->conn))
		return false;
	pgrequests_mark_sent(w->list, pgrequests_add(w->list, NULL, on_step, w->s));
	return true;
}

static const char schema_version[] =
	"SELECT coalesce(max(version), 0), current_setting('transaction_read_only'),"
	" current_setting('transaction_isolation') FROM grading_migrations";

static bool send_session(const struct way *w)
{
	const struct pgsetup *s = w->s;
	char listen[80];
	bool ok = send_sql(w, schema_version, on_schema_version) &&
		send_sql(w, pgsettings_session, on_step) &&
		(!s->brief || send_sql(w, pgsettings_session_brief, on_step));

	for (int i = 0; ok && i < s->nstatements; i++)
		ok = send_prepare(w, &s->statements[i]);
	if (ok && s->listen) {
		snprintf(listen, sizeof(listen), "LISTEN %s", s->listen);
		ok = send_sql(w, listen, on_step);
	}
	return ok && send_sql(w, "SELECT 1", on_last_step);
}

bool pgsetup_send(struct pgsetup *s, PGconn *conn, struct pgrequests *list)
{
	struct way w = { s, conn, list };

	s->err = (struct err){ .kind = ERR_NONE };
	return s->session ? send_session(&w) : send_sql(&w, schema_version, on_only_step);
}
