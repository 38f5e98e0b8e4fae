/*
 * What the functions for applications must know of the configuration, and sessions and ratings
 * that were kept long enough.
 */
#ifndef SESSIONS_H
#define SESSIONS_H

#include "statement.h"

/* A walk through the pages of the sessions' table. */
struct sessions_walk {
	int64_t page;			/* where it is; 0: at its beginning */
	int64_t end;			/* how far it goes: what is added meanwhile is young */
};

struct sessions {
	struct maintenance *m;
	bool telling, cleaning;		/* a statement is on its way */
	struct sessions_walk walk;
	struct loop_timer tell_timer, clean_timer;
};

void sessions_init(struct sessions *s, struct maintenance *m);
/* Writes the configuration's keys down, now. May be repeated. */
void sessions_tell(struct sessions *s);
/* From the next poll on old sessions are looked for, if any are to go. May be repeated. */
void sessions_begin_cleaning(struct sessions *s);

/* A step is done; the table has `pages` pages. Returns whether the walk goes on. Pure. */
bool sessions_walk_on(struct sessions_walk *walk, int64_t pages);

#endif
