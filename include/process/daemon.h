/* -d: into the background, with a pid file, and a word from the pool before the command returns. */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "config/config.h"

/*
 * Forks into the background. In the parent it never returns: it waits for one line on the pipe,
 * prints what is not "ok" to stderr, and exits with the status the line begins with. In the daemon
 * it returns the descriptor to write that line to ("0 ok\n", "0 it waits\n", "78 REASON\n"), or -1
 * and err.
 */
int daemon_start(struct err *err);
/* The daemon's word to the waiting parent; closes fd. fd -1 is fine. */
void daemon_report(int fd, int status, const char *reason);

/*
 * Where the log goes: as configured, but a daemon's "stderr" is syslog, since it has no standard
 * error.
 */
const char *daemon_log_target(const struct config *config, bool daemon);

/*
 * Opens the log there, as root in root's places alone, else as pool.user. As log_open().
 */
int daemon_open_log(const struct config *config, bool daemon, struct err *err);

/* Standard input, output and error to /dev/null. */
void daemon_leave_terminal(void);

/*
 * Writes our pid into path (created, mode 0644), which is no link; once. -1 and err. The other one
 * takes it away, if it is still ours; without one it does nothing.
 */
int pid_file_write(const char *path, struct err *err);
void pid_file_remove(void);

/*
 * No core file of this process or its children holds memory, be it written or piped to a program.
 * (They stay dumpable otherwise: a debugger and a leak checker of the same user can attach, and
 * what runs as that user can read the configuration anyway.)
 */
void daemon_forbid_cores(void);

/*
 * Drops root for `user` ("": stays), giving it those of paths (NULL-terminated, what we made) that
 * lie in root's places, and the log. -1 and err, also when that user could not open the log again.
 */
int drop_privileges(const char *user, const char *const *paths, struct err *err);

#endif
