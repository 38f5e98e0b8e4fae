/*
 * Whose turn it is: the order of claims within a priority. A job's `turn`, which the database keeps
 * (migrations/098_turns.sql), says which tenant's it is and how far into its session: its band. A
 * class is a priority and a turn; each is a queue of its own, in the order of age.
 *
 * Each claim asks class by class and takes what it finds until it is full, so it is the order of
 * classes that shares out the work: of the classes of one priority, the tenant comes first that has
 * had least for its weight, and of its bands the one that has had least for that band's. So the
 * first batches of a session come soon however much waits of others, and nothing waits for ever.
 * Who had nothing to do saves up nothing. One worker's, of what it claimed itself. Pure.
 */
#ifndef QUEUE_TURNS_H
#define QUEUE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "scoreboard/floor.h"

#define TURN_BANDS 3		/* the first batches of a session, the next ones, the rest */
#define TURN_SHARES FLOORS_MAX	/* tenants told apart */

struct turn_band {
	int64_t had;		/* work, in units that are larger the less it weighs */
	bool deep;		/* the last claim that came to it was full with it, */
	int32_t deep_at;	/* at this priority */
	int32_t priority;	/* the lowest one of what the claim under way brought of it, */
	int brought;		/* and how much */
};

struct turn_share {
	int32_t tenant;		/* its number in the database; 0: of no tenant with a share */
	int32_t weight;
	int64_t had;
	struct turn_band bands[TURN_BANDS];
};

struct turns {
	int n;
	int64_t least;		/* what that one had that had least, of those with work */
	bool known_first;	/* the next claim asks known classes before others of their priority */
	struct turn_share of[TURN_SHARES];
};

void turns_init(struct turns *t);
/* These are the classes that the next claim is to order. */
void turns_know(struct turns *t, const struct floors *classes);
/* From now on; 1 for those of which nothing was said. A weight below 1 is 1. */
void turns_weigh(struct turns *t, int32_t tenant, int32_t weight);

int turn_band(int32_t turn);
int32_t turn_tenant(int32_t turn);
/* Whether a job may have a turn between these two. */
bool turns_between(int32_t low, int32_t high);

/* The order of n classes of one priority in the next claim: order[i] is which of them is i-th. */
void turns_order(const struct turns *t, const struct floor *classes, int n, int *order);

/*
 * Whether claims that begin at this class's floor can rely on it. Elsewhere what was inserted a
 * moment ago and committed late is still to be found, and there is little to walk over.
 */
bool turns_is_deep(const struct turns *t, const struct floor *of);

/* What a claim brought: each job's place, then, when all were told, whether it was full. */
void turns_brought(struct turns *t, const struct floor *place);
void turns_told(struct turns *t, bool full);
/* The same of jobs that were claimed by name, which says nothing of the depth. */
void turns_charge(struct turns *t);

void turns_check(const struct turns *t);

#endif
