/*
 * The queue as a worker sees it: packing statements' parameters, unpacking their rows. It decides
 * nothing about jobs and keeps no state.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "job.h"
#include "pg.h"
#include "verdict.h"

enum counted { COUNTED_NOT, COUNTED_COMPLETED, COUNTED_FAILED };

/* A claimed row. data is NULL when job_data is null or above its cap; pointers live as long as the result. */
struct claimed_row {
	const char *id, *session_id, *job_type, *data;
	const char *result;	/* of earlier attempts, or NULL: whatever an application may have put there */
	bool has_session;
	int64_t claim;
	int attempts, max_attempts;
	int counted_as;
	int64_t data_bytes;	/* -1: job_data is null */
};

int queue_claim(struct pg *pg, int jobs, const char *identity, pg_answer_fn *answer, void *arg);
void queue_claimed_row(const PGresult *result, int row, struct claimed_row *out);

/* Which of n keys the phrase cache knows, no older than ttl_ms. */
int queue_lookup(struct pg *pg, const char *const *keys, size_t n, int64_t ttl_ms, pg_answer_fn *answer, void *arg);

struct cached_row {
	const char *key, *rating;
	const char *alternatives;	/* as a text[] literal */
	const char *reason;		/* "" when there is none */
	const char *provenance;		/* JSON, or NULL */
};

void queue_cached_row(const PGresult *result, int row, struct cached_row *out);

/* Rows (job_id, line_index, line_text) that earlier attempts at these jobs have stored. */
int queue_stored(struct pg *pg, struct job *const *jobs, size_t n, pg_answer_fn *answer, void *arg);

/* What becomes of one job, with the lines that go with it. Everything is borrowed. */
struct settle_line {
	const struct line *line;
	const char *rating;
	const char *alternatives;	/* as a text[] literal */
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
};

int queue_settle(struct pg *pg, const struct settlement *const *s, size_t n, int64_t cache_ttl_ms,
		 pg_answer_fn *answer, void *arg);
/* A row of the answer: the job's id, and whether it was still ours. */
const char *queue_settled_row(const PGresult *result, int row, bool *settled);
/* Lines stored by the whole settlement. */
int64_t queue_settled_lines(const PGresult *result);

/* ids of jobs in hand; the others under this identity go back. Rows: their ids. */
int queue_disown(struct pg *pg, const char *identity, struct job *const *jobs, size_t n,
		 pg_answer_fn *answer, void *arg);

/* A text[] literal of a list of strings, in arena. */
const char *queue_text_array(struct arena *arena, const char *const *items, size_t n);

#endif
