/* enqueue --wait: progress of many sessions until all are over. */
#ifndef AWAIT_H
#define AWAIT_H

#include <libpq-fe.h>

#include "ctl/ctl.h"

struct await_result {
	int64_t completed;	/* sessions without a failed batch */
	int64_t failed;		/* sessions with a failed batch */
	int64_t rated_lines;	/* lines rated in all of them */
};

struct awaited {
	const char *sessions;	/* their uuids as a uuid[] literal */
	/* What the user calls a session, for messages; arg is handed on. */
	const char *(*name_of)(const void *arg, const char *session);
	const void *arg;
	int64_t began_ms;	/* when the first was enqueued, for the pace; 0: not all are new */
};

/*
 * Shows progress on standard error; a lost database is waited for. Returns the exit status: 0 when
 * all were completed without a failed batch, 1 when not, EXIT_INTERRUPTED after a SIGINT. Where
 * nothing moves for seconds the daemon is asked why.
 */
int await_sessions(struct ctl *ctl, PGconn *conn, const struct awaited *what,
		   struct await_result *result);

#endif
