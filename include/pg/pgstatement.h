/* A statement that the daemon sends to Postgres, and how its answer comes. */
#ifndef PGSTATEMENT_H
#define PGSTATEMENT_H

#include <libpq-fe.h>

#include "base/err.h"

#define STATEMENT_MAX_PARAMS 31

/* All of it is constant. */
struct statement {
	const char *name;	/* name for logs, and that under which it is prepared */
	const char *text;
	int nparams;
};

/*
 * result is the statement's (freed by pg.c after the call), or NULL and err: ERR_LOST when the
 * connection went away and nobody knows whether it was carried out, ERR_RETRY when the server
 * rolled it back and it may be sent again, ERR_PERMANENT when its values are at fault, ERR_CONFIG
 * when a table or a right is missing.
 */
typedef void pg_answer_fn(void *arg, const PGresult *result, const struct err *err);

#endif
