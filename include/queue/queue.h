/*
 * The queue as a worker sees it: packing statements' parameters, unpacking their rows. It decides
 * nothing about jobs and keeps nothing but memory to pack in.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "pg/pg.h"
#include "queue/job.h"
#include "scoreboard/floor.h"

struct queue {
	struct pg *pg;
	struct buf params[STATEMENT_MAX_PARAMS];
};

void queue_init(struct queue *q, struct pg *pg);	/* pg is borrowed */
void queue_free(struct queue *q);

enum counted { COUNTED_NOT, COUNTED_COMPLETED, COUNTED_FAILED };

/* A claimed row. data is NULL when job_data is null or above its cap; pointers live as long as the result. */
struct claimed_row {
	char id[UUID_SIZE], session_id[UUID_SIZE];	/* session_id "": null */
	const char *job_type, *data;
	const char *result;	/* of earlier attempts, or NULL: whatever an application may have put there */
	int64_t claim;
	int attempts, max_attempts;
	int counted_as;
	int64_t data_bytes;	/* -1: job_data is null */
	struct floor place;	/* in the order of claims */
};

struct claim {
	int jobs;			/* at most */
	const char *identity;		/* of the claimant */
	const struct floors *floors;	/* where to begin, */
	int64_t slack_ms;		/* but no nearer than so long ago */
	const struct floor *avoid;	/* places of jobs that are left alone, */
	int navoid;			/* so many */
	bool briefly;			/* settled at once: nobody need see it, and to lose it costs little */
};

int queue_claim(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg);
/* Rows as of a claim of the same jobs, which are not claimed: by the answer nobody holds them. */
int queue_preview(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg);
/*
 * Begins a transaction and locks jobs in it; rows as of a claim. Nothing but queue_settle() with SETTLE_HELD may be
 * sent before queue_commit(), which ends it whatever happened; queue_committed(): and what was settled in it is stored.
 */
int queue_hold(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg);
int queue_commit(struct queue *q, pg_answer_fn *answer, void *arg);
bool queue_committed(const PGresult *result);
void queue_claimed_row(const PGresult *result, int row, struct claimed_row *out);

/* Which of n keys the phrase cache knows, no older than ttl_ms. */
int queue_lookup(struct queue *q, const char *const *keys, size_t n, int64_t ttl_ms, pg_answer_fn *answer, void *arg);

struct cached_row {
	const char *key, *rating;
	const char *alternatives;	/* as queue_join() makes them */
	const char *reason;		/* "" when there is none */
	const char *provenance;		/* JSON, or NULL */
};

void queue_cached_row(const PGresult *result, int row, struct cached_row *out);

/*
 * Single flight. queue_lease_keys() asks for n keys, each once, for lease_ms: rows as queue_leased_row() reads them are the
 * keys that asker now has (ours) and those that everybody may ask about; the others are somebody else's. The cache
 * is to be looked up once more after it. queue_renew_leases() keeps those that it has; queue_release_leases() gives up n of them,
 * and nfailed that everybody may ask about for open_ms.
 */
int queue_lease_keys(struct queue *q, const char *const *keys, size_t n, const char *asker, int64_t lease_ms, int64_t ttl_ms,
	      pg_answer_fn *answer, void *arg);
void queue_leased_row(const PGresult *result, int row, const char **key, bool *ours);
int queue_renew_leases(struct queue *q, const char *const *keys, size_t n, const char *asker, int64_t lease_ms,
		     pg_answer_fn *answer, void *arg);
int queue_release_leases(struct queue *q, const char *asker, const char *const *keys, size_t n, const char *const *failed,
	       size_t nfailed, int64_t open_ms, pg_answer_fn *answer, void *arg);

/* A line that an earlier attempt at a job has stored. */
struct stored_row {
	char job_id[UUID_SIZE];
	int index;
	const char *text;
};

void queue_stored_row(const PGresult *result, int row, struct stored_row *out);
int queue_stored(struct queue *q, struct job *const *jobs, size_t n, pg_answer_fn *answer, void *arg);

/* What becomes of one job, with the lines that go with it. Everything is borrowed. */
struct settle_line {
	const struct line *line;
	const char *rating;
	const char *alternatives;	/* as queue_join() makes them */
	const char *reason;		/* or NULL */
	bool cached;
	const char *provenance;		/* JSON */
	const char *cache_key;		/* or NULL: not to be cached */
	const char *context;		/* for the cache entry, or NULL */
};

struct settlement {
	const struct job *job;
	const char *status;		/* "completed", "failed", "pending", or "processing": only store lines */
	bool attempt;			/* counts one */
	int64_t delay_ms;		/* with "pending": not before so long */
	const char *error;		/* or NULL */
	const char *result;		/* JSON, or NULL: as it is */
	const struct settle_line *lines;
	size_t nlines;
	size_t nresent;			/* of them in a settlement whose outcome is unknown: they may be there */
};

enum settle_form {
	SETTLE_FIRST,		/* every job is completed, and none of it was ever stored or counted before */
	SETTLE_HELD,		/* the same, of a claim that queue_hold() made */
	SETTLE_ANY,		/* whatever there is already; the form to fall back to */
};

/* Refused with ERR_PERMANENT, as a whole, when SETTLE_FIRST does not hold, or a cache key comes twice. */
int queue_settle(struct queue *q, enum settle_form form, const char *identity, const struct settlement *const *s,
		 size_t n, int64_t cache_ttl_ms, pg_answer_fn *answer, void *arg);
/* Marks which of the n jobs were still ours. An answer that is not a settlement's is fatal. */
void queue_settled(const PGresult *result, bool *settled, size_t n);

/* ids of jobs in hand; the others under this identity go back. Rows: their ids. */
int queue_release_lost(struct queue *q, const char *identity, struct job *const *jobs, size_t n,
		 pg_answer_fn *answer, void *arg);

/* A list of alternatives as one text, in arena. */
const char *queue_join(struct arena *arena, const char *const *items, size_t n);

#endif
