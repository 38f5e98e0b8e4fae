/*
 * The flights of a worker: what flight_lease.c needs of single_flight.c. What the worker's other files call is in
 * worker.h.
 */
#ifndef WORKER_FLIGHTS_H
#define WORKER_FLIGHTS_H

#include "worker.h"

/* From one look to the next, as long as somebody has just come to wait; then twice as long each time. */
#define FLIGHT_INTERVAL_FIRST_MS 100

enum flight_state {
	FLIGHT_NEW,		/* whose it is will be known after the next look */
	FLIGHT_FOLLOWER,
	FLIGHT_LEADER,
	FLIGHT_LANDED,		/* over: with an entry in the cache, or without one and the line not to blame, */
	FLIGHT_FAILED,		/* or without one and perhaps for the line's sake */
};

struct flight {
	char key[PHRASE_KEY_SIZE];	/* first, for by_key */
	enum flight_state state;
	bool looking;			/* part of the look under way, */
	bool open;			/* which has found that everybody may ask */
	int64_t since_ms;		/* ours: the lease was taken or renewed */
	struct graded_line *asker;	/* ours: the line that is asked about; NULL until the look is done */
	TAILQ_HEAD(, graded_line) waiting;
	TAILQ_ENTRY(flight) link;
};

/* NULL: no line of this worker has that key in flight. */
struct flight *flight_find(const struct worker *w, const char *key);
/* One that nobody is on yet; FLIGHT_LANDED: one that the database alone knows of, to be told that it is over. */
struct flight *flight_add(struct worker *w, const char *key, enum flight_state state);
/* state: FLIGHT_LANDED or FLIGHT_FAILED. Frees it, or keeps it among those that are over. Nobody is on it any more. */
void flight_end(struct worker *w, struct flight *f, enum flight_state state);

/* All who wait have the rating, as far as it is one for them: of an equal line just rated, or (NULL) the row. */
void flight_share(struct worker *w, struct flight *f, const struct graded_line *rated, const struct cached_row *row);
/* All who wait are free to be asked. */
void flight_leave_all(struct worker *w, struct flight *f);
/* The first of those who wait is asked about; the flight is over when there is none. */
void flight_next_asker(struct worker *w, struct flight *f);

/* Jobs whose lines have waited long enough ask by themselves. Returns how long until the next one has, or -1. */
int64_t flights_lose_patience(struct worker *w, int64_t now);

#endif
