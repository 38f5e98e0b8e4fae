/*
 * Whether an error that a claim ended with may be that of one of its rows: then the others are
 * claimed without it. Pure.
 */
#ifndef WORKER_REFUSAL_H
#define WORKER_REFUSAL_H

#include <stdbool.h>

#include "base/err.h"

/*
 * True for whatever a trigger, a constraint, a lock or a row's size may cause, and so for nearly
 * all SQLSTATEs. Not for what speaks of the whole or passes by itself: a lost connection, a
 * transaction that lost to others, a full disk, a server out of memory. That a connection is lost
 * is said by the kind alone: where ours goes on, a trigger speaks of another one.
 */
bool refusal_of_row(const struct err *err);

/* A transaction that lost to others, which passes; but not where it is so each time. */
bool refusal_lost_to_others(const struct err *err);

/* It was a lock that was not given in time. */
bool refusal_by_lock(const struct err *err);

#endif
