/*
 * What a worker asks of a rater, and what every rater provides. A rater never retries: a call that
 * brought nothing is reported, and the queue asks again.
 */
#ifndef RATER_H
#define RATER_H

#include "base/loop.h"
#include "config/config.h"
#include "queue/job.h"
#include "rater/verdict.h"
#include "scoreboard/throttle.h"

struct rater;

/*
 * One call: some lines of one job. The worker makes it and owns it, and starts it once; between
 * rater_start() and its appearance in rater_next_done() (or rater_cancel()) the rater may read and
 * write it.
 */
struct ask {
	/* The worker's: what is asked. */
	struct job *job;		/* for names, context and memory */
	const struct line **lines;	/* to be rated, in order of the transcript */
	size_t nlines;
	bool control;			/* its question is no line of job, its answer known */
	struct verdict *verdicts;	/* nlines, PENDING at start; strings in job->arena */
	int64_t deadline_ms;		/* now_ms() at which the job must be settled */
	void *owner;			/* the worker's own business */

	/* The worker's, of a metered rater only: how it went out. */
	struct permit permit;		/* what it went out with */
	int64_t sent_ms;		/* now_ms() when it did */
	size_t bytes;			/* its size, roughly */

	/* The rater's answer. */
	struct err *err;		/* NULL: every verdict is set; otherwise none counts */
	struct {
		const char *model;	/* as the provider named it; NULL where there is none */
		int64_t prompt_tokens, completion_tokens;
		int64_t latency_ms;
		int calls;		/* how many went out: 0 or 1 */
		size_t stray;		/* ratings for lines nobody asked about */
		int64_t cost_nanos;	/* at the configured prices, in billionths; 0 without */
	} used;

	/* What there is to know about an err; false without one. */
	bool never_sent;		/* the provider has not seen it */
	bool about_lines;		/* it is about these lines: those of another job may do */
	bool unplaced;			/* a refusal: of these lines, or of every request */
	bool filtered;			/* denied; a filter on the way denies some lines alone */
	bool silent;			/* nothing came back: whether the rater works is open */

	/* The rater's own business. */
	void *rater_data;
	bool done;			/* answered: on the rater's done-list, or taken from it */
	struct ask *next;		/* on that list */
};

/* It is about its session as a whole: its one line stands for that, and so does its verdict. */
static inline bool ask_is_whole(const struct ask *ask)
{
	return ask->job->whole && !ask->control;
}

/* Lines of its job that it asks about. */
static inline size_t ask_job_lines(const struct ask *ask)
{
	return ask->control ? 0 : ask->nlines;
}

struct rater_ops {
	const char *name;		/* as in rater.backend */
	const char *advice;		/* for an operator, when no answer is of use */
	/* Ready to be asked, or -1 and err (ERR_CONFIG: an operator must act). */
	int  (*open)(struct rater *rater, struct err *err);
	/* Returns at once; later (or within) calls rater_done(rater, ask) exactly once. */
	void (*start)(struct rater *rater, struct ask *ask);
	/*
	 * After it returns nothing more happens to ask but that it says what was used. Only for
	 * asks not yet done.
	 */
	void (*cancel)(struct rater *rater, struct ask *ask);
	void (*close)(struct rater *rater);
	/*
	 * For backends that run something outside of this process, else NULL. check: whether it
	 * could be started now; -1 and err. stop: begins to end it; true when nothing is left.
	 * Called until then.
	 */
	int  (*check)(const struct rater *rater, struct err *err);
	bool (*stop)(struct rater *rater, bool at_once);
};

#define RATER_HASH_SIZE 17	/* so much of a hex SHA-256, and NUL */

struct rater {
	const struct rater_ops *ops;
	const struct config *config;
	struct loop *loop;
	/*
	 * Hex SHA-256 over all that determines a rating besides line and context: backend, model,
	 * prompt, scale, number of alternatives, schema (or the rubric's text). Set by open().
	 */
	char fingerprint[65];
	char prompt_hash[RATER_HASH_SIZE];	/* for provenance: the instructions' hash */
	char schema_hash[RATER_HASH_SIZE];	/* for provenance: that of an answer's form */
	struct {				/* the same of sessions as a whole */
		char fingerprint[65];
		char prompt_hash[RATER_HASH_SIZE], schema_hash[RATER_HASH_SIZE];
	} session;
	char model[128];		/* as asked for: "gpt-4o-mini", "rubric" */
	bool instant;			/* it answers within start(); pool.in_flight is no limit */
	int capacity;			/* jobs that it has use for now; 0: pool.in_flight */
	bool fallback;			/* it is rater.fallback */
	bool metered;			/* its calls count against the host's limits */
	size_t frame_bytes;		/* metered: a request's size without the question */
	int in_flight;			/* asks started and not taken back */

	/* The worker's, or NULL: whether this may go out now; asked just before rater_start(). */
	bool (*gate)(void *arg, struct ask *ask);
	void *gate_arg;

	void *data;			/* the backend's */
	struct ask *done_head, **done_tail;
};

/*
 * A rater of this backend, in its place of rater.backend or of rater.fallback; config and loop must
 * outlive it. NULL and err when it cannot be opened.
 */
struct rater *rater_new(const struct rater_ops *ops, bool fallback, const struct config *config,
			struct loop *loop, struct err *err);
void rater_free(struct rater *rater);
/* ops->check and ops->stop, where there are any. NULL is fine. */
int rater_check(const struct rater *rater, struct err *err);
bool rater_stop(struct rater *rater, bool at_once);
void rater_start(struct rater *rater, struct ask *ask);
/*
 * Whatever state it is in; afterwards nothing refers to ask any more. ask->used holds: the call may
 * have gone out.
 */
void rater_cancel(struct rater *rater, struct ask *ask);
/* The next answered ask, NULL when there is none. */
struct ask *rater_next_done(struct rater *rater);

/* For backends only. */
void rater_done(struct rater *rater, struct ask *ask);
/* The call failed; returns -1. Few do, and only those have a struct err, in their job's arena. */
int ask_fail(struct ask *ask, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * fingerprint from the parts that a backend adds; the common parts are the scale and alternatives.
 */
void rater_set_fingerprint(struct rater *rater, const char *const *parts, size_t n);

/*
 * The hashes by which provenance names them. instructions: the prompt, the rubric, the command
 * line; format: what an answer is made to look like, besides its scale and number of alternatives
 * ("" where nothing makes it).
 */
void rater_set_hashes(struct rater *rater, const char *instructions, const char *format);

/* All three for sessions as a whole; parts: what a backend adds to the fingerprint. */
void rater_set_session(struct rater *rater, const char *instructions, const char *format,
		       const char *const *parts, size_t n);

/* What a rater said, into ask's verdicts, by verdict.h or session_verdict.h; and ask->used.stray. */
void ask_read_words(struct ask *ask, const struct config *config, const char *words, size_t len);

#endif
