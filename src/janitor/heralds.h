/*
 * Whether there is something to publish, and whether sessions have moved that no worker of this
 * pool has moved: what the supervisor and the publisher are told of by the scoreboard.
 */
#ifndef HERALDS_H
#define HERALDS_H

#include "statement.h"

struct heralds {
	struct maintenance *m;
	bool asking;			/* a look for the application's table is on its way */
	bool said;			/* that the table is missing */
	bool seen;			/* the numbers below are of a tick */
	int64_t claims, cursors;	/* the last ones given out, as of the last tick, */
	uint64_t claimed, settled;	/* and what this pool's workers had done by then */
	struct loop_timer timer;	/* of the next look */
};

void heralds_init(struct heralds *h, struct maintenance *m);
/* Finds out what there is to publish, now and from then on rarely. */
void heralds_look(struct heralds *h);
/* How far the numbers of claims and cursors have come, by a tick. */
void heralds_heed(struct heralds *h, int64_t claims, int64_t cursors);

/*
 * Whether others must have moved sessions, by how far both have come since the last tick and by how
 * many jobs this pool's workers have claimed and settled meanwhile. It may be said in vain, and not
 * be noticed at once beside much work of our own. Pure.
 */
bool heralds_others_moved(int64_t claims, int64_t cursors, uint64_t claimed, uint64_t settled);

#endif
