/* gradingctl migrate: says what migrate.c does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_load.h"
#include "ctl/cmd.h"
#include "pg/pgsync.h"
#include "migrate.h"

static const struct { const char *word, *note; } states[MIGRATE_STATE_COUNT] = {
	[MIGRATE_APPLIED] = { "applied", "" },
	[MIGRATE_PRESENT] = { "present", "" },
	[MIGRATE_MISSING] = { "missing", "" },
	[MIGRATE_BY_HAND] = { "by hand", "applied with psql; the next migrate records it" },
	[MIGRATE_CHANGED] = { "changed", "applied from another text than this gradingctl brings" },
	[MIGRATE_OUTDATED] = {
		"outdated", "of another release; the next migrate applies it again"
	},
	[MIGRATE_NEWER] = { "newer", "not known to this gradingctl, and left alone" },
	[MIGRATE_WAITING] = { "waiting", "another gradingctl is migrating this database" },
	[MIGRATE_BLOCKED] = {
		"blocked", "another transaction holds a lock on the table; trying again"
	},
};

struct report {
	struct ctl *ctl;
	bool incomplete;	/* a file is not as this gradingctl brings it */
};

static void print_json(const char *name, enum migrate_state state)
{
	struct buf line;

	buf_init(&line, 4096);
	buf_str(&line, "{\"migration\": ");
	if (name)
		buf_json(&line, name);
	else
		buf_str(&line, "null");
	buf_printf(&line, ", \"state\": \"%s\"}", states[state].word);
	puts(buf_text(&line));
	buf_free(&line);
}

static void print_text(const struct term *out, const char *name, enum migrate_state state)
{
	const char *note = states[state].note;
	struct buf line;

	buf_init(&line, 4096);
	buf_printf(&line, "%s%-9s%s",
		   term_style(out, state == MIGRATE_PRESENT ? TERM_DIM : TERM_BOLD),
		   states[state].word, term_style(out, TERM_PLAIN));
	if (name)
		term_escape(&line, name);
	if (note[0])
		buf_printf(&line, name ? " (%s)" : "%s", note);
	puts(buf_text(&line));
	buf_free(&line);
}

static void on_report(void *arg, const char *name, enum migrate_state state)
{
	struct report *report = arg;

	report->incomplete |= state == MIGRATE_MISSING || state == MIGRATE_CHANGED ||
		state == MIGRATE_OUTDATED;
	if (report->ctl->option[CTL_JSON])
		print_json(name, state);
	else
		print_text(&report->ctl->out, name, state);
	fflush(stdout);		/* what follows may take long */
}

/*
 * A session's lock and settings mean nothing behind a pooler of transactions. One that pools
 * sessions is fine, so only what the configuration says counts; the differing pid tells that a
 * pooler is there.
 */
static int check_direct(const struct ctl *ctl, PGconn *conn, struct err *err)
{
	PGresult *result;
	bool pooled;

	if (ctl->conninfo || !ctl->config || ctl->config->database.pool_mode == POOL_MODE_SESSION)
		return 0;
	result = pgsync_query(conn, "SELECT pg_backend_pid()", 0, NULL, err);
	if (!result)
		return -1;
	pooled = atoi(PQgetvalue(result, 0, 0)) != PQbackendPID(conn);
	PQclear(result);
	if (pooled)
		return err_set(err, ERR_CONFIG, "migrating needs a connection past the pooler: set "
			       "database.listen_conninfo, or give one with -d");
	return 0;
}

/* What a migration left undone, for want of a right: 089 says so. */
static void on_notice(void *arg, const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	if (message)
		ctl_complain(arg, "%s%s%s", message, hint ? ". " : "", hint ? hint : "");
}

int cmd_migrate(struct ctl *ctl, char **args, int n)
{
	struct report report = { .ctl = ctl };
	struct err err;
	PGconn *conn = ctl_connect(ctl, true, &err);
	int result;

	(void)args, (void)n;
	if (!conn)
		return ctl_fail(ctl, &err);
	PQsetNoticeReceiver(conn, on_notice, ctl);
	if (!ctl->conninfo && !ctl->config)
		ctl_complain(ctl, "there is no " CONFIG_DEFAULT_PATH
			     "; this is the database \"%s\", as user \"%s\"",
			     PQdb(conn), PQuser(conn));
	if (ctl->option[CTL_STATUS])
		result = migrate_status(conn, on_report, &report, &err);
	else
		result = check_direct(ctl, conn, &err) == -1 ? -1
			: migrate_run(conn, on_report, &report, &err);
	PQfinish(conn);
	if (result == -1)
		return ctl_fail(ctl, &err);
	return report.incomplete ? EXIT_FAILED : EXIT_STOPPED;
}
