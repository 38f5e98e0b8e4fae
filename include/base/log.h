/*
 * One event, one line, one write(2): `TIME LEVEL ROLE/SLOT[PID]: message key=value`. Lines of
 * several processes never interleave. Nobody waits for the log: what cannot be written at once is
 * dropped, counted, and said when something can be written again. Never pass a key, a prompt, a
 * model's answer or a parameter value.
 */
#ifndef LOG_H
#define LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* What all processes of a pool have together; it may lie in shared memory. */
struct log_common {
	_Atomic int level;
	_Atomic uint32_t half_line;	/* the last write was cut off: the next begins a new line */
};

/*
 * What one process, and those that it forks without a ledger of their own, could not write.
 * Outlives the process: who comes after it says what it had no time to say.
 */
struct log_loss {
	_Atomic uint64_t dropped;	/* lines, in all */
	_Atomic uint64_t said;		/* of them, told in the log */
	_Atomic int64_t wall_ms;	/* when the last one was; 0: never */
	_Atomic int32_t reason;		/* of the last one, an errno */
	_Atomic uint32_t failing;	/* nothing was written since */
};

/*
 * Where lines go: "stderr", "syslog", or a file's path (appended to). Returns -1 and err when the
 * file cannot be opened; logging then continues as it was.
 */
int log_open(const char *to, enum log_level level, struct err *err);

/* Opens the path again, after a rotation. On -1, which is logged, lines go on into the old file. */
int log_reopen(void);

/* From now on a path that ends in a link, or in a file of several names, is refused. */
void log_refuse_links(bool refuse);

/* Makes the file this user's, if we have made it and may give it away. */
void log_chown(uid_t uid);

/* Whether the file could be opened again: 0, or -1 and err. */
int log_check(struct err *err);

/* The descriptor that lines go to; -1 for syslog. */
int log_fd(void);

/* Says who speaks from now on, after fork. slot -1: none. */
void log_identify(const char *role, int slot);

/* From now on level and half lines are kept there, shared by all processes of a pool. */
void log_share(struct log_common *common);
/* From now on this process, and what it forks, counts there what it could not write. */
void log_account(struct log_loss *loss);
/* Says what was dropped, if that can be written now; costs nothing when there is nothing to say. */
void log_catch_up(void);
/* Why lines are dropped, of the reason in a ledger: "No space left on device". */
const char *log_loss_reason(const struct log_loss *loss);

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
