/* enqueue --wait: progress of many sessions until all are over. */
#ifndef CTL_WAIT_H
#define CTL_WAIT_H

#include <libpq-fe.h>

#include "ctl.h"

struct wait_result {
	int64_t completed;	/* sessions without a failed batch */
	int64_t failed;		/* sessions with one */
	int64_t rated_lines;
};

/*
 * sessions: their ids as a uuid[] literal. began_ms: when the first of them was enqueued, for the pace;
 * 0 when they were not all new, which makes it count from now. Shows progress on standard error; a lost
 * database is waited for. Returns the exit status: 0 when all were completed without a failed batch, 1
 * when not, EXIT_INTERRUPTED after a SIGINT.
 */
int wait_for_sessions(struct ctl *ctl, PGconn *conn, const char *sessions, int64_t began_ms,
		      struct wait_result *result);

#endif
