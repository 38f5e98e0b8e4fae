/*
 * A worker's settlements: one statement on its way at a time, with all jobs that were ready when it
 * was sent. Nothing is dropped before the database has said that it is stored or that the job moved
 * on. Which of them the database refuses is found by queue/rowset.h.
 */
#ifndef WORKER_SETTLER_H
#define WORKER_SETTLER_H

#include "queue/rowset.h"
#include "context.h"
#include "dispatch.h"
#include "joblist.h"
#include "session_end.h"
#include "single_flight.h"

#define SETTLE_BYTES (16 << 20)	/* of job_data in one settlement; one job may be larger */

struct settler {
	const struct context *ctx;
	struct joblist *jobs;
	struct dispatch *dispatch;
	struct flights *flights;
	struct session_end *ends;
	struct rowset set;		/* jobs that are ready to be settled */
	struct grading *gathered[WORKER_BATCH_MAX];	/* under_way of them */
	int under_way;			/* jobs whose settlement is gathered or sent */
	bool to_send;			/* they are gathered, and not sent yet */
	enum settle_form form;		/* of that settlement */
	int64_t not_before_ms;		/* pause after trouble with a claim that was held */
};

void settler_init(struct settler *s, const struct context *ctx, struct joblist *jobs,
		  struct dispatch *dispatch, struct flights *flights, struct session_end *ends);

/*
 * Gathers all jobs that are ready to be settled, unless some are on their way. Returns how long to
 * wait before asking again, -1: until something else happens.
 */
int64_t settler_gather(struct settler *s);
/* Sends the settlement of those gathered. */
void settler_send(struct settler *s);

/* A job that is in hand may be settled now: whether there is any. */
bool settler_has_any(const struct settler *s, int64_t now_ms);

/* ---- for claim_txn.c, which sends settlements of its own ---- */

/* The settlement of g was answered: it was settled, or the job had moved on. May free g. */
void settler_finish(struct settler *s, struct grading *g, bool settled);
/*
 * A held claim could not be completed or committed: said where an operator can do something, and a
 * pause.
 */
void settler_held_failed(struct settler *s, const struct err *err);

void settler_check(const struct settler *s);

#endif
