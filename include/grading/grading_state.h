/*
 * What a worker knows of a job under way, and where the job stands. Anybody may read it; each part
 * names the file that writes it, through whose functions all others go.
 */
#ifndef GRADING_STATE_H
#define GRADING_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "queue/job.h"
#include "queue/queue.h"
#include "queue/rowset.h"
#include "rater/rater.h"
#include "scoreboard/outcome.h"
#include "scoreboard/throttle.h"

struct graded_line;
struct session_grade;

#define WHOLE_KEY_SIZE 65	/* hex SHA-256 and NUL */

/* Where a job stands. It moves forward only, but for asking and held back, which may take turns. */
enum grading_phase {
	GRADING_LOOKUP,			/* its lines are being looked up */
	GRADING_ASKING,			/* its lines are in calls, or wait for those of others */
	GRADING_HELD_BACK,		/* some are to be asked about, but no call is free */
	GRADING_DECIDED_IN_LOOKUP,	/* decided, but the look-up's answer is still to come */
	GRADING_DECIDED,		/* its settlement is final: nothing more will be asked */
};

/* The calls of this claim. Written by calls.c. */
struct grading_calls {
	struct ask **asks;		/* n of them, NULL where answered */
	size_t n;
	size_t nstarted;		/* the first so many were let out */
	int nopen;			/* not answered yet, those included that were not let out */
	bool answered;			/* one was, well or not */
	bool one_by_one;		/* the first decides about the breaker */
	bool controlled;		/* a control was asked */
	bool in_doubt;			/* a refusal may be everybody's; its control tells */
};

/* What its lines have to do with the calls of others. Written by graded_line.c. */
struct grading_flight {
	size_t nlines;			/* lines that have a flight */
	size_t nwaiting;		/* of them, those that wait for another's call */
	bool ready;			/* one was given a rating, or is free to be asked */
	bool waited;			/* some of its time went by in waiting, in vain */
};

/* Its way into the database. Written by grading_settle.c, but for `row` and `opened`. */
struct grading_settle {
	bool under_way;			/* a settlement of it is gathered or sent */
	bool last;			/* that one is the decided one, not one that only stores */
	bool stored_before;		/* something of it may be in the tables: SETTLE_ANY */
	bool refused;			/* the database refused its ratings: none is sent again */
	bool opened;			/* a settlement made its session's row: settler.c's */
	struct rowset_row row;		/* among those that wait to be settled: settler.c's */
};

/* What it took, over all attempts: carried over from `result` by result.c, added to by calls.c. */
struct grading_used {
	int calls;
	int64_t prompt_tokens, completion_tokens, latency_ms;
	int64_t cost_nanos;		/* in billionths of the currency of the prices */
	const char *model;		/* as the provider named it last; NULL: it did not */
};

/* How its session was graded as a whole, where that is the job. Written by whole_grade.c. */
struct grading_whole {
	char key[WHOLE_KEY_SIZE];	/* of equal sessions; "": none, as nothing is remembered */
	const struct session_grade *grade;	/* NULL: none yet */
	const char *provenance;		/* an object as JSON */
	const char *given_at;		/* a timestamptz as text; NULL: just now */
	bool cached;			/* an equal session got it before */
	bool remember;			/* the first rater's: good for equal sessions */
	bool waiting;			/* it is not over: this claim ends with that */
	int waits;			/* claims that found so */
};

struct grading {
	/* Who it is: grading_new()'s, and the claimer's, which adds how it was claimed. */
	struct job job;			/* its arena owns all that follows */
	struct graded_line *lines;	/* job.nrated of them */
	struct grading *prev, *next;	/* in the worker's list, oldest first */
	int64_t claimed_ms;
	int64_t deadline_ms;
	int64_t bytes;			/* of job_data */
	bool held;			/* by its row's lock alone: never written down as claimed */
	bool keyed;			/* its lines have keys: they go through the phrase cache */

	struct rater *rater;		/* who is asked: the worker's, or its fallback */
	struct permit permit;		/* of a metered rater, for the next call: permits.c's */

	enum grading_phase phase;	/* grading_state.c's */
	struct grading_calls calls;
	struct grading_flight flight;
	struct grading_settle settle;
	struct err *err;		/* the failure that decides, or NULL: calls.c's */
	struct settlement settlement;	/* what is sent: decide.c's, its lines grading_settle.c's */

	int free_retries;		/* earlier claims that failed unexplained, free of charge */
	bool used_free_retry;		/* such a failure in this claim too: decide.c's */
	int worker_deaths;		/* of workers that held it, as the janitor counts them */
	size_t cached;			/* lines rated by the phrase cache: gifts.c's */
	size_t nfailed;			/* lines without a rating at the end: decide.c's */
	size_t outcomes[OUTCOME_COUNT];	/* of the lines asked about, over all attempts */
	size_t stray;			/* ratings that nobody asked for, over all attempts */
	struct grading_used used;
	struct grading_whole whole;
};

/* Nothing more will be asked about it. */
static inline bool grading_is_decided(const struct grading *g)
{
	return g->phase >= GRADING_DECIDED_IN_LOOKUP;
}

static inline bool grading_in_lookup(const struct grading *g)
{
	return g->phase == GRADING_LOOKUP || g->phase == GRADING_DECIDED_IN_LOOKUP;
}

/*
 * The look-up was answered; no call is free for its open lines; one is. Each returns false, and
 * changes nothing, where that does not follow on the phase.
 */
bool grading_end_lookup(struct grading *g);
bool grading_hold_back(struct grading *g);
bool grading_go_on(struct grading *g);
/* Decided, in whatever phase: for decide.c, which fills the settlement. */
void grading_end_asking(struct grading *g);

/* Failures that nobody can explain, while others get answers, which cost a job no attempt. */
#define GRADING_FREE_DOUBTS 2
/* The same when others meet such failures now and then. */
#define GRADING_FREE_DOUBTS_FLAKY 12
/* Claims that may end without an attempt counted before the job is suspected of being the cause. */
#define GRADING_FREE_CLAIMS 2

bool grading_is_suspect(const struct grading *g);
/* The attempt under way is the last one that the job has. */
bool grading_is_last_attempt(const struct grading *g);

#endif
