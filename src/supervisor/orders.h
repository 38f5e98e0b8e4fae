/*
 * What is asked of the pool as a whole: by signals, by the control socket, by children that cannot
 * go on. Runs in the supervisor; whatever takes time (a drain, a rolling replacement) goes on after
 * the answer.
 */
#ifndef ORDERS_H
#define ORDERS_H

#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"
#include "control/pool.h"
#include "scoreboard/scoreboard.h"
#include "children.h"
#include "reload.h"

struct orders {
	struct children *children;
	struct reload *reload;
	struct scoreboard *sb;
	struct config *config;		/* in force; owned */

	int exit_status;		/* with which the pool ends */
	char reason[SCOREBOARD_TEXT];	/* why it ends with another status than 0 */
};

/* The pool as the control socket sees it; orders is its `arg`. */
extern const struct pool_ops orders_pool_ops;

/* Limits and children as configured. The caller fills all fields up to and including `config`. */
void orders_start(struct orders *o);
/* Workers finish what they have, or (at once) hand it back; then the pool ends. */
void orders_stop(struct orders *o, bool at_once);
/* Ends the pool with this exit status, unless it ends with another already. */
void orders_fail(struct orders *o, int status, const char *reason);
/* As reload_begin(); refused while the pool is stopping. */
int orders_reload(struct orders *o, bool awaited, struct err *err);
/* Takes fresh over and frees what was in force; all children are replaced. */
void orders_put_in_force(struct orders *o, struct config *fresh);

#endif
