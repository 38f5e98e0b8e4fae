/* A session's grade as a whole, for people. */
#ifndef OVERALL_H
#define OVERALL_H

#include <libpq-fe.h>

#include "ctl/term.h"

/*
 * Prints how the session (a uuid) was graded as a whole, as grading_whole() tells; nothing where it
 * was not, or this role may not know, or the database has no such function yet.
 */
void overall_print(const struct term *out, PGconn *conn, const char *session);

#endif
