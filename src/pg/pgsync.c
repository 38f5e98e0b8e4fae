/* Blocking libpq: connecting, queries, errors in words. gradingctl only. */
#include "pg/pgsync.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pg/pgerror.h"
#include "pgconnect.h"

#define CONNECT_TIMEOUT_MS 15000

/* Whatever the server is pleased to remark upon: the outcome says it all. */
static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg, (void)result;
}

/* Not PQconnectdb(), which leaves no moment for asking for verbose errors. */
static PostgresPollingStatusType wait_for_connection(PGconn *conn)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	int64_t until = now_ms() + CONNECT_TIMEOUT_MS;

	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
		struct pollfd p = { .fd = PQsocket(conn),
			.events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT };
		int64_t left = until - now_ms();
		int ready = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (ready == 0 || (ready == -1 && errno != EINTR))
			return status;
		if (ready > 0)
			status = PQconnectPoll(conn);
	}
	return status;
}

PGconn *pgsync_connect(const char *conninfo, const char *application_name, struct err *err)
{
	PostgresPollingStatusType status = PGRES_POLLING_FAILED;
	bool refused;
	char text[400];
	PGconn *conn;

	if (pgerror_check_conninfo(conninfo, err) == -1)
		return NULL;
	conn = pgconnect_start(conninfo, application_name, 0);
	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	if (PQstatus(conn) != CONNECTION_BAD)
		status = wait_for_connection(conn);
	if (status == PGRES_POLLING_OK)
		return conn;
	refused = pgerror_is_refusal(PQerrorMessage(conn));
	pgerror_copy_message(text, sizeof(text), PQerrorMessage(conn));
	err_set(err, refused ? ERR_CONFIG : ERR_LOST, "cannot connect to the database: %s",
		status == PGRES_POLLING_FAILED && text[0] ? text : "no answer in time");
	PQfinish(conn);
	return NULL;
}

/* Takes over result; NULL and err when it is none that a statement should have. */
static PGresult *check(PGconn *conn, PGresult *result, struct err *err)
{
	ExecStatusType status = PQresultStatus(result);
	char text[400];

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	if (PQstatus(conn) == CONNECTION_BAD) {
		pgerror_copy_message(text, sizeof(text), PQerrorMessage(conn));
		err_set(err, ERR_LOST, "the database connection was lost: %s", text);
	} else {
		pgerror_set(err, "the database says", result);
	}
	PQclear(result);
	return NULL;
}

/* ---- interrupts ---- */

/*
 * The server would not notice that we are gone: a statement that waits for a lock is carried out
 * when that is given, although whoever typed it has left. So it is cancelled first, as psql does.
 */
static PGcancel *volatile cancel_of_query;

/* Of a signal whose default it is to end us: that comes next, or at once when it is sent again. */
static void on_interrupt(int signo)
{
	PGcancel *cancel = cancel_of_query;
	char ignored[256];

	if (cancel)
		PQcancel(cancel, ignored, sizeof(ignored));	/* may be called from here */
	raise(signo);
}

static const int interrupts[] = { SIGINT, SIGTERM, SIGHUP };
#define INTERRUPTS (sizeof(interrupts) / sizeof(interrupts[0]))

/* Handlers of others, such as of who waits for sessions, and what is ignored, stay. */
static void heed_interrupts(struct sigaction before[INTERRUPTS])
{
	const struct sigaction action = {
		.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND | SA_NODEFER | SA_RESTART
	};

	for (size_t i = 0; i < INTERRUPTS; i++) {
		sigaction(interrupts[i], NULL, &before[i]);
		if (before[i].sa_handler == SIG_DFL)
			sigaction(interrupts[i], &action, NULL);
	}
}

static void forget_interrupts(const struct sigaction before[INTERRUPTS])
{
	for (size_t i = 0; i < INTERRUPTS; i++)
		sigaction(interrupts[i], &before[i], NULL);
}

/* ---- queries ---- */

PGresult *pgsync_query(PGconn *conn, const char *sql, int n, const char *const *values,
		       struct err *err)
{
	PGcancel *cancel = PQgetCancel(conn);
	struct sigaction before[INTERRUPTS];
	PGresult *result;

	cancel_of_query = cancel;
	heed_interrupts(before);
	result = n == 0 ? PQexec(conn, sql)
			: PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
	forget_interrupts(before);
	cancel_of_query = NULL;
	PQfreeCancel(cancel);
	return check(conn, result, err);
}

/* Until a result can be had without waiting; false when the time was up first. */
static bool wait_for_result(PGconn *conn, int64_t until)
{
	while (PQisBusy(conn)) {
		struct pollfd p = { .fd = PQsocket(conn), .events = POLLIN };
		int64_t left = until - now_ms();

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) > 0 && !PQconsumeInput(conn))
			return true;	/* PQgetResult() tells what is wrong */
	}
	return true;
}

PGresult *pgsync_query_within(PGconn *conn, const char *sql, int n, const char *const *values,
			      int64_t timeout_ms, struct err *err)
{
	PGresult *result = NULL, *more;
	int64_t until = now_ms() + timeout_ms;

	if (!PQsendQueryParams(conn, sql, n, NULL, values, NULL, NULL, 0))
		return check(conn, NULL, err);
	while (wait_for_result(conn, until)) {
		more = PQgetResult(conn);
		if (!more)
			return check(conn, result, err);
		PQclear(result);
		result = more;
	}
	PQclear(result);
	err_set(err, ERR_LOST, "the database did not answer within %d ms", (int)timeout_ms);
	return NULL;
}

/* Hands on what has come; the last result, without a row, is the caller's. */
static PGresult *take_rows(PGconn *conn, pgsync_row_fn *row_fn, void *arg, bool *stopped)
{
	PGcancel *cancel = PQgetCancel(conn);
	PGresult *last = NULL, *result;
	char ignored[256];

	while ((result = PQgetResult(conn))) {
		if (PQresultStatus(result) != PGRES_SINGLE_TUPLE) {
			PQclear(last);
			last = result;
			continue;
		}
		if (!*stopped && row_fn(arg, result) == -1) {
			*stopped = true;
			PQcancel(cancel, ignored, sizeof(ignored));
		}
		PQclear(result);
	}
	PQfreeCancel(cancel);
	return last;
}

int pgsync_each(PGconn *conn, const char *sql, int n, const char *const *values,
		pgsync_row_fn *row_fn, void *arg, struct err *err)
{
	PGcancel *cancel = PQgetCancel(conn);
	struct sigaction before[INTERRUPTS];
	PGresult *last = NULL;
	bool stopped = false;

	cancel_of_query = cancel;
	heed_interrupts(before);
	if (PQsendQueryParams(conn, sql, n, NULL, values, NULL, NULL, 0) &&
	    PQsetSingleRowMode(conn))
		last = take_rows(conn, row_fn, arg, &stopped);
	forget_interrupts(before);
	cancel_of_query = NULL;
	PQfreeCancel(cancel);
	if (stopped) {
		PQclear(last);
		return err_set(err, ERR_PERMANENT, "stopped: nobody takes the rows");
	}
	last = check(conn, last, err);
	PQclear(last);
	return last ? 0 : -1;
}

int pgsync_run(PGconn *conn, const char *sql, int n, const char *const *values, struct err *err)
{
	PGresult *result = pgsync_query(conn, sql, n, values, err);

	PQclear(result);
	return result ? 0 : -1;
}

int64_t pgsync_int(const PGresult *result, int column)
{
	return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}
