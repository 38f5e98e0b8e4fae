/*
 * What Postgres and libpq say went wrong, sorted and in words; shared by pg.c and pgsync.c. Pure.
 */
#ifndef PGERROR_H
#define PGERROR_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * A message of libpq on one line, its own lines parted by "; ", without the LOCATION of
 * PQERRORS_VERBOSE.
 */
void pgerror_copy_message(char *out, size_t size, const char *message);

/*
 * True when a connection was refused for good: wrong password or user, no such database, no right.
 * The message must have been made under PQERRORS_VERBOSE, because libpq reports no SQLSTATE apart.
 */
bool pgerror_is_refusal(const char *message);

/* True when a statement lost out to others' locks and may be sent again; message as above. */
bool pgerror_is_lock_conflict(const char *message);

/*
 * Whether a new session may well do what this one refuses, since it began under other
 * circumstances.
 */
bool pgerror_is_of_session(const PGresult *result);

/* Whether the transaction began with another isolation level than a query in it asked for. */
bool pgerror_is_of_level(const PGresult *result);

/*
 * What the values of a statement caused is permanent; a missing table or right is an operator's
 * (ERR_CONFIG); everything else may go better next time. sqlstate may be NULL.
 */
enum err_kind pgerror_kind(const char *sqlstate);

/*
 * Fills *err with "WHAT: the server's message (SQLSTATE ...)"; returns -1. ERR_LOST where it was
 * the last that the server said.
 */
int pgerror_set(struct err *err, const char *what, const PGresult *result);

/*
 * A connection string that libpq can read; otherwise -1 and err (ERR_CONFIG), which quotes nothing
 * of it.
 */
int pgerror_check_conninfo(const char *conninfo, struct err *err);

#endif
