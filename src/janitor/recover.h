/*
 * Care for jobs whose worker is gone: those of this host's dead workers, by name and at once, and
 * those of its earlier pools.
 */
#ifndef RECOVER_H
#define RECOVER_H

#include "sweep.h"

struct recover {
	struct maintenance *m;
	struct sweep sweep;		/* over the jobs of all deaths that are kept */
	struct sweep_place place;
	int nasked;			/* deaths of the look under way, */
	struct { int16_t kept; bool seen; } asked[KEPT_DEATHS_MAX];	/* whether it had jobs */
	bool within;			/* the look is past its first page */
	bool looked_once;		/* at the claims that this host held before its last boot */
};

void recover_init(struct recover *r, struct maintenance *m);
void recover_free(struct recover *r);
/* Puts back the jobs of all workers in the ring of deaths, and of those that are kept. */
void recover_deaths(struct recover *r);
/* The same for claimants of this host that are no more; they come one a line, NULL: none does. */
void recover_orphans(struct recover *r, const char *claimants);
/* Jobs of dead workers that could be put back are not back yet. */
bool recover_is_at_work(struct recover *r);

#endif
