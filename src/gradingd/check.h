/*
 * `gradingd -t`: tries what the configuration names, in a child of its own, and says how each went.
 */
#ifndef CHECK_H
#define CHECK_H

#include "config/config.h"

/*
 * Database, schema, pool mode and rater, each as one line on standard output. Returns an exit
 * status: 0, 75 when the database is away, 78 when something must be changed first.
 */
int check_main(const struct config *config);

/*
 * A child's, as roles.h wants it of a trial: opens rater and fallback as -t does, and knocks at the
 * database. One that is away will do.
 */
void check_reload_main(const struct config *config, int fd) __attribute__((noreturn));

#endif
