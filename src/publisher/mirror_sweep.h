/*
 * Looking for sessions that have moved in the tables: when the publisher begins, and where news may
 * have been missed. Page by page, with pauses, so that settlements go first.
 */
#ifndef MIRROR_SWEEP_H
#define MIRROR_SWEEP_H

#include "channel.h"

struct mirror_sweep {
	struct publishing *p;
	/*
	 * A session that was found; recent: it is to be watched when it is over; refused: the table
	 * did not take it.
	 */
	void (*found)(void *arg, const unsigned char *session, bool recent, bool refused);
	/* Whether no more are wanted just now. */
	bool (*is_full)(void *arg);
	void *arg;
	enum { SWEEP_RESTS, SWEEP_MOVED, SWEEP_OPEN } step;
	bool wanted, whole;		/* another one is; over open sessions, too */
	bool asked;			/* a page is on its way */
	int64_t since[2];		/* completed and failed jobs; us since 2000-01-01 */
	bool over[2];			/* none is left of them */
	unsigned char behind[UUID_BYTES];	/* open sessions are looked for behind this one */
	struct loop_timer timer;
};

void mirror_sweep_init(struct mirror_sweep *s, struct publishing *p);
/* One is wanted, after the one under way; whole: sessions that are open are looked for, too. */
void mirror_sweep_want(struct mirror_sweep *s, bool whole);
/* None is wanted, or under way. */
bool mirror_sweep_rests(const struct mirror_sweep *s);
void mirror_sweep_end(struct mirror_sweep *s);

#endif
