/* enqueue --wait: progress of many sessions until all are over. */
#ifndef AWAIT_H
#define AWAIT_H

#include <libpq-fe.h>

#include "ctl/ctl.h"

struct await_result {
	int64_t completed;	/* sessions without a failed batch */
	int64_t failed;		/* sessions with one */
	int64_t rated_lines;
};

struct awaited {
	const char *sessions;	/* their uuids as a uuid[] literal */
	const char *(*name_of)(const void *arg, const char *session);	/* what the user calls one, for messages */
	const void *arg;
	int64_t began_ms;	/* when the first was enqueued, for the pace; 0: not all were new, count from now */
};

/*
 * Shows progress on standard error; a lost
 * database is waited for. Returns the exit status: 0 when all were completed without a failed batch, 1
 * when not, EXIT_INTERRUPTED after a SIGINT. Where nothing moves for seconds the daemon is asked why.
 */
int await_sessions(struct ctl *ctl, PGconn *conn, const struct awaited *what, struct await_result *result);

#endif
