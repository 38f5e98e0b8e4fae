/*
 * When inserts notify. While the janitor holds the sleep lock they do (see migration 082), so
 * that idle workers hear of new jobs at once; while everyone is at work it gives the lock back
 * and spares them that.
 */
#ifndef LISTEN_H
#define LISTEN_H

#include "statement.h"

struct listen {
	struct maintenance *m;
	bool possible;			/* the connection is direct: LISTEN and the lock work */
	void (*look)(void *arg);	/* the queue is to be looked at, now */
	void *arg;
	bool locked;			/* we hold the lock */
	bool asked;			/* an answer about it is due */
	int tries;			/* in vain, since the last poll */
	struct loop_timer retry_timer, late_timer;
};

void listen_init(struct listen *l, struct maintenance *m, bool possible, void (*look)(void *arg),
		 void *arg);
/* Takes the lock when a worker waits for jobs: to be called when that may have come about. */
void listen_begin_if_any_waits(struct listen *l);
/* The same with each poll, which may try anew what was in vain before. */
void listen_poll(struct listen *l);
/* Gives it back when none does. */
void listen_end_unless_any_waits(struct listen *l);
/* The connection is gone, and the lock with it. */
void listen_lost(struct listen *l);

#endif
