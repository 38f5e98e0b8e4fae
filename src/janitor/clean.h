/*
 * Cleaning: finished jobs that were kept long enough, and entries of the phrase cache that have
 * expired, in small batches with pauses.
 */
#ifndef CLEAN_H
#define CLEAN_H

#include "statement.h"

/* A walk through the pages of the cache's table. */
struct cache_walk {
	int64_t page;			/* where it is; 0: at its beginning */
	int64_t end;			/* how far it goes: what is added meanwhile is young */
};

struct clean {
	struct maintenance *m;
	bool jobs_asked, cache_asked;	/* a statement is on its way */
	struct cache_walk walk;
	struct loop_timer jobs_timer, cache_timer;
};

void clean_init(struct clean *c, struct maintenance *m);
/* Removes a batch of jobs, and goes on by itself until all is clean. */
void clean_jobs(struct clean *c);
/* From the next poll on the cache is walked through, again and again. May be repeated. */
void clean_begin_cache(struct clean *c);

/* Entries of the cache live for ttl_ms: how long to wait after a walk. Pure. */
int64_t clean_walk_pause_ms(int64_t ttl_ms, int64_t poll_ms);
/* A step is done; the table has `pages` pages. Returns whether the walk goes on. Pure. */
bool clean_walk_on(struct cache_walk *walk, int64_t pages);

#endif
