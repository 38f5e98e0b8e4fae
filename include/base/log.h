/*
 * One event, one line, one write(2): `TIME LEVEL ROLE/SLOT[PID]: message key=value`. Lines of several
 * processes never interleave. Never pass a key, a prompt, a model's answer or a parameter value.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * Where lines go: "stderr", "syslog", or a file's path (appended to). Returns -1 and err when the file
 * cannot be opened; logging then continues as it was.
 */
int log_open(const char *to, enum log_level level, struct err *err);
int log_reopen(void);			/* after a rotation: opens the path again */
void log_give(uid_t uid);		/* the file becomes this user's, if we have made it and may give it away */
int log_check(struct err *err);		/* whether it could be opened again; -1 and err */
int log_fd(void);			/* the descriptor lines go to, or -1 for syslog */
void log_identify(const char *role, int slot);	/* after fork: who speaks; slot -1 for none */

void log_set_level(enum log_level level);
/* From now on the level is read from this cell, shared by all processes of a pool. */
void log_share_level(_Atomic int *level);
enum log_level log_get_level(void);
int log_level_parse(const char *name);		/* enum log_level, or -1 */
const char *log_level_name(enum log_level level);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Last words: a broken invariant. Logs and exits with status 1; the supervisor starts a fresh child. */
void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
