/*
 * Rows that a migration changes, changed ahead of it: in small steps that each hold their locks for
 * an instant, so that an application which has many rows is not kept waiting. The file's own
 * statement finds nothing left to do then; by psql -f it does all of it at once.
 */
#ifndef MIGRATE_AHEAD_H
#define MIGRATE_AHEAD_H

#include <libpq-fe.h>
#include <stdint.h>

#include "base/err.h"

/* Before the file of that version. Rows that others keep locked are left to the file in the end. */
int migrate_ahead(PGconn *conn, int version, struct err *err);

/*
 * How many pages the next step takes, after one of so many that took so long: aims at a fraction of
 * what a person notices. Pure.
 */
int64_t migrate_ahead_pages(int64_t pages, int64_t took_ms);

#endif
