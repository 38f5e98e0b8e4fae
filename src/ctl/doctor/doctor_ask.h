/*
 * Questions to the database for gradingctl doctor: each a transaction of its own that is rolled
 * back, so that it leaves nothing behind and works behind a pooler of transactions, and none longer
 * than its time.
 */
#ifndef DOCTOR_ASK_H
#define DOCTOR_ASK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct questions {
	PGconn *conn;		/* the caller's */
	int64_t until_ms;	/* when the time for all of them is up, by now_ms() */
	bool session;		/* no pooler between: the daemon's settings are its session's */
};

/*
 * One statement, with n parameters: its result, for PQclear(); NULL and err as
 * pgsync_query_within(). By itself, or within a transaction that questions_begin_as_daemon() began.
 */
PGresult *questions_ask(struct questions *q, const char *sql, int n, const char *const *values,
			struct err *err);

/* The same where the result does not matter: 0, or -1 and err. */
int questions_run(struct questions *q, const char *sql, struct err *err);

/* One question in a transaction that leaves nothing behind. */
PGresult *questions_ask_apart(struct questions *q, const char *sql, int n,
			      const char *const *values, struct err *err);

/*
 * Begins a transaction with the settings of the daemon's sessions. They go with the transaction,
 * which is never committed: where a pooler of transactions turns out to be in between, the session
 * is another client's next.
 */
int questions_begin_as_daemon(struct questions *q, struct err *err);

/* Rolls the transaction back, if there is one. */
void questions_end(struct questions *q);

/*
 * False once an answer did not come in time, or the connection is gone: there will be none to what
 * follows.
 */
bool questions_can_go_on(const struct questions *q);

#endif
