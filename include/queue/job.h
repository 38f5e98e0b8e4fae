/*
 * A job as claimed, and its transcript as the application wrote it. job_parse() is pure and takes
 * whatever jsonb an application stored; what it refuses, it refuses with a sentence for `error`.
 */
#ifndef JOB_H
#define JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"

#define JOB_DATA_CAP_BYTES (4u << 20)	/* job_data as text; more is failed unread */
#define JOB_LINES_CAP 10000		/* transcript entries a job */
#define LINE_TEXT_CAP_BYTES (32u << 10)	/* one line's text */
#define NAME_CAP_BYTES 200		/* salesRepName, customerName; more is cut at a character */

/* Names of speakers whose lines are rated, in lower case: rater.speakers. */
struct speakers { char *const *names; size_t n; };

/* One transcript entry with text. All strings live in the job's arena, valid UTF-8, never NULL. */
struct line {
	int index;			/* the line's index in its session */
	bool rated;			/* its speaker's lines are; the others are context */
	const char *speaker;
	const char *text;
	size_t text_len;
};

struct whole;		/* queue/whole.h */

struct job {
	struct arena arena;		/* owns everything below */
	char id[UUID_SIZE];
	char session_id[UUID_SIZE];
	int64_t claim;			/* fencing number of our claim */
	int times_claimed;		/* with this time */
	int attempts, max_attempts;
	int counted_as;			/* enum counted: how it stands in its session's counters */
	bool full;			/* job_type full_grading */
	const struct whole *whole;	/* it grades its session by this; NULL: a batch of lines */

	/* Lines in a full batch of the session, as its other jobs tell; 0: nothing. The row's. */
	int known_stride;
	/* The same, by which lines without an index got theirs; 0: they have their own. */
	int stride;

	const char *sales_rep;		/* "" when not given */
	const char *customer;
	int batch_index;		/* as job_data says, from 0; -1 when it does not */
	int total_batches;		/* as announced; 0 when not */
	struct line *lines;		/* in the order of the transcript */
	size_t nlines;
	size_t nrated;			/* lines with .rated */
	size_t skipped;			/* entries of a rated speaker without text */
	const char *notice;		/* who was rated, where that may surprise; NULL: nobody */
};

/*
 * Reads job_data into job (id, claim, known_stride and so on are the caller's). Returns 0, or -1
 * with err that says which entry is wrong and how: ERR_PERMANENT, or ERR_RETRY where nothing is
 * wrong with it, and other jobs of the session may yet tell what is missing.
 */
int job_parse(struct job *job, const struct speakers *rated, const char *job_data, size_t len,
	      struct err *err);

/*
 * The same for a job that grades its session as a whole: the array is `conversation`, which need
 * not be there.
 */
int job_parse_conversation(struct job *job, const struct speakers *rated, const char *job_data,
			   size_t len, struct err *err);

#endif
