/*
 * What the control socket shows and asks of a pool, whoever runs it: the supervisor, or a test.
 * Facts are read, nothing is written: whatever changes something is an operation of the pool's.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "scoreboard/recent.h"
#include "scoreboard/scoreboard.h"

/*
 * All are given. Those that return int: 0, or -1 and err. What takes time goes on after they
 * return.
 */
struct pool_ops {
	/* facts */
	const struct config *(*config)(void *arg);		/* in force now */
	const char *(*role)(void *arg, int slot);		/* "worker" */
	unsigned (*crashes)(void *arg, int slot);		/* in a row */
	int64_t (*restart_in_ms)(void *arg, int slot);		/* -1: none is due */

	/* operations */
	void (*pause)(void *arg, bool paused);
	void (*drain)(void *arg);				/* as SIGTERM */
	void (*open_breaker)(void *arg, const char *reason);	/* until close_breaker() */
	void (*close_breaker)(void *arg);
	void (*set_log_level)(void *arg, enum log_level level);
	int (*reload)(void *arg, struct err *err);	/* as SIGHUP; its end is told later */
	int (*scale)(void *arg, int64_t workers, struct err *err);
	int (*recycle)(void *arg, int slot, struct err *err);	/* slot -1: all workers, rolling */
};

struct pool {
	const struct pool_ops *ops;
	void *arg;			/* theirs */
	const struct scoreboard *sb;
	const struct recent *recent;
};

static inline const struct config *pool_config(const struct pool *pool)
{
	return pool->ops->config(pool->arg);
}

#endif
