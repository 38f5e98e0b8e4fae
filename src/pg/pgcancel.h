/* Asking the server to leave off what a connection is at, before that connection is given up. */
#ifndef PGCANCEL_H
#define PGCANCEL_H

#include <libpq-fe.h>

/*
 * Returns at once: the request goes over a connection of its own, and libpq waits for that. Nothing
 * follows but what the server then says on conn. conn may be closed meanwhile.
 */
void pgcancel_send(PGconn *conn);

#endif
