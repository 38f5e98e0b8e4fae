/*
 * One asynchronous connection to Postgres in pipeline mode: connecting, preparing, sending,
 * waiting, and coming back after a loss all happen in the loop; nothing here blocks but name
 * resolution inside libpq. Behind a transaction pooler one statement is on its way at a time.
 * Whoever sends a statement gets exactly one answer for it. Children only.
 */
#ifndef PG_H
#define PG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "pg/pgstatement.h"

struct pg;

enum pg_trouble {
	PG_AWAY,	/* cannot be reached, or went away: it is tried again by itself */
	PG_REFUSED,	/* reached, but an operator must act: wrong password, old schema */
};

struct pg_events {
	void (*ready)(void *arg);	/* connected, schema checked, statements prepared */
	/* Called for each failed attempt and each loss. The next attempt is already scheduled. */
	void (*down)(void *arg, enum pg_trouble trouble, const struct err *err);
	void (*notified)(void *arg);	/* a NOTIFY came; NULL when nothing is listened to */
};

struct pg_options {
	const char *conninfo;
	const char *application_name;
	bool session;		/* no transaction pooler between: what a session sets up lasts */
	bool brief;		/* statements and their locks get little time: 5 s, 0.5 s */
	const char *listen;	/* channel to listen to; NULL: none */
	const struct statement *statements;	/* prepared at connect when session is set */
	int nstatements;
	int schema_version;	/* lowest version of the schema that will do */
};

/* Starts connecting in the next turn. Options and what they point to must outlive it. */
struct pg *pg_new(struct loop *loop, const struct pg_options *options,
		  const struct pg_events *events, void *arg);
/*
 * Closes the connection; requests without an answer are forgotten without a call. For what is still
 * on its way it may wait for 800 ms: the server is asked to leave that off. NULL is fine.
 */
void pg_free(struct pg *pg);

bool pg_is_ready(const struct pg *pg);

/*
 * params: the statement's nparams values in binary (pgbinary.h), copied. The answer's columns are
 * binary too. Returns -1 (and calls nothing) when not ready.
 */
int pg_send(struct pg *pg, const struct statement *statement, const struct buf *params,
	    pg_answer_fn *answer, void *arg);

/*
 * The pid of the server process, as the peer gave it; a pooler gives another than the server's own.
 */
int pg_backend_pid(const struct pg *pg);

/* How often so far, for the counters. */
struct pg_counts {
	uint64_t statements;	/* statements sent, those of the set-up included */
	uint64_t connects;	/* connections that became ready */
	uint64_t lost;		/* attempts that failed, and connections that were lost */
};
struct pg_counts pg_counts(const struct pg *pg);

#endif
