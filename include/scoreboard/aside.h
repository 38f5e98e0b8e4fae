/*
 * Jobs that the database lets nobody claim, each with the time when that is tried again. Among the
 * places that claims pass (scoreboard/pass.h) they are set aside, so that what else lies there is
 * claimed. The worker who walks there writes the table; it outlives that worker. Readers count.
 */
#ifndef ASIDE_H
#define ASIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

#define ASIDE_BUCKETS 1024		/* by the bits of an id that are random */
#define ASIDE_WAYS 16			/* in a bucket; one more finds it full */

#define ASIDE_STATEMENT "claim"		/* to which they are refused, in scoreboard/refused.h */

struct aside {
	int64_t next_ms;		/* now_ms() from which it is tried again; 0: a free place */
	unsigned char id[UUID_BYTES];
};

/* Zeroed: empty. */
struct asides {
	_Atomic uint32_t n;
	struct aside at[ASIDE_BUCKETS][ASIDE_WAYS];
};

/* Whether it is set aside. */
bool aside_has(const struct asides *asides, const unsigned char id[UUID_BYTES]);
/* Sets it aside until next_ms, more than 0. False when there is no room: it is to be met again. */
bool aside_put(struct asides *asides, const unsigned char id[UUID_BYTES], int64_t next_ms);
/* It was claimed, or is gone. */
void aside_drop(struct asides *asides, const unsigned char id[UUID_BYTES]);
void aside_clear(struct asides *asides);

/*
 * Up to max of those whose time has come go into ids; the others come with later calls. Returns how
 * many. *next_ms: when the next one's time comes, -1: none is left.
 */
int aside_due(const struct asides *asides, int64_t now_ms, unsigned char (*ids)[UUID_BYTES],
	      int max, int64_t *next_ms);

/* How many there are, as far as hearsay goes. */
unsigned aside_count(const struct asides *asides);

#endif
