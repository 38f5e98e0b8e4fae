/*
 * What gradingctl doctor looks at in the database: the schema, the statements of the daemon and their plans, the
 * clock, and the checks of doctor_sql.c. Each question is a transaction of its own, which is rolled back, so
 * that it works behind a pooler of transactions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/embed.h"
#include "pg/pgarray.h"
#include "pg/pgsettings.h"
#include "pg/pgsync.h"
#include "queue/statements.h"
#include "doctor.h"

#define PATIENCE_MS 20000		/* for all questions together */
#define QUESTION_MS 5000		/* for one of them */
#define LIST_CAP_BYTES (64u << 10)
#define MIGRATIONS_CAP_BYTES (1u << 20)
#define CLOCK_SAMPLES 3
#define SKEW_WARNING_MS 2000
#define SKEW_ERROR_MS (5 * 60 * 1000)	/* certificates and a provider's dates go wrong then */
#define LARGE_BYTES (8 << 20)		/* to read a smaller table whole does no harm */

struct examination {
	struct doctor *d;
	PGconn *conn;
	int64_t until_ms;
	bool session;		/* the daemon's settings are its session's */
	struct buf names, texts;	/* of the migrations, as arrays */
};

/* ---- asking ---- */

static PGresult *ask(struct examination *x, const char *sql, int n, const char *const *values, struct err *err)
{
	int64_t left = x->until_ms - now_ms();

	return pgsync_query_within(x->conn, sql, n, values, left < QUESTION_MS ? left : QUESTION_MS, err);
}

static int run(struct examination *x, const char *sql, struct err *err)
{
	PGresult *result = ask(x, sql, 0, NULL, err);

	PQclear(result);
	return result ? 0 : -1;
}

static int limit(struct examination *x, struct err *err)
{
	return run(x, "SELECT set_config('statement_timeout', '4500', true), set_config('lock_timeout', '2000', true)", err);
}

static int begin(struct examination *x, struct err *err)
{
	return run(x, "BEGIN", err) == -1 ? -1 : limit(x, err);
}

/*
 * With the settings of the daemon's sessions. They go with the transaction, which is never committed: where a pooler
 * of transactions turns out to be in between, the session is another client's next.
 */
static int begin_as_daemon(struct examination *x, struct err *err)
{
	if (run(x, "BEGIN", err) == -1 || (x->session && run(x, pgsettings_session, err) == -1))
		return -1;
	return limit(x, err);
}

/* One question in a transaction that leaves nothing behind. */
static PGresult *ask_apart(struct examination *x, const char *sql, int n, const char *const *values, struct err *err)
{
	PGresult *result = begin(x, err) == -1 ? NULL : ask(x, sql, n, values, err);
	struct err ignored;

	if (PQtransactionStatus(x->conn) != PQTRANS_IDLE && PQtransactionStatus(x->conn) != PQTRANS_ACTIVE)
		run(x, "ROLLBACK", &ignored);
	return result;
}

/* A connection that gave no answer in time will give none to what follows. */
static bool is_usable(const struct examination *x)
{
	return PQstatus(x->conn) == CONNECTION_OK && PQtransactionStatus(x->conn) == PQTRANS_IDLE;
}

/* ---- the checks that are a statement ---- */

static enum doctor_state state_of(const char *word)
{
	return strcmp(word, "error") == 0 ? DOCTOR_ERROR : strcmp(word, "warning") == 0 ? DOCTOR_WARNING : DOCTOR_OK;
}

static void say_rows(struct doctor *d, const char *what, const PGresult *rows, const char *ok)
{
	for (int i = 0; i < PQntuples(rows); i++)
		doctor_say(d, what, state_of(PQgetvalue(rows, i, 0)), PQgetvalue(rows, i, 2), "%s", PQgetvalue(rows, i, 1));
	if (PQntuples(rows) == 0)
		doctor_say(d, what, DOCTOR_OK, NULL, "%s", ok);
}

