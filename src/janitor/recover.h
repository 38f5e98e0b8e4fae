/*
 * Care for jobs whose worker is gone: those of this host's dead workers, by name and at once;
 * those of its earlier pools; and, by their age, those of lost hosts.
 */
#ifndef RECOVER_H
#define RECOVER_H

#include "statement.h"

struct recover {
	struct maintenance *m;
	bool recovering, reaping;	/* a statement is on its way */
	bool impatient;			/* the last one waited for a lock in vain */
	unsigned deaths_sent;		/* of the ring, in the recovery under way */
	bool looked_once;		/* at the claims that this host held before its last boot */
};

void recover_init(struct recover *r, struct maintenance *m);
/* Puts back the jobs of all workers in the ring of deaths, which keeps them until that is done. */
void recover_deaths(struct recover *r);
/* The same for claimants of this host that are no more; they come one a line, NULL: none does. */
void recover_orphans(struct recover *r, const char *claimants);
/* The same for jobs that were held for longer than queue.stuck_after, on whatever host. */
void recover_stuck(struct recover *r);
/* Jobs of dead workers are not back yet. */
bool recover_is_at_work(const struct recover *r);

#endif
