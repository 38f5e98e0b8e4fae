/*
 * What the supervisor's children do, as main hands it in: the supervisor itself knows no role by
 * more than its name, and calls none of their libraries.
 */
#ifndef ROLES_H
#define ROLES_H

#include "config/config.h"
#include "process/child.h"
#include "scoreboard/slots.h"

/* What a child of this role does from its fork on. */
struct role_ops {
	const char *name;		/* in logs, titles and `show workers` */
	int (*main)(struct child *c);	/* returns the child's exit status */
};

/*
 * A child's, before a reload: tries what the configuration to come needs of libraries, writes
 * TRIAL_OK, or what an operator must change, into fd, and exits.
 */
typedef void trial_fn(const struct config *fresh, int fd);
#define TRIAL_OK "ok"

#endif
