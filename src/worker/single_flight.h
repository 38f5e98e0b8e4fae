/*
 * Single flight, this worker's part of it: of equal lines that are open at the same time one is
 * asked about, the leader's; the followers wait until its rating is in the phrase cache.
 * flight_lease.c agrees with other workers and hosts on who leads.
 */
#ifndef WORKER_SINGLE_FLIGHT_H
#define WORKER_SINGLE_FLIGHT_H

#include <sys/queue.h>

#include "context.h"
#include "joblist.h"

enum flight_state {
	FLIGHT_NEW,		/* whose it is will be known after the next look */
	FLIGHT_FOLLOWER,	/* another worker asks */
	FLIGHT_LEADER,		/* this worker asks, or is to ask */
	FLIGHT_LANDED,		/* over: rated, or without a rating and the line not to blame */
	FLIGHT_FAILED,		/* over without a rating, perhaps for the line's sake */
};

struct flight {
	char key[PHRASE_KEY_SIZE];	/* first, for flights.by_key */
	enum flight_state state;
	bool looking;			/* flight_lease.c's: part of the look under way */
	bool open;			/* flight_lease.c's: it found that everybody may ask */
	int64_t since_ms;		/* flight_lease.c's: when our lease was taken or renewed */
	struct graded_line *asker;	/* the line that leads; NULL before the look is done */
	TAILQ_HEAD(, graded_line) waiting;
	TAILQ_ENTRY(flight) link;
};
TAILQ_HEAD(flight_list, flight);

struct flights {
	const struct context *ctx;
	struct joblist *jobs;
	void *by_key;			/* tsearch(3) */
	struct flight_list list;	/* those in by_key */
	struct flight_list over;	/* those that the database is to be told of */
	size_t nwaiting;		/* lines, of all jobs */
	size_t nothers;			/* flights that we do not lead, or not that we know */
	bool ready;			/* some jobs are: lines of them wait no more */
	bool fresh;			/* some flights were not looked at yet */
	bool joined;			/* somebody has come to wait since the lease last asked */
};

void flights_init(struct flights *fl, const struct context *ctx, struct joblist *jobs);
/* At the end, when every job is gone, and all lines with them. */
void flights_free(struct flights *fl);

/* ---- for those who have jobs in hand ---- */

/*
 * Has all open lines of g wait until it is known whose call they are; those that are ours may then
 * be asked.
 */
void flights_join(struct flights *fl, struct grading *g);
/* Of some line that waits it is not known yet whose call it is. */
bool flights_undecided(const struct grading *g);
/*
 * A call of g was answered, or failed (err): who waited for its lines has their ratings, or may
 * ask.
 */
void flights_answered(struct flights *fl, struct grading *g, const struct err *err);
/* What g has had stored is in the cache. */
void flights_stored(struct flights *fl, struct grading *g);
/*
 * The lines of g wait no more, and nobody waits for those of them that have no rating. dropped: nor
 * for the others, since they will not be stored.
 */
void flights_leave(struct flights *fl, struct grading *g, bool dropped);
/* Half of its job's time is gone. */
bool flights_is_impatient(const struct grading *g, int64_t now_ms);
/* True when jobs have become ready, once: see grading's flight.ready for which. */
bool flights_take_ready(struct flights *fl);

/* ---- for flight_lease.c ---- */

/* NULL: no line of this worker has that key in flight. */
struct flight *flights_find(const struct flights *fl, const char *key);
/*
 * The database knows of a flight of ours that no line is on any more, and is to be told that it is
 * over.
 */
void flights_add_over(struct flights *fl, const char *key);
/* We lead f, which we did not before; another worker does. */
void flights_lead(struct flights *fl, struct flight *f);
void flights_follow(struct flights *fl, struct flight *f);
/* Whether somebody has come to wait since this was asked last. */
bool flights_take_joined(struct flights *fl);
/* A look goes out: no flight is fresh any more. */
void flights_looked_at(struct flights *fl);
/*
 * state: FLIGHT_LANDED or FLIGHT_FAILED. Frees f, or keeps it among those that are over. Nobody is
 * on it.
 */
void flights_end(struct flights *fl, struct flight *f, enum flight_state state);
/* All who wait have the row's rating, as far as it is one for them. */
void flights_share_cached(struct flights *fl, struct flight *f, const struct cached_row *row);
/* Frees those that are over: the database is being told of them, or cannot be. */
void flights_forget_over(struct flights *fl);
/* All who wait may ask by themselves. */
void flights_leave_all(struct flights *fl, struct flight *f);
/* The first of those who wait is asked about; the flight is over when there is none. */
void flights_next_asker(struct flights *fl, struct flight *f);
/*
 * Jobs whose lines have waited long enough ask by themselves. Returns how long until the next one
 * has, or -1.
 */
int64_t flights_lose_patience(struct flights *fl, int64_t now_ms);

void flights_check(const struct flights *fl);

#endif
