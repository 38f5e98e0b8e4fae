/* Asking the database within a bound of time; gradingctl doctor alone. It judges nothing. */
#include "doctor_ask.h"

#include "base/clock.h"
#include "pg/pgsettings.h"
#include "pg/pgsync.h"

#define QUESTION_MS 5000		/* for one of them */

PGresult *questions_ask(struct questions *q, const char *sql, int n, const char *const *values,
			struct err *err)
{
	int64_t left = q->until_ms - now_ms();

	return pgsync_query_within(q->conn, sql, n, values, left < QUESTION_MS ? left : QUESTION_MS,
				   err);
}

int questions_run(struct questions *q, const char *sql, struct err *err)
{
	PGresult *result = questions_ask(q, sql, 0, NULL, err);

	PQclear(result);
	return result ? 0 : -1;
}

/*
 * Shorter than QUESTION_MS: what the server gives up by itself leaves a connection that can go on.
 */
static int limit(struct questions *q, struct err *err)
{
	return questions_run(q, "SELECT set_config('statement_timeout', '4500', true), "
			     "set_config('lock_timeout', '2000', true)", err);
}

static int begin(struct questions *q, struct err *err)
{
	return questions_run(q, "BEGIN", err) == -1 ? -1 : limit(q, err);
}

int questions_begin_as_daemon(struct questions *q, struct err *err)
{
	if (questions_run(q, "BEGIN", err) == -1)
		return -1;
	if (q->session && questions_run(q, pgsettings_session, err) == -1)
		return -1;
	return limit(q, err);
}

void questions_end(struct questions *q)
{
	PGTransactionStatusType status = PQtransactionStatus(q->conn);
	struct err ignored;

	if (status != PQTRANS_IDLE && status != PQTRANS_ACTIVE)
		questions_run(q, "ROLLBACK", &ignored);
}

PGresult *questions_ask_apart(struct questions *q, const char *sql, int n,
			      const char *const *values, struct err *err)
{
	PGresult *result = begin(q, err) == -1 ? NULL : questions_ask(q, sql, n, values, err);

	questions_end(q);
	return result;
}

bool questions_can_go_on(const struct questions *q)
{
	return PQstatus(q->conn) == CONNECTION_OK && PQtransactionStatus(q->conn) == PQTRANS_IDLE;
}
