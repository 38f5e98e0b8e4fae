/* What every child of the supervisor does and has, whatever its role. */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>

#include "base/loop.h"
#include "config/config.h"
#include "scoreboard/scoreboard.h"

struct child {
	int index;			/* of its slot */
	struct slot *slot;
	struct scoreboard *sb;
	const struct config *config;
	struct loop *loop;
	bool once;			/* drain the queue and exit */
	char identity[IDENTITY_SIZE];

	/* set by the role */
	void (*on_wake)(void *arg);
	/* at_once: QUIT, or the supervisor is gone; else TERM. */
	void (*on_stop)(void *arg, bool at_once);
	void *arg;
};

/*
 * Just after fork, signals still blocked. Fills the rest of *c; only index, sb, config and once are
 * given.
 */
void child_begin(struct child *c, const char *role, int deadman_fd);

/* One turn of the loop, at most max_wait_ms long; stamps the beat. */
void child_turn(struct child *c, int64_t max_wait_ms);

/* The slot's state, told to the supervisor when it changes. */
void child_state(struct child *c, enum slot_state state);

/*
 * The database answered, or did not. Said once in the log for the whole pool. child_database_down()
 * returns the status to exit with, or -1 to go on trying: what an operator must mend ends a pool
 * that was never up, and being away ends one that only wants to drain the queue.
 */
void child_database_up(struct child *c);
int child_database_down(struct child *c, bool refused, const char *why);

#endif
