/*
 * Cleaning the phrase cache: a walk through its table, page by page, for entries that have expired;
 * and leases of phrases that nobody took over from hosts that are lost.
 */
#ifndef CLEAN_CACHE_H
#define CLEAN_CACHE_H

#include "sweep.h"

#define PLACE_SIZE 24			/* of a tid, "(4294967295,65535)" */

/* A walk through the pages of the cache's table. */
struct cache_walk {
	int64_t page;			/* where it is; 0: at its beginning */
	int64_t end;			/* how far it goes: what is added meanwhile is young */
};

struct clean_cache {
	struct maintenance *m;
	struct sweep entries, leases;
	struct cache_walk walk;
	char from[PLACE_SIZE];		/* within the step of the walk; "": at its beginning */
	char key[REFUSED_ID_SIZE * 4];	/* of leases: behind this one */
	struct loop_timer timer;	/* of the next walk */
};

void clean_cache_init(struct clean_cache *c, struct maintenance *m);
void clean_cache_free(struct clean_cache *c);
/* From the next poll on the cache is walked through, again and again. May be repeated. */
void clean_cache_begin(struct clean_cache *c);

/* Entries of the cache live for ttl_ms: how long to wait after a walk. Pure. */
int64_t clean_walk_pause_ms(int64_t ttl_ms, int64_t poll_ms);
/* A step is done; the table has `pages` pages. Returns whether the walk goes on. Pure. */
bool clean_walk_on(struct cache_walk *walk, int64_t pages);

#endif
