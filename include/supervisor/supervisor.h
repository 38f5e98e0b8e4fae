/*
 * The parent: child slots, signals, the control socket, and one poll(2) it waits in. It calls no
 * libpq, libcurl or json-c, so no database and no provider can hang it; what its children do is
 * handed in.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "scoreboard/scoreboard.h"
#include "supervisor/roles.h"

struct supervisor_options {
	const char *config_path;
	bool once;			/* drain the queue and exit */
	int64_t max_jobs;		/* with once: claim no more than so many; 0: no limit */
	const char *pid_file;		/* NULL: none */
	int ready_fd;			/* -d: for a line to the waiting parent; -1 without */
	const struct role_ops *roles;	/* ROLE_COUNT of them, by enum role */
	trial_fn *trial;
};

/* Takes config over. Returns the exit status of the program. */
int supervisor_run(struct config *config, struct scoreboard *sb,
		   const struct supervisor_options *options);

#endif
