/*
 * The statements of one connection that want an answer, oldest first: sent ones, and behind a
 * transaction pooler those that wait for their turn.
 */
#ifndef PGREQUEST_H
#define PGREQUEST_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "pg/pgstatement.h"

/*
 * What goes in front of a statement: nothing where the session is ours, else the settings of its
 * transaction, and before them its level where it would begin with another. As a number, that of
 * the statements.
 */
enum preface { PREFACE_NONE, PREFACE_SETTINGS, PREFACE_LEVEL };

struct pgrequest {
	struct pgrequest *next;
	const struct statement *statement;	/* NULL for a step of the set-up */
	pg_answer_fn *answer;
	void *arg;
	PGresult *result;		/* what tells the outcome, as far as it has come */
	int64_t sent_ms;		/* by now_ms(); 0: waits for its turn */
	int prefaces;			/* answers that are still to come before its own */
	struct buf *params;		/* copied values of one that waits; NULL: none */
};

struct pgrequests {
	struct pgrequest *head, **tail;
	uint64_t sent;			/* number of those sent so far, for the counters */
};

void pgrequests_init(struct pgrequests *list);

/* Adds one at the end; it is the list's. */
struct pgrequest *pgrequests_add(struct pgrequests *list, const struct statement *statement,
				 pg_answer_fn *answer, void *arg);

/*
 * It went into libpq's buffer, with a sync of its own: each statement is a transaction by itself.
 */
void pgrequests_mark_sent(struct pgrequests *list, struct pgrequest *r);

/* Takes the oldest off the list, for pgrequest_free(). There must be one. */
struct pgrequest *pgrequests_pop(struct pgrequests *list);

/* The name of its statement, for messages; "set-up" for a step of that. */
const char *pgrequest_name(const struct pgrequest *r);

void pgrequest_free(struct pgrequest *r);

/* Copies the values of its statement, to be sent later. */
void pgrequest_keep_params(struct pgrequest *r, const struct buf *params);

/* Takes a result over: of several the first tells all, unless an error follows it. */
void pgrequest_keep_result(struct pgrequest *r, PGresult *result);

/*
 * Puts a statement into libpq's buffer: by name where the session has it prepared, else as text
 * behind what comes first, which gives it little time where it is brief. False when the connection takes nothing any more.
 */
bool pgrequest_write(PGconn *conn, enum preface preface, bool brief, const struct statement *st,
		     const struct buf *params);

#endif
