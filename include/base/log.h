/*
 * One event, one line, one write(2): `TIME LEVEL ROLE/SLOT[PID]: message key=value`. Lines of
 * several processes never interleave. Never pass a key, a prompt, a model's answer or a parameter
 * value.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * Where lines go: "stderr", "syslog", or a file's path (appended to). Returns -1 and err when the
 * file cannot be opened; logging then continues as it was.
 */
int log_open(const char *to, enum log_level level, struct err *err);

/* Opens the path again, after a rotation. On -1, which is logged, lines go on into the old file. */
int log_reopen(void);

/* Makes the file this user's, if we have made it and may give it away. */
void log_chown(uid_t uid);

/* Whether the file could be opened again: 0, or -1 and err. */
int log_check(struct err *err);

/* The descriptor that lines go to; -1 for syslog. */
int log_fd(void);

/* Says who speaks from now on, after fork. slot -1: none. */
void log_identify(const char *role, int slot);

/* From now on the level is kept in this cell, shared by all processes of a pool. */
void log_share_level(_Atomic int *level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* The level of that name ("error", "warn", "info", "debug"), or -1. */
int log_level_parse(const char *name);
const char *log_level_name(enum log_level level);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Last words: a broken invariant. Logs and exits with EXIT_FAILED: a fresh child is started. */
void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
