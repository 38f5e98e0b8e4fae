/*
 * The tick: the pool's one look at the queue each poll. It publishes the gauges and where claims
 * are to begin, and reports what is due.
 */
#ifndef TICK_H
#define TICK_H

#include "scoreboard/floor.h"
#include "statement.h"

/* What a look has found. */
struct tick_report {
	bool due;			/* a job is */
	int64_t next_ms;		/* until the next one is; -1: none before the next tick */
	bool stuck;			/* a job has been held for longer than queue.stuck_after */
	bool old_jobs;			/* finished jobs were kept long enough */
	int64_t claims, cursors;	/* the last numbers given out of each */
	const char *claimants;		/* of this host, one a line; NULL: none holds a job */
};

struct tick_events {
	void (*looking)(void *arg);	/* a look is about to be sent */
	void (*seen)(void *arg, const struct tick_report *report);
};

struct tick {
	struct maintenance *m;
	const struct tick_events *events;
	void *arg;
	bool looking;			/* a look is on its way */
	uint64_t floors_epoch;		/* before the look under way */
	struct floors known;		/* as of the last one */
	struct loop_timer timer;
};

void tick_init(struct tick *t, struct maintenance *m, const struct tick_events *events, void *arg);
/* Looks now, and from then on at least once a poll. As a timer's function: arg is a struct tick. */
void tick_look(void *arg);
/* The queue has changed since the last look: looks again, but not more than once a second. */
void tick_soon(struct tick *t);

/*
 * What an answer of sql/tick.sql says: the report, which points into it, and where claims are to
 * begin. `known` are the floors of the look before. Pure.
 */
void tick_read_report(const PGresult *result, struct tick_report *report);
void tick_read_floors(const PGresult *result, const struct floors *known, struct floors *found);

#endif
