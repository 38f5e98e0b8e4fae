/*
 * One job under way in a worker: from the claimed row to the settlement. It parses, splits into calls,
 * collects verdicts and decides what becomes of the job; when to claim, send or stop is worker.c's.
 */
#ifndef GRADING_H
#define GRADING_H

#include "grading/graded_line.h"
#include "queue/queue.h"
#include "rater/rater.h"

/*
 * Where a job stands. It moves forward only, but for asking and held back, which may take turns; the functions
 * below and grading_end() move it, nothing else does.
 */
enum grading_phase {
	GRADING_LOOKUP,			/* its lines are being looked up */
	GRADING_ASKING,			/* its open lines are asked about, or wait for the calls of others */
	GRADING_HELD_BACK,		/* some are to be asked about, but the rater has all its calls */
	GRADING_DECIDED_IN_LOOKUP,	/* decided, but the look-up's answer is still to come */
	GRADING_DECIDED,		/* its settlement is final: nothing more will be asked */
};

/* The calls of this claim; grading.c's. */
struct grading_calls {
	struct ask **asks;		/* n of them, NULL where answered */
	size_t n;
	size_t nstarted;		/* the first so many were let out */
	int nopen;			/* not answered yet, those included that were not let out */
	bool answered;			/* one was, well or not */
	bool one_by_one;		/* the first decides about the breaker */
	bool controlled;		/* a control was asked */
};

/* What its lines have to do with the calls of others; the worker's single flight's. */
struct grading_flight {
	size_t nlines;			/* lines that have a flight */
	size_t nwaiting;		/* of them, those that wait for another's call */
	bool ready;			/* one was given a rating, or is free to be asked */
	bool waited;			/* one waited in vain */
};

/* Its way into the database; grading.c's, and the worker's settler's. */
struct grading_settle {
	bool under_way;			/* a settlement of it is gathered or sent */
	bool last;			/* that one is the decided one, not one that only stores */
	bool stored_before;		/* something of it may be in the tables: SETTLE_ANY */
	bool alone;			/* settled by itself, because a batch with it was refused */
	bool refused;			/* the database refused its result */
	int64_t failed_ms;		/* when one could not be carried out, 0: none was */
	int most;			/* jobs of that moment sent together next time, at most */
};

