/*
 * The pool's children: starting, stopping and reaping them, the hung ones, rolling replacement.
 * Runs in the supervisor. When a crashed one comes back is restart.c's to decide; what an end means
 * for the whole pool is its owner's, who is called back.
 */
#ifndef CHILDREN_H
#define CHILDREN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "config/config.h"
#include "scoreboard/scoreboard.h"
#include "supervisor/roles.h"
#include "restart.h"

struct children;

struct child_slot {
	struct children *all;
	int index;
	pid_t pid;			/* 0: none */
	bool wanted;			/* to be there, and to be started again when it ends */
	bool stopping;			/* was asked to stop */
	bool aborted;			/* was sent ABRT for a stale beat */
	bool stale;			/* runs an older configuration, or is to be recycled */
	struct restart_history history;
	uint64_t settled;		/* jobs of the slot when this child began */
	struct loop_timer timer;	/* without a child: its start; with one: KILL */
};

/* Their owner, called back with `arg`. */
struct children_owner {
	/* In a child, just after its fork: closes what it must not have. */
	void (*after_fork)(void *arg);
	/* The pool cannot go on: it is to end with this exit status. */
	void (*unfit)(void *arg, int status, const char *reason);
	void *arg;
};

struct children {
	struct children_owner owner;
	const struct role_ops *roles;
	struct scoreboard *sb;
	struct loop *loop;
	const struct config *config;	/* in force, for those that start; the owner's */
	int deadman_fd;			/* watched by them: end of file means an orphan */
	bool once;			/* they drain the queue and end */
	bool stopping;			/* none is started any more */
	bool up;			/* all were at work at the same time, once */
	struct child_slot slots[SLOT_COUNT];
	struct loop_timer beat_timer;
};

/*
 * Starts the janitor and as many workers as the configuration says. Given are all fields up to
 * `once`.
 */
void children_start(struct children *c);
/* Starts and drains workers until n are there (none while stopping). */
void children_scale(struct children *c, int64_t n);
/* All that run are replaced by children of this configuration, and as many as it says. */
void children_replace(struct children *c, const struct config *config);
/* Replaces one child, or all workers and the publisher (slot -1). */
void children_recycle(struct children *c, int slot);
/* SIGCHLD. */
void children_reap(struct children *c);
/* A child is at work: a stale one may go. True when all are at work for the first time. */
bool children_one_is_ready(struct children *c);
/* Starts the publisher where the janitor has found something to publish, else lets it go. */
void children_publish(struct children *c);
/*
 * Workers first; the janitor goes last, since it puts back what they leave behind, and with it the
 * publisher, which carries what they have settled.
 */
void children_stop(struct children *c, bool at_once);

bool children_any(const struct children *c);		/* alive, or still to be started */
bool children_has(const struct children *c, int slot);	/* alive */
/*
 * Why one that is wanted has never been at work, into out (SCOREBOARD_TEXT bytes), if one said so.
 */
bool children_explain(const struct children *c, char *out);
int64_t children_restart_in_ms(const struct children *c, int slot);	/* -1: none is due */

void children_signal(struct children *c, int signo);	/* to all */
void children_wake_workers(const struct children *c);

#endif
