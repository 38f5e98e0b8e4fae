/*
 * What gradingctl doctor looks at in the database, in order: the checks of doctor_sql.c, the
 * schema, the daemon's statements, the clock, a pooler.
 */
#include "doctor_db.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/embed.h"
#include "pg/pgarray.h"
#include "pg/pgsync.h"
#include "doctor_ask.h"
#include "doctor_plans.h"
#include "doctor_pool.h"
#include "doctor_sql.h"

#define PATIENCE_MS 20000		/* for all questions together */
#define LIST_CAP_BYTES (64u << 10)
#define MIGRATIONS_CAP_BYTES (1u << 20)
#define CLOCK_SAMPLES 3
#define SKEW_WARNING_MS 2000
#define SKEW_ERROR_MS (5 * 60 * 1000)	/* certificates and a provider's dates go wrong then */

struct examination {
	struct questions q;
	struct doctor_report *r;
	struct buf names, texts;	/* of the migrations, as arrays */
};

/* ---- the checks that are a statement ---- */

static void say_rows(struct doctor_report *r, const char *what, const PGresult *rows,
		     const char *ok)
{
	for (int i = 0; i < PQntuples(rows); i++)
		doctor_say(r, what, doctor_state_of(PQgetvalue(rows, i, 0)), PQgetvalue(rows, i, 2),
			   "%s", PQgetvalue(rows, i, 1));
	if (PQntuples(rows) == 0)
		doctor_say(r, what, DOCTOR_OK, NULL, "%s", ok);
}

static void check_sql(struct examination *x, const struct doctor_check *check)
{
	const char *const migrations[] = { buf_text(&x->names), buf_text(&x->texts) };
	struct err err;
	PGresult *rows = questions_ask_apart(&x->q, check->sql, check->migrations ? 2 : 0,
					     migrations, &err);

	if (rows)
		say_rows(x->r, check->what, rows, check->ok);
	else
		doctor_say(x->r, check->what,
			   err.kind == ERR_CONFIG ? DOCTOR_WARNING : DOCTOR_ERROR, check->advice,
			   "cannot be looked at: %s", err.text);
	PQclear(rows);
}

/* ---- the schema ---- */

static void list_versions(struct buf *out)
{
	buf_char(out, '{');
	for (size_t i = 0; i < embedded_migrations_n; i++)
		buf_printf(out, i ? ",%d" : "%d", atoi(embedded_migrations[i].name));
	buf_char(out, '}');
}

static const char schema_sql[] =
	"SELECT (SELECT coalesce(max(version), 0) FROM grading_migrations),"
	"  coalesce((SELECT pg_catalog.string_agg(v::text, ', ' ORDER BY v)"
	"    FROM pg_catalog.unnest($1::int[]) AS v"
	"    WHERE v NOT IN (SELECT version FROM grading_migrations)), '')";

/* False when there is nothing more to be looked at. */
static bool check_schema(struct examination *x)
{
	struct buf versions;
	PGresult *row;
	struct err err;
	bool good = false;
	int newest;

	buf_init(&versions, LIST_CAP_BYTES);
	list_versions(&versions);
	newest = atoi(embedded_migrations[embedded_migrations_n - 1].name);
	row = questions_ask_apart(&x->q, schema_sql, 1,
				  (const char *const[]){ buf_text(&versions) }, &err);
	if (!row)
		doctor_say(x->r, "schema", DOCTOR_ERROR,
			   err.kind == ERR_CONFIG ? "gradingctl migrate; or GRANT gradingd_worker "
						    "TO this role, which must INHERIT"
						  : NULL,
			   "the grading tables are not there, or not readable: %s", err.text);
	else if (PQgetvalue(row, 0, 1)[0])
		doctor_say(x->r, "schema", DOCTOR_ERROR, "gradingctl migrate",
			   "at version %s, and lacks %s", PQgetvalue(row, 0, 0),
			   PQgetvalue(row, 0, 1));
	else if (atoi(PQgetvalue(row, 0, 0)) > newest)
		doctor_say(x->r, "schema", DOCTOR_OK, NULL,
			   "at version %s, which is newer than this gradingctl (%d)",
			   PQgetvalue(row, 0, 0), newest);
	else
		doctor_say(x->r, "schema", DOCTOR_OK, NULL, "at version %s", PQgetvalue(row, 0, 0));
	good = row != NULL;
	PQclear(row);
	buf_free(&versions);
	return good;
}

