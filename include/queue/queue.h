/*
 * The queue as a worker sees it: packing statements' parameters, unpacking their rows. It decides
 * nothing about jobs, and keeps nothing but memory to pack in and which provenances are stored.
 *
 * What sends a statement returns as pg_send() does: 0, and answer(arg, ...) follows; -1 when the
 * connection is not ready. All that is passed in is borrowed for the call; what a row points to
 * lives as long as its result. Times are milliseconds.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "pg/pg.h"
#include "queue/job.h"
#include "queue/turns.h"
#include "scoreboard/floor.h"

struct provenances;

/* A settlement that bears new provenances, one at a time; and who waits for its answers. */
struct bearer {
	bool on_its_way;
	bool held;			/* what it stores is stored by the commit that follows */
	bool done;			/* it succeeded; held, it waits for that commit */
	pg_answer_fn *answer, *committed;
	void *arg, *commit_arg;
};

struct queue {
	struct pg *pg;				/* borrowed */
	struct buf params[STATEMENT_MAX_PARAMS];	/* of the statement that is being packed */
	struct provenances *provenances;
	struct bearer bearer;
};

void queue_init(struct queue *q, struct pg *pg);
void queue_free(struct queue *q);
/* The connection is a new one. */
void queue_connected(struct queue *q);

/* ---- claims ---- */

/* How a job stands in its session's counters. */
enum counted { COUNTED_NOT, COUNTED_COMPLETED, COUNTED_FAILED };

struct claimed_row {
	char id[UUID_SIZE];
	char session_id[UUID_SIZE];	/* "" when null */
	const char *job_type;		/* "" when null */
	const char *data;		/* job_data; NULL when it is null or above its cap */
	const char *result;		/* an object that was there before, or NULL */
	int64_t claim;
	int times_claimed;		/* with this time, but for jobs that are only held */
	int attempts, max_attempts;
	int counted_as;			/* enum counted */
	int64_t data_bytes;		/* size of job_data; -1 when it is null */
	struct floor place;		/* its place in the order of claims */
	bool passed_over;		/* locked, not claimed: of the above only id and place */
	int stride;			/* lines in a full batch of its session; 0: not known */
	const char *whole;		/* what its session is graded by; NULL: it is a batch */
};

struct claim {
	int jobs;			/* the most that are wanted */
	const char *identity;		/* the claimant */
	bool briefly;			/* settled at once, so nobody need see it or keep it */

	/* Either in order, from places on, */
	const struct floors *floors;	/* to begin at */
	const struct turns *turns;	/* in their order */
	int64_t slack_ms;		/* the least age of such a place */
	const struct floors *passes;	/* nothing before these is looked at (scoreboard/pass.h) */

	/* or of these, as far as they are due and nobody else has them. */
	const struct floor *these;	/* NULL: in order; else the ids of so many `jobs` count */
	int64_t patience_ms;		/* so long a lock is waited for */
};

/*
 * Rows: the jobs that were locked for it, in order. Where one could not be claimed although the
 * statement succeeded, it was passed over: a trigger was against it, or (with a claim in order) it
 * is too large to be claimed along with others.
 */
int queue_claim(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg);
void queue_claimed_row(const PGresult *result, int row, struct claimed_row *out);

/* The places of the jobs that a claim in order would take. By the answer nobody holds them. */
int queue_peek(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg);
/* The first n places of jobs that are due from `from` on and before `to`, whoever has them. */
int queue_walk(struct queue *q, int n, const struct floor *from, const struct floor *to,
	       pg_answer_fn *answer, void *arg);
void queue_place(const PGresult *result, int row, struct floor *place);
/* Of queue_walk() alone: whether the job has to be claimed alone for its size. */
bool queue_place_is_large(const PGresult *result, int row);

/*
 * Begins a transaction and locks jobs in it; rows as of a claim. Nothing but queue_settle() with
 * SETTLE_HELD may be sent before queue_commit(), which ends it whatever happened. queue_committed()
 * says of its answer whether what was settled in between is stored.
 */
int queue_hold(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg);
int queue_commit(struct queue *q, pg_answer_fn *answer, void *arg);
bool queue_committed(const PGresult *result);

/* What this identity holds but for the n jobs in hand. Rows are read by queue_lost_row(). */
int queue_lost(struct queue *q, const char *identity, struct job *const *jobs, size_t n,
	       pg_answer_fn *answer, void *arg);

struct lost_row {
	char id[UUID_SIZE];
	char session_id[UUID_SIZE];	/* "" when null */
	int64_t claim;
};

void queue_lost_row(const PGresult *result, int row, struct lost_row *out);

/* Gives n of them back. The answer is that of a chore's statement (queue/chore.h). */
int queue_release_lost(struct queue *q, const char *identity, const struct lost_row *const *lost,
		       size_t n, pg_answer_fn *answer, void *arg);

