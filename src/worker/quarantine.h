/*
 * Jobs that the database does not let anybody claim: a constraint or a trigger of theirs is against
 * it. After a claim that was refused because of one of its jobs, smaller ones are claimed until it
 * is the first of the queue that fails alone; that one's place is left alone for a while. Pure: it
 * sends nothing.
 */
#ifndef WORKER_QUARANTINE_H
#define WORKER_QUARANTINE_H

#include <stdbool.h>

#include "base/err.h"
#include "scoreboard/floor.h"

#define QUARANTINE_PLACES 32
#define QUARANTINE_MS 60000	/* for so long a place is left alone */

struct quarantine {
	struct floor places[QUARANTINE_PLACES];	/* n of them, the oldest first */
	int n;
	int64_t until_ms;	/* when all places are let go */
	int most;		/* jobs in the next claim; 0: any number */
	struct err why;		/* what the claim of one job was refused with */
	bool suspecting;	/* a culprit was named once */
	struct floor suspect;	/* the place of who was named once */
};

/*
 * A claim of so many jobs was refused. True: the first of the queue is the culprit, and is to be
 * asked for.
 */
bool quarantine_refused(struct quarantine *q, int asked, const struct err *why);

enum quarantine_finding {
	QUARANTINE_NOBODY,	/* the culprit has gone */
	QUARANTINE_SUSPECT,	/* it is to be named once more */
	QUARANTINE_ADDED,	/* it is left alone from now on */
	QUARANTINE_FULL,	/* the same, and the oldest of too many was let go */
};

/*
 * The first of the queue is at this place, or there is none (NULL). It must be the same twice in a
 * row: while another worker has the culprit locked for a moment, the first that can be seen is the
 * innocent one behind it.
 */
enum quarantine_finding quarantine_found(struct quarantine *q, const struct floor *place,
					 int64_t now_ms);
/* A claim brought less than was asked for, and so all there was. */
void quarantine_all_claimed(struct quarantine *q);
/* Lets all of them go when it is time. */
void quarantine_expire(struct quarantine *q, int64_t now_ms);
/* n, or less while a culprit is looked for. */
int quarantine_cap(const struct quarantine *q, int n);

void quarantine_check(const struct quarantine *q);

#endif
