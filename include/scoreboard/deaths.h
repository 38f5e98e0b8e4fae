/*
 * Dead workers whose jobs are yet to be put back: a ring in the scoreboard's head. The supervisor
 * adds, the janitor takes away; neither waits for the other.
 */
#ifndef DEATHS_H
#define DEATHS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"

#define DEATHS_MAX 64
/*
 * An in_hand that fits no job, inside: it was told to stop, and all its jobs go back as if nothing
 * had been.
 */
#define DEATH_NO_BLAME "00000000-0000-0000-0000-000000000000"
/* What a child writes into claimed_by, with its NUL. */
#define IDENTITY_SIZE 160

/* What is known of a worker's last moment. */
enum death_witness {
	DEATH_UNSEEN,		/* nothing: in_hand is "", whatever it was rating */
	DEATH_BESIDE,		/* its CPU was in no job */
	DEATH_INSIDE,		/* its CPU was in the one in hand */
};

struct death {
	char identity[IDENTITY_SIZE];
	uint32_t witness;		/* enum death_witness */
	char in_hand[UUID_SIZE];	/* job it was in, else the only one it rated, or "" */
	bool outside;			/* somebody killed it; else it died of itself */
	int64_t claim;			/* of that job, or 0 */
	int32_t line;			/* of that job, or BREADCRUMB_NO_LINE */
	char how[96];			/* "was killed by signal 9 (Killed)" */
};

/* Zeroed: empty. at[i % DEATHS_MAX] holds the i-th from tail to head. */
struct deaths {
	_Atomic uint32_t head;		/* moved by the supervisor */
	_Atomic uint32_t tail;		/* moved by the janitor */
	struct death at[DEATHS_MAX];
};

/* Its texts end, and hold what a database takes: somebody may have written garbage over it. */
bool death_is_readable(const struct death *d);

/* Supervisor: false when the ring is full (the janitor finds such jobs by their dead pid). */
bool deaths_push(struct deaths *deaths, const struct death *d);
/*
 * Janitor: the nth (from 0, the oldest) of those not yet taken away, or NULL. Of one that cannot be
 * read nothing is known: its identity is "".
 */
const struct death *deaths_peek(const struct deaths *deaths, unsigned nth);
/* Janitor: the jobs of the oldest `count` are back. */
void deaths_pop(struct deaths *deaths, unsigned count);

#endif
