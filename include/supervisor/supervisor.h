/*
 * The parent: child slots, signals, the control socket, and one poll(2) it waits in. It calls no
 * libpq, libcurl or json-c, so no database and no provider can hang it.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "scoreboard/recent.h"
#include "scoreboard/scoreboard.h"

struct supervisor;

struct supervisor_options {
	const char *config_path;
	bool once;			/* drain the queue and exit */
	int64_t max_jobs;		/* with once: claim no more than so many; 0: no limit */
	const char *pid_file;		/* NULL: none */
	int ready_fd;			/* -d: one line for the waiting parent when up or failed; -1 without */
};

/* Takes config over. Returns the exit status of the program. */
int supervisor_run(struct config *config, struct scoreboard *sb, const struct supervisor_options *options);

/* What the control socket's commands see and ask. Each returns 0, or -1 and err. */
const struct config *supervisor_config(const struct supervisor *s);
struct scoreboard *supervisor_scoreboard(const struct supervisor *s);
const struct recent *supervisor_recent(const struct supervisor *s);
unsigned supervisor_restarts(const struct supervisor *s, int slot);	/* crashes in a row */
int64_t supervisor_restart_in_ms(const struct supervisor *s, int slot);	/* -1: none is due */
void supervisor_pause(struct supervisor *s, bool paused);
void supervisor_close_breaker(struct supervisor *s);
void supervisor_drain(struct supervisor *s);				/* as SIGTERM */
int supervisor_reload(struct supervisor *s, struct err *err);		/* as SIGHUP; 0: begun, control_answer() follows */
int supervisor_scale(struct supervisor *s, int64_t workers, struct err *err);
int supervisor_recycle(struct supervisor *s, int slot, struct err *err);	/* slot -1: all workers, rolling */

#endif