static void check_sql(struct examination *x, const struct doctor_check *check)
{
	const char *const migrations[] = { buf_text(&x->names), buf_text(&x->texts) };
	struct err err;
	PGresult *rows = ask_apart(x, check->sql, check->migrations ? 2 : 0, migrations, &err);

	if (rows)
		say_rows(x->d, check->what, rows, check->ok);
	else
		doctor_say(x->d, check->what, err.kind == ERR_CONFIG ? DOCTOR_WARNING : DOCTOR_ERROR, check->advice,
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
	"SELECT (SELECT coalesce(max(version), 0) FROM grading_migrations), coalesce((SELECT string_agg(v::text, ', ' ORDER BY v)"
	" FROM unnest($1::int[]) AS v WHERE v NOT IN (SELECT version FROM grading_migrations)), '')";

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
	row = ask_apart(x, schema_sql, 1, (const char *const[]){ buf_text(&versions) }, &err);
	if (!row)
		doctor_say(x->d, "schema", DOCTOR_ERROR, err.kind == ERR_CONFIG
			   ? "gradingctl migrate; or GRANT gradingd_worker TO this role, which must INHERIT" : NULL,
			   "the grading tables are not there, or not readable: %s", err.text);
	else if (PQgetvalue(row, 0, 1)[0])
		doctor_say(x->d, "schema", DOCTOR_ERROR, "gradingctl migrate", "at version %s, and lacks %s",
			   PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1));
	else if (atoi(PQgetvalue(row, 0, 0)) > newest)
		doctor_say(x->d, "schema", DOCTOR_OK, NULL, "at version %s, which is newer than this gradingctl (%d)",
			   PQgetvalue(row, 0, 0), newest);
	else
		doctor_say(x->d, "schema", DOCTOR_OK, NULL, "at version %s", PQgetvalue(row, 0, 0));
	good = row != NULL;
	PQclear(row);
	buf_free(&versions);
	return good;
}

/* ---- the daemon's statements ---- */

static void write_execute(struct buf *out, const struct statement *st)
{
	buf_str(out, "EXPLAIN EXECUTE gradingd_doctor");
	for (int i = 0; i < st->nparams; i++)
		buf_str(out, i ? ", NULL" : "(NULL");
	if (st->nparams)
		buf_char(out, ')');
}

/*
 * The plan that the daemon has, as text; NULL and err. EXPLAIN asks for the rights, too. Behind a pooler of
 * transactions each execution is planned for its values. They are not known here, and without any the conditions on
 * them fall away; only a claim's plan depends on their being there, and is the same for all.
 */
static PGresult *explain(struct examination *x, const struct statement *st, bool generic, struct err *err)
{
	const char *const mode[] = { generic ? "force_generic_plan" : "force_custom_plan" };
	PGresult *plan = NULL, *set;
	struct err ignored;
	struct buf sql;

	buf_init(&sql, LIST_CAP_BYTES);
	buf_printf(&sql, "PREPARE gradingd_doctor AS %s", st->text);
	set = begin_as_daemon(x, err) == 0 ? ask(x, "SELECT set_config('plan_cache_mode', $1, true)", 1, mode, err) : NULL;
	if (set && run(x, buf_text(&sql), err) == 0) {
		buf_reset(&sql);
		write_execute(&sql, st);
		run(x, "SAVEPOINT explained", &ignored);
		plan = ask(x, buf_text(&sql), 0, NULL, err);
		if (PQtransactionStatus(x->conn) == PQTRANS_INERROR)
			run(x, "ROLLBACK TO explained", &ignored);
		run(x, "DEALLOCATE gradingd_doctor", &ignored);	/* here: elsewhere a pooler may give another server */
	}
	if (PQtransactionStatus(x->conn) != PQTRANS_IDLE && PQtransactionStatus(x->conn) != PQTRANS_ACTIVE)
		run(x, "ROLLBACK", &ignored);
	PQclear(set);
	buf_free(&sql);
	return plan;
}

/* The first table of ours that the plan reads whole although it is large; "" when none. */
static void find_scan(struct examination *x, const PGresult *plan, char *table, size_t size, char *pretty, size_t pretty_size)
{
	static const char words[] = "Seq Scan on ";
	struct err err;

	table[0] = '\0';
	for (int i = 0; i < PQntuples(plan) && !table[0]; i++) {
		const char *at = strstr(PQgetvalue(plan, i, 0), words);
		const char *name = at ? at + strlen(words) : "";
		PGresult *row;

		if (!at)
			continue;
		snprintf(table, size, "%.*s", (int)strcspn(name, " "), name);
		row = ask_apart(x, "SELECT pg_relation_size(to_regclass($1)), pg_size_pretty(pg_relation_size(to_regclass($1)))", 1,
				(const char *const[]){ table }, &err);
		if (!row || pgsync_int(row, 0) < LARGE_BYTES)
			table[0] = '\0';
		else
			snprintf(pretty, pretty_size, "%s", PQgetvalue(row, 0, 1));
		PQclear(row);
	}
}

/* The index by which a claim finds its jobs. */
static void find_index(const PGresult *plan, char *name, size_t size)
{
	name[0] = '\0';
	for (int i = 0; i < PQntuples(plan) && !name[0]; i++) {
		const char *line = PQgetvalue(plan, i, 0), *using = strstr(line, "using ");

		if (using && strstr(line, " on grading_jobs"))
			snprintf(name, size, "%.*s", (int)strcspn(using + 6, " "), using + 6);
	}
}

