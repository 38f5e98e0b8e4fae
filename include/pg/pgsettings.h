/*
 * The settings of Postgres under which the daemon's statements run: pg.c's and gradingctl doctor's.
 */
#ifndef PGSETTINGS_H
#define PGSETTINGS_H

/* Sets up a session for the statements' plans, once for all of them. */
extern const char pgsettings_session[];

/*
 * Go in front of each statement, in its transaction, where no session is ours; in this order. The
 * first is needed only where transactions do not begin as READ COMMITTED.
 */
extern const char pgsettings_isolation[];
extern const char pgsettings_transaction[];

#endif