/* Of n sessions: what waits to grade one as a whole is due, where it is over. A row for each job. */
int queue_release_waiting(struct queue *q, const char *const *sessions, size_t n,
			  pg_answer_fn *answer, void *arg);

/* ---- what is known already ---- */

/* Which of n keys the phrase cache knows, no older than ttl_ms. */
int queue_lookup(struct queue *q, const char *const *keys, size_t n, int64_t ttl_ms,
		 pg_answer_fn *answer, void *arg);

struct cached_row {
	const char *key, *rating;
	const char *alternatives;	/* one text, as queue_join() makes it */
	const char *reason;		/* "" when there is none */
	const char *provenance;		/* an object as JSON, or NULL */
	int64_t given_at;		/* a timestamptz: when the rater gave it */
};

void queue_cached_row(const PGresult *result, int row, struct cached_row *out);

/* Which of n keys sessions were graded under as a whole, no longer than ttl_ms ago. */
int queue_graded(struct queue *q, const char *const *keys, size_t n, int64_t ttl_ms,
		 pg_answer_fn *answer, void *arg);

struct graded_row {
	const char *key;
	const char *grading;		/* JSON, as a session_gradings.grading is */
	const char *provenance;		/* an object as JSON, or NULL */
	const char *given_at;		/* a timestamptz as text: when the rater gave it */
};

void queue_graded_row(const PGresult *result, int row, struct graded_row *out);

/* A line that an earlier attempt at a job has stored. */
struct stored_row {
	char job_id[UUID_SIZE];
	int index;
	const char *text;
};

int queue_stored(struct queue *q, struct job *const *jobs, size_t n, pg_answer_fn *answer,
		 void *arg);
void queue_stored_row(const PGresult *result, int row, struct stored_row *out);

/* ---- single flight ---- */

/*
 * Asks for n keys, each once, for lease_ms. Rows, as queue_leased_row() reads them, are the keys
 * that asker now has (ours) and those that everybody may ask about; the others are somebody else's.
 * The cache is to be looked up once more after it.
 */
int queue_lease_keys(struct queue *q, const char *const *keys, size_t n, const char *asker,
		     int64_t lease_ms, int64_t ttl_ms, pg_answer_fn *answer, void *arg);
void queue_leased_row(const PGresult *result, int row, const char **key, bool *ours);

/* Keeps those of n keys that asker still has. */
int queue_renew_leases(struct queue *q, const char *const *keys, size_t n, const char *asker,
		       int64_t lease_ms, pg_answer_fn *answer, void *arg);

/* Gives up n keys, and nfailed about which everybody may ask for open_ms. */
int queue_release_leases(struct queue *q, const char *asker, const char *const *keys, size_t n,
			 const char *const *failed, size_t nfailed, int64_t open_ms,
			 pg_answer_fn *answer, void *arg);

/* ---- settlements ---- */

struct settle_line {
	const struct line *line;
	const char *rating;
	const char *alternatives;	/* one text, as queue_join() makes it */
	const char *reason;		/* or NULL */
	bool cached;			/* the rating came from the cache */
	const char *provenance;		/* an object as JSON; many lines have the same */
	int64_t given_at;		/* a timestamptz, where that was before; 0: just now */
	const char *cache_key;		/* NULL when it is not to be cached */
	const char *context;		/* for the cache entry, or NULL */
};

/* What becomes of one job, with the lines that go with it. */
struct settlement {
	const struct job *job;
	const char *status;		/* the new one; "processing": only store lines */
	bool attempt;			/* an attempt counts */
	int64_t delay_ms;		/* before a "pending" job is available again */
	const char *error;		/* or NULL */
	const char *result;		/* JSON; NULL leaves it as it is */
	const struct settle_line *lines;
	size_t nlines;
	size_t nresent;			/* lines sent before, in vain or not */
};

enum settle_form {
	SETTLE_FIRST,		/* every job is completed, and was never stored or counted before */
	SETTLE_HELD,		/* the same, of a claim that queue_hold() made */
	SETTLE_ANY,		/* whatever there is already; the form to fall back to */
};

/*
 * Settles n jobs. SETTLE_FIRST is refused as a whole with ERR_PERMANENT when what it takes for
 * granted does not hold, or a cache key comes twice.
 */
int queue_settle(struct queue *q, enum settle_form form, const char *identity,
		 const struct settlement *const *s, size_t n, int64_t cache_ttl_ms,
		 pg_answer_fn *answer, void *arg);

/* What became of a job that was to be settled. */
enum settled {
	SETTLED_NOT_OURS,	/* nothing: the job has moved on */
	SETTLED,
	SETTLED_AGAIN,		/* nothing, and is to be sent again: its session was opened */
};

/* Says so of each of the n jobs. An answer that is not a settlement's is fatal. */
void queue_settled(const PGresult *result, enum settled *settled, size_t n);

/* A list of alternatives as one text, in arena. */
const char *queue_join(struct arena *arena, const char *const *items, size_t n);

#endif
