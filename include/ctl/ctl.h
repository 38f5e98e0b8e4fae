/* What gradingctl's commands share: the command line as parsed, how they end, what they open. */
#ifndef CTL_H
#define CTL_H

#include <libpq-fe.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/exit_code.h"
#include "config/config.h"
#include "ctl/term.h"

#define EXIT_INTERRUPTED 130	/* as shells report a SIGINT */

/*
 * Options with names of their own: ctl/options.h. Which command takes which, the table of commands
 * says.
 */
enum ctl_option {
	CTL_JSON,
	CTL_CSV,
	CTL_STATUS,
	CTL_WAIT,
	CTL_BATCH_SIZE,
	CTL_PRIORITY,
	CTL_SINCE,
	CTL_AFTER,
	CTL_PHRASE,
	CTL_MODEL,
	CTL_PROMPT,
	CTL_ALL,
	CTL_FAILED, CTL_PENDING, CTL_PROCESSING, CTL_INCOMPLETE, CTL_LIMIT, CTL_OPTIONS
};

struct ctl {
	const char *config_path;	/* -c; NULL when not given */
	const char *socket_path;	/* -s; NULL when not given */
	char *conninfo;			/* -d, which may hold a password; NULL when not given */
	int64_t option[CTL_OPTIONS];	/* number given, 1 for a flag given, or the default */
	const char *text[CTL_OPTIONS];	/* text given; NULL: none, or the option takes a number */
	struct config *config;		/* what was loaded; NULL: nothing yet, or no file */
	char asked[PATH_MAX];		/* socket of the daemon that ctl_ask() asked last */
	bool link_told;			/* that it was found by its link */
	struct term out, err;		/* standard output and standard error */
};

/* Tells the user on standard error, in one line that may quote anything: it is made harmless. */
void ctl_complain(struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Tells the user what went wrong; returns the exit status that goes with err's kind. */
int ctl_fail(struct ctl *ctl, const struct err *err);

/* The same of a session's id, as it was typed: nothing is kept of it. Returns EXIT_FAILED. */
int ctl_unknown_session(struct ctl *ctl, const char *id);

/* Where *err says that a right is missing: also which of our roles has it. Before PQfinish(). */
void ctl_name_right(const PGconn *conn, const char *role, struct err *err);

/*
 * Loads -c FILE or the default configuration into ctl->config, once. Returns 0, or -1 and err. A
 * default file that does not exist is no error: ctl->config then stays NULL.
 */
int ctl_load_config(struct ctl *ctl, struct err *err);

/* False with -d alone, when it might be a daemon of another database that answers. */
bool ctl_may_ask_daemon(const struct ctl *ctl);

/*
 * Connects to the database of -d, of the configuration, or of libpq's environment. The connection
 * is the caller's, for PQfinish(). direct: past a pooler, where the configuration names a way. NULL
 * and err: ERR_CONFIG when an operator must act, ERR_LOST when nobody is there.
 */
PGconn *ctl_connect(struct ctl *ctl, bool direct, struct err *err);

/*
 * The same, not past a pooler, and the schema is one that knows all functions of gradingctl (else
 * ERR_CONFIG).
 */
PGconn *ctl_database(struct ctl *ctl, struct err *err);

/* Frees what the command line and the configuration left behind; ctl_complain() still works. */
void ctl_free(struct ctl *ctl);

#endif
