/*
 * How many slots there are and whose: one for the janitor, then one for each worker, and one for
 * the publisher last, so that a worker's number is its slot's.
 */
#ifndef SLOTS_H
#define SLOTS_H

#define SLOT_JANITOR 0
#define SLOT_FIRST_WORKER 1
#define SLOT_MAX_WORKERS 256
#define SLOT_PUBLISHER (SLOT_FIRST_WORKER + SLOT_MAX_WORKERS)	/* behind the last worker */
#define SLOT_COUNT (SLOT_PUBLISHER + 1)

/* What the child in a slot is there for. */
enum role { ROLE_JANITOR, ROLE_WORKER, ROLE_PUBLISHER, ROLE_COUNT };

static inline enum role slot_role(int slot)
{
	return slot == SLOT_JANITOR ? ROLE_JANITOR :
	       slot == SLOT_PUBLISHER ? ROLE_PUBLISHER : ROLE_WORKER;
}

#endif