struct grading {
	struct job job;			/* its arena owns all that follows */
	struct rater *rater;		/* who is asked: the worker's, or its fallback */
	struct grading *prev, *next;	/* in the worker's list, oldest first */
	int64_t claimed_ms;
	int64_t deadline_ms;
	int64_t bytes;			/* of job_data */
	enum grading_phase phase;
	bool held;			/* by its row's lock alone: never written down as claimed */
	bool keyed;			/* its lines have keys: they go through the phrase cache */
	struct graded_line *lines;	/* job.nrated of them */
	struct grading_calls calls;
	struct grading_flight flight;
	struct grading_settle settle;
	struct settlement settlement;	/* what is sent */
	struct permit permit;		/* of a metered rater, for the next call; the worker's permits' */
	struct err *err;		/* the failure that decides, NULL: none; see grading_note_failure() */
	int free_retries;		/* earlier claims with an unexplained failure that cost no attempt */
	bool used_free_retry;		/* in this claim too */
	int worker_deaths;		/* that it was held in, as the recovering statement counts them */
	size_t cached;			/* lines rated by the phrase cache */
	size_t nfailed;			/* lines without a rating, once it is completed or failed */
	size_t outcomes[OUTCOME_COUNT];	/* of the lines asked about, over all attempts */
	size_t stray;			/* ratings for lines nobody asked about, over all attempts */
	struct grading_used {
		int calls;
		int64_t prompt_tokens, completion_tokens, latency_ms;
		int64_t cost_nanos;	/* in billionths of the currency of the prices */
		const char *model;	/* as the provider named it last; NULL: it did not */
	} used;				/* by all calls of all attempts */
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
/* Transitions: the look-up has been answered; no call is free for its open lines; one is. */
void grading_end_lookup(struct grading *g);
void grading_hold_back(struct grading *g);
void grading_go_on(struct grading *g);

/*
 * From a claimed row. A job that cannot be read is decided at once (failed, with the reason). Keys are
 * computed when with_keys is set.
 */
struct grading *grading_new(const struct claimed_row *row, const struct rater *rater, bool with_keys);
void grading_free(struct grading *g);

/* An answer of the phrase cache for a line. Its provenance says so. */
void grading_give_cached(struct graded_line *line, const struct config *config, const struct cached_row *cached);
/* The rating that an equal line has just been given: as from the cache, which it is on its way to. */
void grading_give_equal(struct graded_line *line, const struct config *config, const struct graded_line *rated);
/* An earlier attempt has stored this line already. */
void grading_give_stored(struct grading *g, int index, const char *text);

/* Without a rating, in no call, and waiting for none. */
size_t grading_open_lines(const struct grading *g);
/*
 * Splits its open lines into calls (none when none are open; failed attempts make them smaller) and
 * starts the first few, as the rater's gate lets them. The others follow as answers are taken. Lines that were
 * waiting are asked by another go. After a job was
 * put back they begin with another one each time, so that what stopped it does not keep the same lines waiting.
 */
void grading_ask(struct grading *g, struct rater *rater);
void grading_ask_more(struct grading *g, struct rater *rater);
#define GRADING_CALLS_AT_ONCE 4		/* for one job, however many lines it has */
/* So many times a call for it may fail free of charge, though others get answers and nobody knows why, */
#define GRADING_FREE_DOUBTS 2
#define GRADING_FREE_DOUBTS_FLAKY 12	/* and when others meet the same now and then */
/* It was put back so often, for whatever reason, that it may be what fails. */
#define GRADING_FREE_CLAIMS 2
bool grading_is_suspect(const struct grading *g);
/*
 * Asks, before its own lines, about one that anybody can rate. Who answers that is well; nothing of the answer is
 * kept. A failure from outside, or an unclear one, ends the claim: its lines are not asked about.
 */
void grading_ask_control(struct grading *g, struct rater *rater);
/* Calls under way. */
size_t grading_calls_open(const struct grading *g);
/* Whether a call of this claim has brought a rating. */
bool grading_got_on(const struct grading *g);
/* All calls are back: what is open is for another rater now, who is to be asked anew. */
void grading_hand_over(struct grading *g, struct rater *rater);
/* Takes an answered call's verdicts; remember: they are to go into the phrase cache. */
void grading_take_answer(struct grading *g, struct ask *ask, const struct rater *rater, bool remember);
/*
 * Gives up its calls. Those in g->calls.asks below what g->calls.nstarted was stay readable, NULL where answered before: what they
 * took counts for the job, and err is set where the answer did not come.
 */
void grading_cancel(struct grading *g, struct rater *rater);

/*
 * All calls are back: completed, failed, or pending for another attempt. When no attempt is left, or none
 * would help, a job that has ratings is completed, and names the lines without one in result and error.
 */
void grading_decide(struct grading *g, const struct rater *rater);
/* Back to the queue as it was, no attempt counted (shutdown), with what it has so far. */
void grading_release(struct grading *g, const char *why, int64_t delay_ms);
/* Decides as grading_decide() does, for lines that no call has answered and for this reason. */
void grading_fail(struct grading *g, const struct err *err, const struct rater *rater);
/* Its open lines are not asked about, for this reason; calls under way go on, and the decision is theirs. */
void grading_put_off(struct grading *g, const struct err *err);
/*
 * Fills its settlement with the ratings that are not stored yet. While calls are still under way that is
 * one that only stores; false when there is nothing to send.
 */
bool grading_attach(struct grading *g);
/* Its settlement is its first and its last one, with all its lines rated. */
bool grading_is_first(const struct grading *g);
/* The settlement was answered: stored, or not (lost on the way, to be sent again). */
void grading_attached_done(struct grading *g, bool stored);
/* The database refuses its result for good: it ends as failed without one. */
void grading_refuse(struct grading *g, const char *why);

#endif
