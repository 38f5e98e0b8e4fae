/*
 * gradingctl webhooks: who is told of sessions and how that goes, which messages were given up, and
 * sending them again.
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

#define USAGE "usage: gradingctl webhooks [list [--failed | --pending] [--limit N] | " \
	"retry ID... | retry --failed | enable NAME | disable NAME | remove NAME]"

/* Milliseconds since a time. */
#define SINCE(time) \
	"greatest(extract(epoch FROM now() - " time ") * 1000::numeric, 0)::bigint"

/* ---- the webhooks ---- */

enum { JSON, NAME, EVENTS, STATE, WAITING, OLDEST_MS, DEAD, DELIVERED, ERROR };

/* Counts stop at a hundred thousand. */
static const char hooks_sql[] =
	"SELECT pg_catalog.row_to_json(r), name, events, state, waiting, oldest_ms, dead,"
	"  delivered, error FROM ("
	" SELECT h.name, CASE WHEN h.steps THEN 'step' ELSE 'end' END AS events,"
	"  CASE WHEN h.disabled_at IS NOT NULL THEN 'disabled'"
	"    WHEN h.seen_at < now() - interval '7 days' THEN 'nobody delivers'"
	"    WHEN w.failing > 0 THEN 'failing' ELSE 'ok' END AS state,"
	"  w.n AS waiting, w.oldest_ms, d.n AS dead, o.n AS delivered,"
	"  coalesce(h.disabled_why, w.error, d.error) AS error"
	" FROM grading_webhooks h CROSS JOIN LATERAL ("
	"   SELECT count(*) AS n, count(*) FILTER (WHERE attempts > 0 AND error IS NOT NULL)"
	"     AS failing, CASE WHEN count(*) > 0 THEN " SINCE("min(created_at)")
	"     END AS oldest_ms, max(error) AS error"
	"   FROM (SELECT attempts, error, created_at FROM grading_webhook_outbox"
	"     WHERE hook = h.name AND state = 'waiting' LIMIT 100000) AS x) AS w"
	" CROSS JOIN LATERAL ("
	"   SELECT count(*) AS n, max(error) AS error FROM (SELECT error"
	"     FROM grading_webhook_outbox WHERE state = 'dead' AND hook = h.name LIMIT 100000)"
	"     AS x) AS d"
	" CROSS JOIN LATERAL ("
	"   SELECT count(*) AS n FROM (SELECT FROM grading_webhook_outbox"
	"     WHERE state = 'delivered' AND hook = h.name LIMIT 100000) AS x) AS o"
	" ORDER BY h.name) AS r";

static struct table *hooks_table(const PGresult *result)
{
	static const char *const columns[] = {
		"name", "events", "state", "waiting", "oldest_ms", "dead", "delivered", "error",
		NULL
	};
	struct table *t = table_new(columns, false);

	for (int row = 0; row < PQntuples(result); row++) {
		table_row(t);
		for (int column = NAME; column <= STATE; column++)
			rows_cell(t, result, row, column, false);
		table_int(t, strtoll(PQgetvalue(result, row, WAITING), NULL, 10));
		if (PQgetisnull(result, row, OLDEST_MS))
			table_null(t);
		else
			table_ms(t, strtoll(PQgetvalue(result, row, OLDEST_MS), NULL, 10));
		table_int(t, strtoll(PQgetvalue(result, row, DEAD), NULL, 10));
		table_int(t, strtoll(PQgetvalue(result, row, DELIVERED), NULL, 10));
		rows_cell(t, result, row, ERROR, false);
	}
	return t;
}

/* ---- messages ---- */

enum { M_JSON, M_ID, M_HOOK, M_SESSION, M_TYPE, M_STATE, M_ATTEMPTS, M_SINCE_MS, M_ERROR };

