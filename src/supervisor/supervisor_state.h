/*
 * The supervisor's state, shared by the files it is made of: supervisor.c (its life, signals, being up),
 * children.c (starting, stopping, reaping children), orders.c (what the control
 * socket asks), reload.c (trying a configuration before a reload). For them alone; everyone else
 * includes supervisor.h.
 */
#ifndef SUPERVISOR_STATE_H
#define SUPERVISOR_STATE_H

#include <limits.h>

#include "base/loop.h"
#include "control/server.h"
#include "supervisor/supervisor.h"
#include "restart.h"

struct child_slot {
	struct supervisor *s;
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

/* A reload that waits for the word of a child. */
struct trial {
	struct config *fresh;		/* to be in force; NULL: no trial is under way */
	pid_t pid;
	int fd;				/* what it says comes from here */
	char said[SCOREBOARD_TEXT];
	size_t len;
	struct loop_timer timer;
};

struct supervisor {
	struct supervisor_options options;
	struct config *config;
	struct scoreboard *sb;
	struct loop *loop;
	struct control *control;
	char directory[PATH_MAX];	/* of the socket, if we made it; else "" */
	int deadman[2];			/* children watch [0]; only we hold [1] */
	int ready_fd;
	struct child_slot slots[SLOT_COUNT];
	struct trial trial;
	struct loop_timer beat_timer, patience_timer, watchdog_timer;
	bool stopping, up;
	int exit_status;
	char reason[SCOREBOARD_TEXT];	/* why it ends with another status than 0 */
	struct recent recent;
	struct loop_timer recent_timer;
};

/* Supervisor only: a timer that cannot be set is logged, since nothing may end the parent. */
void supervisor_set_timer(struct supervisor *s, struct loop_timer *timer, int64_t delay_ms, loop_timer_fn *fn,
			  void *arg);

/* Starts, stops and replaces children until n workers and the janitor are there (none while stopping). */
void children_start(struct supervisor *s);
void children_set_workers(struct supervisor *s, int64_t n);
/* The configuration's limits hold for all children from now on, those of an older one too. */
void children_set_limits(struct supervisor *s);
/* SIGCHLD. */
void children_reap(struct supervisor *s);
/* Replaces stale children, at most half of the pool at a time, the next when a fresh one is at work. */
void children_roll_on(struct supervisor *s);
/* Workers first; the janitor goes last, since it puts back what they leave behind. */
void children_stop(struct supervisor *s, bool at_once);
bool children_any(const struct supervisor *s);		/* alive, or still to be started */
bool children_all_ready(const struct supervisor *s);

/*
 * Begins to try the raters of fresh and takes it over; supervisor_tried() follows, within seconds. Returns -1 and
 * err, fresh still the caller's, when not even that can be done.
 */
int trial_begin(struct supervisor *s, struct config *fresh, struct err *err);
void trial_cancel(struct supervisor *s);		/* nothing follows; fine when there is none */
/* How that went: err->kind is ERR_NONE, or says why fresh, the callee's now, cannot be in force. */
void supervisor_tried(struct supervisor *s, struct config *fresh, struct err *err);

/* Ends the pool with this exit status, unless it ends with another already. */
void supervisor_fail(struct supervisor *s, int status, const char *reason);

#endif
