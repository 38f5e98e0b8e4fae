/* How a connection to Postgres begins, whether one waits for it or not. */
#ifndef PGCONNECT_H
#define PGCONNECT_H

#include <libpq-fe.h>
#include <stdint.h>

/*
 * Begins to connect, as PQconnectStart() does; NULL when out of memory. first_host: of several
 * hosts in conninfo (which must be one that libpq can read) the one to begin with, counted from 0
 * and round about.
 */
PGconn *pgconnect_start(const char *conninfo, const char *application_name, unsigned first_host);

/* For how long an attempt may take in all: the conninfo's connect_timeout, within bounds. */
int64_t pgconnect_timeout_ms(const char *conninfo);

#endif
