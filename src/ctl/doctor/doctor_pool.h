/* gradingctl doctor: a pooler between us and the database. */
#ifndef DOCTOR_POOL_H
#define DOCTOR_POOL_H

#include <libpq-fe.h>

#include "config/config.h"
#include "doctor_report.h"

/*
 * Whether there is one, and whether config goes with that. conn was made from conninfo, and stays
 * open. config may be NULL: then nothing is known of what is wanted.
 */
void doctor_pooler(PGconn *conn, const char *conninfo, const struct config *config,
		   struct doctor_report *r);

#endif