/* At most $1 of each kind; $2 and $3 say which: dead ones, last first; waiting ones. */
static const char messages_sql[] =
	"SELECT pg_catalog.row_to_json(r), id, hook, session_id, type, state, attempts, "
	SINCE("created_at") ", error"
	" FROM (SELECT id, hook, session_id, type, state, attempts, created_at, next_at, ended_at,"
	"  response, error FROM ("
	"   (SELECT * FROM grading_webhook_outbox WHERE $2::bool AND state = 'dead'"
	"     ORDER BY ended_at DESC LIMIT $1::int)"
	"   UNION ALL"
	"   (SELECT * FROM grading_webhook_outbox WHERE $3::bool AND state = 'waiting'"
	"     ORDER BY next_at LIMIT $1::int)) AS m LIMIT $1::int) AS r";

static struct table *messages_table(const PGresult *result, int rows)
{
	static const char *const columns[] = {
		"id", "webhook", "session", "type", "state", "attempts", "age_ms", "error", NULL
	};
	struct table *t = table_new(columns, false);

	for (int row = 0; row < rows; row++) {
		table_row(t);
		for (int column = M_ID; column <= M_STATE; column++)
			rows_cell(t, result, row, column, false);
		table_int(t, strtoll(PQgetvalue(result, row, M_ATTEMPTS), NULL, 10));
		table_ms(t, strtoll(PQgetvalue(result, row, M_SINCE_MS), NULL, 10));
		rows_cell(t, result, row, M_ERROR, false);
	}
	return t;
}

static void print_table(const struct ctl *ctl, struct table *t)
{
	struct buf out;

	buf_init(&out, LISTING_CAP_BYTES);
	table_render(t, false, &out);
	term_print(&ctl->out, buf_text(&out));
	buf_free(&out);
	table_free(t);
}

static int show_hooks(struct ctl *ctl, PGconn *conn, struct err *err)
{
	PGresult *result = pgsync_query(conn, hooks_sql, 0, NULL, err);

	if (!result)
		return -1;
	if (ctl->option[CTL_JSON])
		rows_print_json(result, PQntuples(result));
	else if (PQntuples(result) == 0)
		puts("no daemon has told of a webhook yet: they are configured in webhooks.hooks");
	else
		print_table(ctl, hooks_table(result));
	PQclear(result);
	return 0;
}

/* One more than is shown tells that there are more. */
static int list_messages(struct ctl *ctl, PGconn *conn, struct err *err)
{
	bool failed = ctl->option[CTL_FAILED], pending = ctl->option[CTL_PENDING];
	char limit[24];
	const char *const values[] = { limit, failed || !pending ? "t" : "f",
				       pending || !failed ? "t" : "f" };
	PGresult *result;
	int rows;

	snprintf(limit, sizeof(limit), "%" PRId64, ctl->option[CTL_LIMIT] + 1);
	result = pgsync_query(conn, messages_sql, 3, values, err);
	if (!result)
		return -1;
	rows = PQntuples(result);
	if (rows > ctl->option[CTL_LIMIT])
		rows = (int)ctl->option[CTL_LIMIT];
	if (ctl->option[CTL_JSON])
		rows_print_json(result, rows);
	else
		print_table(ctl, messages_table(result, rows));
	if (rows < PQntuples(result) && !ctl->option[CTL_JSON])
		printf("there are more: --limit N shows N of them\n");
	PQclear(result);
	return 0;
}

/* ---- sending again ---- */

/* $1: uuid[], or null for all that are dead. */
static const char retry_sql[] =
	"WITH again AS (UPDATE grading_webhook_outbox SET state = 'waiting', attempts = 0,"
	"  next_at = now(), tried_since = now(), ended_at = NULL, response = NULL, error = NULL"
	" WHERE state = 'dead' AND ($1::uuid[] IS NULL OR id = ANY($1::uuid[])) RETURNING 1)"
	" SELECT count(*) FROM again";

static int retry(struct ctl *ctl, PGconn *conn, char **ids, int n, struct err *err)
{
	const char *value = NULL;
	PGresult *result;
	struct buf list;

	buf_init(&list, LISTING_CAP_BYTES);
	pgarray_begin(&list);
	for (int i = 0; i < n; i++)
		pgarray_text(&list, ids[i]);
	pgarray_end(&list);
	if (n > 0)
		value = buf_text(&list);
	result = pgsync_query(conn, retry_sql, 1, &value, err);
	buf_free(&list);
	if (!result)
		return -1;
	if (ctl->option[CTL_JSON])
		printf("{\"retried\": %" PRId64 "}\n", pgsync_int(result, 0));
	else
		printf("%" PRId64 " message%s sent again%s\n", pgsync_int(result, 0),
		       term_plural(pgsync_int(result, 0)), pgsync_int(result, 0) ? "" :
		       "; `gradingctl webhooks list --failed` lists those that were given up");
	PQclear(result);
	return 0;
}

