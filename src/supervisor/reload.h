/*
 * A reload of the configuration: read, checked, tried by a child of its own, and then handed to who
 * puts it in force. Runs in the supervisor, which goes on meanwhile; one reload at a time.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "config/config.h"
#include "scoreboard/shared_text.h"
#include "supervisor/roles.h"

/* Who asked for it, called back with `arg`. */
struct reload_owner {
	/* In the child that tries, just after its fork: closes what it must not have. */
	void (*after_fork)(void *arg);
	/*
	 * The end of a reload: fresh is the callee's to put in force; or it is NULL, and err says
	 * why.
	 */
	void (*over)(void *arg, struct config *fresh, const struct err *err);
	void *arg;
};

struct reload {
	struct reload_owner owner;
	struct loop *loop;
	const char *config_path;
	bool daemon;			/* the log goes where a daemon's goes */
	trial_fn *trial;

	struct config *fresh;		/* being tried; NULL: no reload is under way */
	pid_t pid;			/* of the child that tries */
	int fd;				/* what it says comes from here */
	char said[SCOREBOARD_TEXT];
	size_t len;
	struct loop_timer timer;
};

/*
 * Begins to put what the file says now in the place of `current`. Returns 0, and over() follows
 * within seconds; or -1 and err, and over() was called already. One that comes while another is
 * being tried takes its place, since the file may have changed. awaited: somebody waits for the
 * answer, so that a machine that is too busy gets less time. The caller fills all fields up to and
 * including `trial`.
 */
int reload_begin(struct reload *r, const struct config *current, bool awaited, struct err *err);
/* Nothing follows; fine when there is none. */
void reload_cancel(struct reload *r);
/* Another child, after its fork: closes what belongs to the reload under way, if any. */
void reload_forget(const struct reload *r);

#endif
