/*
 * What follows when a connection to Postgres is made: the schema's version is asked for, and where
 * the session is ours it is set up: settings, prepared statements, LISTEN.
 */
#ifndef PGSETUP_H
#define PGSETUP_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/err.h"
#include "pg/pg.h"
#include "pgrequest.h"

/* Called once all steps are answered, unless the connection is lost first. */
typedef void pgsetup_done_fn(void *arg);

/* Embedded in its owner, whose lists of requests point to it. */
struct pgsetup {
	const struct pg_options *options;
	struct err err;			/* the first thing that went wrong; ERR_NONE: nothing */
	pgsetup_done_fn *done;
	void *arg;
};

/*
 * Puts all steps into libpq's buffer, and into the list. False when the connection takes nothing
 * any more.
 */
bool pgsetup_send(struct pgsetup *s, PGconn *conn, struct pgrequests *list,
		  const struct pg_options *options, pgsetup_done_fn *done, void *arg);

#endif