/* ---- one webhook ---- */

static const char enable_sql[] =
	"UPDATE grading_webhooks SET disabled_at = NULL, disabled_why = NULL WHERE name = $1::text"
	" RETURNING 0::bigint";
static const char disable_sql[] =
	"UPDATE grading_webhooks SET disabled_at = coalesce(disabled_at, now()),"
	"  disabled_why = coalesce(disabled_why, 'disabled by an operator') WHERE name = $1::text"
	" RETURNING 0::bigint";
static const char remove_sql[] = "SELECT grading_webhooks_remove($1::text)";

static const struct action {
	const char *word, *done;
	const char *sql;		/* a row with a number when there is such a webhook */
} actions[] = {
	{ "enable", "enabled", enable_sql },
	{ "disable", "disabled: nothing is delivered to it or kept for it", disable_sql },
	{ "remove", "removed, and what was kept for it", remove_sql },
};

static const struct action *find_action(const char *word)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(word, actions[i].word) == 0)
			return &actions[i];
	return NULL;
}

static int act(struct ctl *ctl, PGconn *conn, const struct action *action, const char *name,
	       struct err *err)
{
	PGresult *result = pgsync_query(conn, action->sql, 1, &name, err);
	bool known;

	if (!result)
		return -1;
	known = PQntuples(result) > 0 && !PQgetisnull(result, 0, 0);
	PQclear(result);
	if (!known)
		return err_set(err, ERR_PERMANENT, "there is no webhook \"%.60s\"; `gradingctl "
			       "webhooks` lists them", name);
	if (ctl->option[CTL_JSON])
		printf("{\"%s\": true}\n", action->word);
	else
		printf("webhook %s %s\n", name, action->done);
	return 0;
}

/* ---- the command ---- */

/* NULL, or what is wrong with the words and options. */
static const char *complaint(const struct ctl *ctl, char **args, int n)
{
	bool which = ctl->option[CTL_FAILED] || ctl->option[CTL_PENDING];

	if (n == 0)
		return which ? USAGE : NULL;
	if (strcmp(args[0], "list") == 0)
		return n > 1 ? USAGE : NULL;
	if (ctl->option[CTL_PENDING])
		return USAGE;
	if (strcmp(args[0], "retry") != 0)
		return n != 2 || which || !find_action(args[0]) ? USAGE : NULL;
	if ((n > 1) == ctl->option[CTL_FAILED])
		return "say what to send again: gradingctl webhooks retry ID..., or --failed for "
		       "all that was given up";
	for (int i = 1; i < n; i++)
		if (!uuid5_is_uuid(args[i]))
			return "retry takes ids as `gradingctl webhooks list` shows them";
	return NULL;
}

static int run(struct ctl *ctl, PGconn *conn, char **args, int n, struct err *err)
{
	if (n == 0)
		return show_hooks(ctl, conn, err);
	if (strcmp(args[0], "list") == 0)
		return list_messages(ctl, conn, err);
	if (strcmp(args[0], "retry") == 0)
		return retry(ctl, conn, args + 1, n - 1, err);
	return act(ctl, conn, find_action(args[0]), args[1], err);
}

int cmd_webhooks(struct ctl *ctl, char **args, int n)
{
	const char *wrong = complaint(ctl, args, n);
	struct err err;
	PGconn *conn;
	int rc;

	if (wrong) {
		ctl_complain(ctl, "%s", wrong);
		return EXIT_FAILED;
	}
	conn = ctl_database(ctl, &err);
	if (!conn)
		return ctl_fail(ctl, &err);
	rc = run(ctl, conn, args, n, &err);
	if (rc == -1)
		ctl_name_right(conn, "gradingd_worker", &err);
	PQfinish(conn);
	return rc == 0 ? EXIT_STOPPED : ctl_fail(ctl, &err);
}
