/* What gradingctl's commands open, and how they complain. */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config/config_load.h"
#include "lib/uuid5.h"
#include "pg/pgerror.h"
#include "pg/pgsync.h"

/* The schema that knows grading_submit(), grading_retry_many() and their like. */
#define API_VERSION 94

#define COMPLAINT_CAP_BYTES 8192

void ctl_complain(struct ctl *ctl, const char *fmt, ...)
{
	char text[COMPLAINT_CAP_BYTES];
	struct buf clean;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&clean, 6 * sizeof(text));
	term_escape(&clean, text);		/* it may quote a file or an argument */
	term_live_clear(&ctl->err);
	fflush(stdout);				/* keeps the order where both go to one place */
	fprintf(stderr, "%sgradingctl:%s %s\n", term_style(&ctl->err, TERM_RED),
		term_style(&ctl->err, TERM_PLAIN), buf_text(&clean));
	buf_free(&clean);
}

int ctl_fail(struct ctl *ctl, const struct err *err)
{
	ctl_complain(ctl, "%s", err->text);
	return err->kind == ERR_CONFIG ? EXIT_BAD_CONFIG : err->kind == ERR_LOST ? EXIT_TRY_LATER
		: EXIT_FAILED;
}

int ctl_unknown_session(struct ctl *ctl, const char *id)
{
	char session[UUID_SIZE];

	uuid5_from_id(id, session);
	if (strcasecmp(id, session) == 0)
		ctl_complain(ctl, "session %s is not known: it was not enqueued into this "
			     "database, or has been removed", session);
	else
		ctl_complain(ctl, "session \"%.100s\" (%s) is not known: it was not enqueued "
			     "into this database, or has been removed", id, session);
	return EXIT_FAILED;
}

void ctl_name_right(const PGconn *conn, const char *role, struct err *err)
{
	const struct err cause = *err;

	if (strcmp(cause.sqlstate, "42501") == 0)
		err_set(err, cause.kind,
			"this role has no right to that; as the owner of the tables: GRANT %s TO "
			"\"%s\", or name another role with -d: %s", role, PQuser(conn), cause.text);
}

int ctl_load_config(struct ctl *ctl, struct err *err)
{
	if (ctl->config)
		return 0;
	if (!ctl->config_path && access(CONFIG_DEFAULT_PATH, F_OK) == -1 && errno == ENOENT)
		return 0;
	ctl->config = config_load_client(ctl->config_path, err);
	return ctl->config ? 0 : -1;
}

bool ctl_may_ask_daemon(const struct ctl *ctl)
{
	return !ctl->conninfo || ctl->socket_path;
}

static void add_way_out(struct err *err)
{
	size_t len = strlen(err->text);

	snprintf(err->text + len, sizeof(err->text) - len,
		 " (-d CONNINFO names a database without a configuration, -c another file)");
}

PGconn *ctl_connect(struct ctl *ctl, bool direct, struct err *err)
{
	const char *conninfo = ctl->conninfo;
	PGconn *conn;

	if (!conninfo) {
		if (ctl_load_config(ctl, err) == -1) {
			add_way_out(err);
			return NULL;
		}
		if (!ctl->config)
			conninfo = "";
		else if (direct && ctl->config->database.listen_conninfo[0])
			conninfo = ctl->config->database.listen_conninfo;
		else
			conninfo = ctl->config->database.conninfo;
	}
	conn = pgsync_connect(conninfo, "gradingctl", err);
	if (!conn && !conninfo[0]) {
		size_t len = strlen(err->text);

		snprintf(err->text + len, sizeof(err->text) - len,
			 " (there is no %s: name a configuration with -c, or a database with -d)",
			 CONFIG_DEFAULT_PATH);
	}
	return conn;
}

static int check_schema(PGconn *conn, struct err *err)
{
	struct err cause;
	PGresult *result = pgsync_query(conn, "SELECT coalesce(max(version), 0) FROM "
					"grading_migrations", 0, NULL, &cause);
	int version = result ? atoi(PQgetvalue(result, 0, 0)) : 0;

	PQclear(result);
	if (!result && pgerror_is_refusal(PQerrorMessage(conn)))
		return err_set(err, ERR_CONFIG,
			       "this role may not read the grading tables; as their owner: GRANT "
			       "grading_app TO \"%s\" (or gradingd_worker, for a daemon): %s",
			       PQuser(conn), cause.text);
	if (!result && cause.kind == ERR_CONFIG)
		return err_set(err, ERR_CONFIG,
			       "the grading tables are not there; run `gradingctl migrate`: %s",
			       cause.text);
	if (!result)
		return err_set(err, cause.kind, "%s", cause.text);
	if (version < API_VERSION)
		return err_set(err, ERR_CONFIG,
			       "the database schema is at version %d and this gradingctl "
			       "needs %d; run `gradingctl migrate`",
			       version, API_VERSION);
	return 0;
}

PGconn *ctl_database(struct ctl *ctl, struct err *err)
{
	PGconn *conn = ctl_connect(ctl, false, err);

	if (conn && check_schema(conn, err) == -1) {
		PQfinish(conn);
		return NULL;
	}
	return conn;
}

void ctl_free(struct ctl *ctl)
{
	config_free(ctl->config);
	free(ctl->conninfo);
}
