/*
 * The settings of Postgres under which the daemon's statements run: pg.c's and gradingctl doctor's.
 */
#ifndef PGSETTINGS_H
#define PGSETTINGS_H

/* Sets up a session for the statements' plans, once for all of them. */
extern const char pgsettings_session[];
/* After it, on a connection whose statements may be held up by others. */
extern const char pgsettings_session_brief[];

/*
 * Go in front of each statement, in its transaction, where no session is ours; in this order. The
 * first is needed only where transactions do not begin as READ COMMITTED.
 */
extern const char pgsettings_isolation[];
extern const char pgsettings_transaction[];
extern const char pgsettings_transaction_brief[];	/* instead of it */

#endif
