/*
 * The daemon's own statements: prepared and explained as the daemon would run them, never executed.
 * gradingctl doctor.
 */
#include "doctor_plans.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "pg/pgsync.h"
#include "queue/statements.h"

#define STATEMENT_CAP_BYTES (64u << 10)
#define LARGE_BYTES (8 << 20)		/* to read a smaller table whole does no harm */

static void write_execute(struct buf *out, const struct statement *st)
{
	buf_str(out, "EXPLAIN EXECUTE gradingd_doctor");
	for (int i = 0; i < st->nparams; i++)
		buf_str(out, i ? ", NULL" : "(NULL");
	if (st->nparams)
		buf_char(out, ')');
}

/*
 * The plan that the daemon has, as text; NULL and err. EXPLAIN asks for the rights, too. Behind a
 * pooler of transactions each execution is planned for its values. They are not known here, and
 * without any the conditions on them fall away; only a claim's plan depends on their being there,
 * and is the same for all.
 */
static PGresult *explain(struct questions *q, const struct statement *st, bool generic,
			 struct err *err)
{
	const char *const mode[] = { generic ? "force_generic_plan" : "force_custom_plan" };
	PGresult *plan = NULL, *set;
	struct err ignored;
	struct buf sql;

	buf_init(&sql, STATEMENT_CAP_BYTES);
	buf_printf(&sql, "PREPARE gradingd_doctor AS %s", st->text);
	set = questions_begin_as_daemon(q, err) == 0
		? questions_ask(q, "SELECT set_config('plan_cache_mode', $1, true)", 1, mode, err)
		: NULL;
	if (set && questions_run(q, buf_text(&sql), err) == 0) {
		buf_reset(&sql);
		write_execute(&sql, st);
		questions_run(q, "SAVEPOINT explained", &ignored);
		plan = questions_ask(q, buf_text(&sql), 0, NULL, err);
		if (PQtransactionStatus(q->conn) == PQTRANS_INERROR)
			questions_run(q, "ROLLBACK TO explained", &ignored);
		/* Here: outside of the transaction a pooler may give another server. */
		questions_run(q, "DEALLOCATE gradingd_doctor", &ignored);
	}
	questions_end(q);
	PQclear(set);
	buf_free(&sql);
	return plan;
}

/* The first table of ours that the plan reads whole although it is large; "" when none. */
static void find_scan(struct questions *q, const PGresult *plan, char *table, size_t size,
		      char *pretty, size_t pretty_size)
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
		row = questions_ask_apart(q,
					  "SELECT pg_relation_size(to_regclass($1)), "
					  "pg_size_pretty(pg_relation_size(to_regclass($1)))",
					  1, (const char *const[]){ table }, &err);
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

static void judge_plan(struct questions *q, struct doctor_report *r, const struct statement *st,
		       const PGresult *plan, bool claim)
{
	const char *what = claim ? "claim" : "statements";
	char table[80], pretty[40] = "", index[80];

	find_scan(q, plan, table, sizeof(table), pretty, sizeof(pretty));
	find_index(plan, index, sizeof(index));
	if (table[0])
		doctor_say(r, what, claim ? DOCTOR_ERROR : DOCTOR_WARNING,
			   "see \"indexes\"; then ANALYZE the table: its statistics may be stale",
			   "`%s` reads all of %s, %s, each time", st->name, table, pretty);
	else if (claim && index[0])
		doctor_say(r, what, DOCTOR_OK, NULL, "finds its jobs by the index %s", index);
	else if (claim)
		doctor_say(r, what, DOCTOR_OK, NULL, "reads a table that is small");
}

/* What went wrong for most of them is said once. */
void doctor_plans(struct questions *q, struct doctor_report *r)
{
	const int planned = STATEMENT_COUNT - STATEMENT_FIRST_PLANNED;
	int bad = 0;
	struct err err, first = { .kind = ERR_NONE };
	const char *first_name = "";

	for (int i = STATEMENT_FIRST_PLANNED; i < STATEMENT_COUNT && questions_can_go_on(q); i++) {
		PGresult *plan = explain(q, &statements[i], q->session || i == STATEMENT_CLAIM,
					 &err);

		if (plan)
			judge_plan(q, r, &statements[i], plan, i == STATEMENT_CLAIM);
		else if (bad++ == 0)
			first = err, first_name = statements[i].name;
		PQclear(plan);
	}
	if (bad == 0)
		doctor_say(r, "statements", DOCTOR_OK, NULL,
			   "all %d of the daemon can be run by this role", planned);
	else
		doctor_say(r, "statements", DOCTOR_ERROR,
			   "where a right is missing: GRANT gradingd_worker TO the daemon's role; "
			   "where a table or column is: gradingctl migrate",
			   "%d of %d of the daemon cannot be run by this role; `%s`: %s", bad,
			   planned, first_name, first.text);
}
