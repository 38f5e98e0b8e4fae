/* Blocking libpq, for gradingctl: connecting within a deadline, a query and its answer. */
#ifndef PGSYNC_H
#define PGSYNC_H

#include <libpq-fe.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Connects ("": as libpq's environment says). NULL and err: ERR_CONFIG when an operator must act
 * (wrong password, no such database, a connection string that is none), ERR_LOST when nobody is
 * there. No message repeats the connection string, which may hold a password.
 */
PGconn *pgsync_connect(const char *conninfo, const char *application_name, struct err *err);

/*
 * Runs one statement with n parameters; with n = 0 any number of statements, of which the last
 * one's result is returned. NULL and err: ERR_LOST when the connection is gone, else as
 * pgerror_kind() sorts it. A signal that ends us meanwhile has it cancelled first.
 */
PGresult *pgsync_query(PGconn *conn, const char *sql, int n, const char *const *values,
		       struct err *err);

/*
 * The same, one statement, but no longer than timeout_ms: then ERR_LOST, and the connection is of
 * no use any more.
 */
PGresult *pgsync_query_within(PGconn *conn, const char *sql, int n, const char *const *values,
			      int64_t timeout_ms, struct err *err);

/*
 * Runs one statement whose rows are too many to be held: each is handed to row_fn as a result of
 * one row, valid for the call alone. Where that returns -1 the statement is cancelled. Returns 0, or
 * -1 and err, which says only that it was stopped where row_fn stopped it.
 */
typedef int pgsync_row_fn(void *arg, const PGresult *row);
int pgsync_each(PGconn *conn, const char *sql, int n, const char *const *values,
		pgsync_row_fn *row_fn, void *arg, struct err *err);

/* As pgsync_query(), where the result does not matter: 0, or -1 and err. */
int pgsync_run(PGconn *conn, const char *sql, int n, const char *const *values, struct err *err);

/* A whole number in the result's first row. */
int64_t pgsync_int(const PGresult *result, int column);

#endif
