/* The reaper: puts back jobs that were held for longer than queue.stuck_after, on whatever host. */
#ifndef REAP_H
#define REAP_H

#include "sweep.h"

struct reap {
	struct maintenance *m;
	struct sweep sweep;
	struct sweep_place place;
};

void reap_init(struct reap *r, struct maintenance *m);
void reap_free(struct reap *r);
/* There are such jobs. May be repeated. */
void reap_stuck(struct reap *r);

#endif