/* ---- the clock ---- */

/* The sample that came back soonest is the one that can tell most exactly. */
static void check_clock(struct examination *x)
{
	int64_t skew = 0, best = INT64_MAX;
	char text[32];
	struct err err;

	for (int i = 0; i < CLOCK_SAMPLES; i++) {
		int64_t before = wall_ms(), took;
		PGresult *row = questions_ask(
			&x->q,
			"SELECT (extract(epoch FROM clock_timestamp()) * 1000::numeric)::bigint",
			0, NULL, &err);

		if (!row) {
			doctor_say(x->r, "clock", DOCTOR_ERROR, NULL,
				   "the database's cannot be read: %s", err.text);
			return;
		}
		took = wall_ms() - before;
		if (took < best) {
			best = took;
			skew = pgsync_int(row, 0) - before - took / 2;
		}
		PQclear(row);
	}
	duration_human(skew < 0 ? -skew : skew, text, sizeof(text));
	if (skew > -SKEW_WARNING_MS && skew < SKEW_WARNING_MS)
		doctor_say(x->r, "clock", DOCTOR_OK, NULL,
			   "the database's is ours, give or take %s", text);
	else
		doctor_say(x->r, "clock",
			   skew <= -SKEW_ERROR_MS || skew >= SKEW_ERROR_MS ? DOCTOR_ERROR
									   : DOCTOR_WARNING,
			   "have both synchronised (chrony, systemd-timesyncd); jobs go by the "
			   "database's alone, logs and certificates by this host's",
			   "the database's is %s %s ours", text, skew < 0 ? "behind" : "ahead of");
}

/* ---- all of it ---- */

static void examine(struct examination *x, const char *conninfo, const struct config *config)
{
	bool good = true;

	for (size_t i = 0; i < doctor_checks_n && questions_can_go_on(&x->q); i++) {
		check_sql(x, &doctor_checks[i]);
		if (i == 0 && questions_can_go_on(&x->q))
			good = check_schema(x);
		if (!good)
			return;
	}
	if (questions_can_go_on(&x->q))
		doctor_plans(&x->q, x->r);
	if (questions_can_go_on(&x->q))
		check_clock(x);
	if (questions_can_go_on(&x->q))
		doctor_pooler(x->q.conn, conninfo, config, x->r);
}

static void read_migrations(struct examination *x)
{
	buf_init(&x->names, LIST_CAP_BYTES);
	buf_init(&x->texts, MIGRATIONS_CAP_BYTES);
	pgarray_begin(&x->names);
	pgarray_begin(&x->texts);
	for (size_t i = 0; i < embedded_migrations_n; i++) {
		pgarray_text(&x->names, embedded_migrations[i].name);
		pgarray_text(&x->texts, embedded_migrations[i].text);
	}
	pgarray_text(&x->names, embedded_functions.name);
	pgarray_text(&x->texts, embedded_functions.text);
	pgarray_end(&x->names);
	pgarray_end(&x->texts);
}

void doctor_database(struct ctl *ctl, const struct config *config, struct doctor_report *r)
{
	struct err err;
	PGconn *conn = ctl_connect(ctl, false, &err);
	const char *own = config ? config->database.conninfo : "";
	const char *conninfo = ctl->conninfo ? ctl->conninfo : own;
	struct examination x = { .r = r, .q = {
		.conn = conn, .until_ms = now_ms() + PATIENCE_MS,
		.session = !config || config->database.pool_mode == POOL_MODE_SESSION,
	} };

	if (!conn) {
		doctor_say(r, "database", DOCTOR_ERROR,
			   err.kind == ERR_LOST ? "is it running, and database.conninfo right?"
						: "correct database.conninfo, or the server's "
						  "pg_hba.conf and roles",
			   "%s", err.text);
		return;
	}
	read_migrations(&x);
	examine(&x, conninfo, config);
	buf_free(&x.names);
	buf_free(&x.texts);
	if (!questions_can_go_on(&x.q))
		doctor_say(r, "database", DOCTOR_ERROR, "look at the server's load and log",
			   "gave no answer in time, or hung up; what follows was not looked at");
	PQfinish(conn);
}
