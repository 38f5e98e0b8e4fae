/*
 * Claim floors: for each class, where the live part of the queue begins. Claims start their
 * index scan there instead of walking the entries of all jobs done since the oldest snapshot in the
 * database, which no vacuum can remove. The janitor looks where it really begins (its tick); each
 * worker raises what it claimed. Workers and the janitor, through the scoreboard.
 *
 * A floor may be too high: for a commit that came late, a claim that was rolled back, a job made
 * pending by hand. So floors live for one tick: the janitor's look starts a new epoch, and what was
 * raised in an older one is forgotten. Without a janitor they expire.
 */
#ifndef FLOOR_H
#define FLOOR_H

#include "scoreboard/scoreboard.h"

/* All floors known now. n is 0 when there are none. */
struct floors {
	uint64_t epoch;
	int n;
	struct floor at[PASSES_MAX];	/* by class, highest first */
};

/* The janitor's, raised by what workers have claimed since; none that is older than max_age_ms. */
void floors_read(const struct scoreboard *sb, int64_t now, int64_t max_age_ms, struct floors *out);

/*
 * A job at this place was claimed: nothing live is before it. Classes not in f are left alone.
 */
void floors_raise(struct floors *f, const struct floor *claimed);

/* Makes a worker's floors known to the others. */
void floors_publish(struct slot *slot, const struct floors *f);

/* Whether two places are of one class, and which one's class comes first in the index. */
bool floor_same_class(const struct floor *a, const struct floor *b);
bool floor_class_before(const struct floor *a, const struct floor *b);

/* Whether the class of this place has a floor. */
bool floors_has(const struct floors *f, const struct floor *place);

/* -1, 0 or 1: the order of claims within a class. */
int floor_compare(const struct floor *a, const struct floor *b);

/* What one process shares and others read, without waiting: false when it is torn. */
void shared_floors_write(struct shared_floors *s, uint64_t epoch, const struct floor *at, int n,
			 int64_t now);
bool shared_floors_read(const struct shared_floors *s, struct shared_floors *out);

/*
 * Adds the floor of one more class; nothing when it is there already, or there is no more room.
 */
void floors_add(struct floors *f, const struct floor *more);
/* The same, with room for so many; at most PASSES_MAX. */
void floors_add_up_to(struct floors *f, const struct floor *more, int max);

/*
 * The janitor: the floors just found begin a new epoch, unless somebody forgot them since `epoch`.
 */
void floors_renew(struct scoreboard *sb, uint64_t epoch, const struct floors *found, int64_t now);

/*
 * Jobs went back to where floors may have passed: all claims look from the beginning until the next
 * tick.
 */
void floors_forget(struct scoreboard *sb);

#endif
