/* What gradingctl's commands share: the command line as parsed, how they end, what they open. */
#ifndef CTL_H
#define CTL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/exit_code.h"
#include "config/config.h"
#include "ctl/ctl_term.h"

#define EXIT_INTERRUPTED 130	/* as shells report a SIGINT */

/* Options with names of their own; which command takes which stands in the table in gradingctl.c. */
enum ctl_option { CTL_JSON, CTL_STATUS, CTL_WAIT, CTL_BATCH_SIZE, CTL_PRIORITY, CTL_SINCE, CTL_MODEL, CTL_PROMPT,
		  CTL_ALL, CTL_FAILED, CTL_PENDING, CTL_PROCESSING, CTL_LIMIT, CTL_OPTIONS };

struct ctl {
	const char *config_path, *socket_path;	/* -c, -s; NULL when not given */
	char *conninfo;				/* -d; NULL when not given; may hold a password */
	int64_t option[CTL_OPTIONS];		/* the value given, 1 for an option without, or the default */
	const char *text[CTL_OPTIONS];		/* of those whose value is a text; NULL when not given */
	struct config *config;			/* ctl_load_config()'s */
	struct term out, err;			/* standard output and standard error */
};

/* Commands; each returns the exit status. args: n words behind its name. */
typedef int ctl_command_fn(struct ctl *ctl, char **args, int n);
ctl_command_fn ctl_migrate, ctl_enqueue, ctl_progress, ctl_ratings, ctl_jobs, ctl_retry, ctl_cancel, ctl_cache, ctl_doctor;

/* Tells the user on standard error. ctl_fail() returns the exit status that goes with err. */
void ctl_complain(struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int ctl_fail(struct ctl *ctl, const struct err *err);

/*
 * Loads -c FILE or the default configuration into ctl->config, once. 0, or -1 and err. A default that
 * does not exist is no error: ctl->config then stays NULL.
 */
int ctl_load_config(struct ctl *ctl, struct err *err);

/* The control socket's path: -s, or the configuration's. NULL and err. */
const char *ctl_socket_path(struct ctl *ctl, struct err *err);

/*
 * Connects to the database of -d, of the configuration, or of libpq's environment. NULL and err.
 * direct: past a pooler, where the configuration names a way. ctl_database() also checks the schema.
 */
PGconn *ctl_connect(struct ctl *ctl, bool direct, struct err *err);
PGconn *ctl_database(struct ctl *ctl, struct err *err);

#endif
