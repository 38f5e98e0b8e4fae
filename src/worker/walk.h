/*
 * The walk through places that claims pass (scoreboard/pass.h): one worker of the host looks there
 * page by page, claims by name what can be claimed, and finds out which jobs the database refuses.
 * Those are named, set aside (scoreboard/aside.h) and tried again once a minute. It sends nothing:
 * claimer.c asks what comes next, and hands back the answers.
 *
 * Nobody is blamed but who was asked for alone and refused twice, with others claimed in between
 * (queue/rowset.h), or whom a trigger passed over. While other jobs wait as well, what is refused
 * may take a small share of this worker's time.
 */
#ifndef WORKER_WALK_H
#define WORKER_WALK_H

#include "queue/rowset.h"
#include "context.h"

#define WALK_ROWS 2048		/* in hand: so many that some of them can be claimed */
#define WALK_TRY_MAX 256	/* claimed with one statement */
#define WALK_PAGE 256		/* places looked at with one statement */
#define WALK_DUE 64		/* jobs to be tried again that are known by name at a time */
#define WALK_AGAIN_MS 60000	/* a job that is refused is left alone for so long */

struct walk_row {
	struct rowset_row row;
	struct floor place;
	bool large;		/* it is claimed alone */
};

enum walk_step {
	WALK_REST,		/* nothing to do for now */
	WALK_LOOK,		/* at the next page */
	WALK_TRY,		/* to claim some by name */
};

struct walk {
	const struct context *ctx;
	bool ours;			/* this worker walks */

	/* The round under way, from the first place that is passed to the last. */
	struct floors region;
	uint64_t raised;		/* passes as of its beginning */
	int at;				/* the class under look */
	struct floor from;		/* the next page begins there */
	bool looked;			/* all of it was looked at */
	bool found;			/* some of it is there still */
	int64_t next_round_ms;

	/* Jobs that were never tried, or not proven guilty yet. */
	struct rowset set;
	struct walk_row *rows;		/* WALK_ROWS while this worker walks, else NULL */
	int last_free;			/* where a free one was found last */
	struct walk_row *sent[WALK_TRY_MAX];
	uint64_t witnessed;		/* jobs that the host had claimed when the set last heard */

	/* Jobs set aside whose time has come. */
	unsigned char due[WALK_DUE][UUID_BYTES];
	int ndue;
	int again_most;			/* of them, in one statement */
	int64_t next_due_ms;

	/* Under way. */
	struct floor these[WALK_TRY_MAX];
	int nthese;
	bool again;			/* they were set aside before */
	int64_t sent_ms;

	int64_t patience_ms;		/* so long the next one waits for a lock */
	int64_t not_before_ms;
	int64_t said_since_ms;		/* of names in the log */
	int said, unsaid;
};

void walk_init(struct walk *w, const struct context *ctx);

/*
 * What comes next. WALK_REST with a *wait, -1: until somebody is refused. Takes the walk if nobody
 * has it.
 */
enum walk_step walk_next(struct walk *w, int64_t now, int64_t *wait);

/* For WALK_LOOK: sends it. -1 as pg_send(). */
int walk_look(struct walk *w, pg_answer_fn *answer, void *arg);
/* For WALK_TRY: chooses up to `most` jobs, w->these. Returns how many. */
int walk_gather(struct walk *w, int most, int64_t now);

/* The answer of walk_look(), or NULL when it was not carried out. */
void walk_looked(struct walk *w, const PGresult *result);
/*
 * The answer of a claim of w->these, as a claim has it. others: other jobs wait as well, for which
 * time is to be left.
 */
void walk_tried(struct walk *w, const PGresult *result, const struct err *err, int64_t now,
		bool others);

/* This worker stops: somebody else is to walk. */
void walk_leave(struct walk *w);

void walk_check(const struct walk *w);

#endif
