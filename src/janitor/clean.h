/*
 * Cleaning up finished jobs that were kept long enough, in small batches with pauses. The cache is
 * cleaned by clean_cache.h.
 */
#ifndef CLEAN_H
#define CLEAN_H

#include "sweep.h"

#define CLEAN_PAUSE_MS 50		/* between batches, so that claims go first */

/*
 * A walk through finished jobs by the time of their end, which many may share. It goes on from the
 * last time that it has met, and asks for so many more as it has met in vain, since these come
 * again.
 */
struct old_walk {
	int64_t from;			/* us since 2000-01-01 */
	int32_t most;			/* rows to be asked for; 0: it is at its end */
};

#define OLD_WALK_PAGE 500

void old_walk_begin(struct old_walk *w);
/*
 * A page came: so many rows, of which some are known already (or without room), and the time of the
 * last. Pure.
 */
void old_walk_on(struct old_walk *w, int rows, int known, int64_t last);

struct clean {
	struct maintenance *m;
	struct sweep sweep;
	struct old_walk completed, failed;
	bool within;			/* the look is past its first page */
};

void clean_init(struct clean *c, struct maintenance *m);
void clean_free(struct clean *c);
/* Removes a batch of jobs, and goes on by itself until all is clean. */
void clean_jobs(struct clean *c);

#endif
