/* Applies the embedded migrations, over a connection that blocks. */
#ifndef MIGRATE_H
#define MIGRATE_H

#include <libpq-fe.h>

#include "base/err.h"

enum migrate_state {
	MIGRATE_APPLIED,	/* applied just now */
	MIGRATE_PRESENT,	/* recorded with the checksum of our file */
	MIGRATE_MISSING,	/* not recorded */
	MIGRATE_BY_HAND,	/* applied with psql, nobody knows which text: applied again */
	MIGRATE_CHANGED,	/* recorded with another checksum: nothing is done */
	MIGRATE_OUTDATED,	/* functions.sql with another checksum: applied again */
	MIGRATE_NEWER,		/* unknown here: a newer gradingctl was at work */
	MIGRATE_WAITING,	/* another gradingctl is migrating; name is NULL */
	MIGRATE_BLOCKED,	/* others' locks were in the way for too long; tried again soon */
	MIGRATE_STATE_COUNT
};

/* How a file stands, or what became of it. name lives as long as the call. */
typedef void migrate_report_fn(void *arg, const char *name, enum migrate_state state);

/*
 * Applies what is missing, in order, each file in one transaction (a file whose first line holds
 * "gradingctl: statement by statement" is sent a statement at a time, for CREATE INDEX
 * CONCURRENTLY), under a session advisory lock that is waited for without holding a snapshot. Where
 * a file was changed after it was applied, nothing is done. functions.sql comes last, and again
 * whenever its text is another than was applied or another file has just been applied; not where a
 * newer gradingctl was at work. Reports each file. conn must be a session of our own, past any
 * pooler of transactions. Returns 0, or -1 and err.
 */
int migrate_run(PGconn *conn, migrate_report_fn *report, void *arg, struct err *err);

/* Reports how each file stands and changes nothing. Returns 0, or -1 and err. */
int migrate_status(PGconn *conn, migrate_report_fn *report, void *arg, struct err *err);

#endif
