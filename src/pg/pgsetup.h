/*
 * What follows when a connection to Postgres is made: the schema's version is asked for, and where
 * the session is ours it is set up: settings, prepared statements, LISTEN.
 */
#ifndef PGSETUP_H
#define PGSETUP_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/err.h"
#include "pg/pgstatement.h"
#include "pgrequest.h"

/* Called once all steps are answered, unless the connection is lost first. */
typedef void pgsetup_done_fn(void *arg);

/* Embedded in its owner, whose requests point to it. */
struct pgsetup {
	bool session;			/* no transaction pooler is between */
	bool brief;			/* as in struct pg_options */
	const struct statement *statements;	/* to be prepared */
	int nstatements;
	const char *listen;		/* channel to listen to; NULL: none */
	int schema_version;		/* lowest version of the schema that will do */
	pgsetup_done_fn *done;
	void *arg;
	bool read_committed;		/* that is how a transaction begins there */
	struct err err;			/* first thing that went wrong; ERR_NONE: nothing */
};

/*
 * Puts all steps into libpq's buffer, and into the list. False when the connection takes nothing
 * any more.
 */
bool pgsetup_send(struct pgsetup *s, PGconn *conn, struct pgrequests *list);

#endif