static void judge_plan(struct examination *x, const struct statement *st, const PGresult *plan, bool claim)
{
	const char *what = claim ? "claim" : "statements";
	char table[80], pretty[40] = "", index[80];

	find_scan(x, plan, table, sizeof(table), pretty, sizeof(pretty));
	find_index(plan, index, sizeof(index));
	if (table[0])
		doctor_say(x->d, what, claim ? DOCTOR_ERROR : DOCTOR_WARNING,
			   "see \"indexes\"; then ANALYZE the table: its statistics may be stale",
			   "`%s` reads all of %s, %s, each time", st->name, table, pretty);
	else if (claim && index[0])
		doctor_say(x->d, what, DOCTOR_OK, NULL, "finds its jobs by the index %s", index);
	else if (claim)
		doctor_say(x->d, what, DOCTOR_OK, NULL, "reads a table that is small");
}

/* What went wrong for most of them is said once. */
static void check_statements(struct examination *x)
{
	const int planned = STATEMENT_COUNT - STATEMENT_FIRST_PLANNED;
	int bad = 0;
	struct err err, first = { .kind = ERR_NONE };
	const char *first_name = "";

	for (int i = STATEMENT_FIRST_PLANNED; i < STATEMENT_COUNT && is_usable(x); i++) {
		PGresult *plan = explain(x, &statements[i], x->session || i == STATEMENT_CLAIM, &err);

		if (plan)
			judge_plan(x, &statements[i], plan, i == STATEMENT_CLAIM);
		else if (bad++ == 0)
			first = err, first_name = statements[i].name;
		PQclear(plan);
	}
	if (bad == 0)
		doctor_say(x->d, "statements", DOCTOR_OK, NULL, "all %d of the daemon can be run by this role", planned);
	else
		doctor_say(x->d, "statements", DOCTOR_ERROR, "where a right is missing: GRANT gradingd_worker TO the daemon's role; "
			   "where a table or column is: gradingctl migrate",
			   "%d of %d of the daemon cannot be run by this role; `%s`: %s", bad, planned, first_name,
			   first.text);
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
		PGresult *row = ask(x, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", 0, NULL, &err);

		if (!row) {
			doctor_say(x->d, "clock", DOCTOR_ERROR, NULL, "the database's cannot be read: %s", err.text);
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
		doctor_say(x->d, "clock", DOCTOR_OK, NULL, "the database's is ours, give or take %s", text);
	else
		doctor_say(x->d, "clock", skew <= -SKEW_ERROR_MS || skew >= SKEW_ERROR_MS ? DOCTOR_ERROR : DOCTOR_WARNING,
			   "have both synchronised (chrony, systemd-timesyncd); jobs go by the database's alone, logs and "
			   "certificates by this host's", "the database's is %s %s ours", text, skew < 0 ? "behind" : "ahead of");
}

/* ---- all of it ---- */

static void examine(struct examination *x, const struct config *config)
{
	bool good = true;

	for (size_t i = 0; i < doctor_checks_n && is_usable(x); i++) {
		check_sql(x, &doctor_checks[i]);
		if (i == 0 && is_usable(x))
			good = check_schema(x);
		if (!good)
			return;
	}
	if (is_usable(x))
		check_statements(x);
	if (is_usable(x))
		check_clock(x);
	if (is_usable(x))
		doctor_pooler(x->d, config, x->conn);
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
	pgarray_end(&x->names);
	pgarray_end(&x->texts);
}

void doctor_database(struct doctor *d, const struct config *config)
{
	struct err err;
	PGconn *conn = ctl_connect(d->ctl, false, &err);
	struct examination x = {
		.d = d, .conn = conn, .until_ms = now_ms() + PATIENCE_MS,
		.session = !config || config->database.pool_mode == POOL_MODE_SESSION,
	};

	if (!conn) {
		doctor_say(d, "database", DOCTOR_ERROR, err.kind == ERR_LOST ? "is it running, and database.conninfo right?"
			   : "correct database.conninfo, or the server's pg_hba.conf and roles", "%s", err.text);
		return;
	}
	read_migrations(&x);
	examine(&x, config);
	buf_free(&x.names);
	buf_free(&x.texts);
	if (!is_usable(&x))
		doctor_say(d, "database", DOCTOR_ERROR, "look at the server's load and log", "gave no answer in time, or hung up; "
			   "what follows was not looked at");
	PQfinish(conn);
}
