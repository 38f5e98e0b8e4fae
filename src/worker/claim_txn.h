/*
 * A worker's way through a deep queue with a rater that answers at once: a claim that is held by
 * the locks of its rows, rated, completed and committed in one transaction, so that it is never
 * written down. That spares a third of what a job costs the server. Whatever goes wrong in between,
 * be it this worker's death, nothing has happened; what cannot end as completed is left alone here,
 * and claimed in the ordinary way next.
 */
#ifndef WORKER_CLAIM_TXN_H
#define WORKER_CLAIM_TXN_H

#include "claim_size.h"
#include "context.h"
#include "dispatch.h"
#include "joblist.h"
#include "settler.h"

struct claim_txn {
	const struct context *ctx;
	struct joblist *jobs;
	struct dispatch *dispatch;
	struct settler *settler;
	struct claim_size *size;
	bool open;			/* a transaction is open: nothing else may be sent */
	bool committing;		/* an earlier one is: no settlement meanwhile */
	bool write_next;		/* the next claim is to be an ordinary one */
	int under_way;			/* jobs that the one to be committed completes */
	int left;			/* jobs not taken after all, since somebody asked */
	uint64_t completed;		/* jobs, in this worker's life */
	int64_t opened_ms, committing_since_ms;
	const struct settlement *gathered[WORKER_BATCH_MAX];
	enum settled settled[WORKER_BATCH_MAX];
	struct err err;			/* why what it was to complete is not */
};

void claim_txn_init(struct claim_txn *t, const struct context *ctx, struct joblist *jobs,
		    struct dispatch *dispatch, struct settler *settler, struct claim_size *size);

/* Whether the next claim should be held by locks alone; deep: as in struct claimer. */
bool claim_txn_fits(const struct claim_txn *t, bool deep);
/* Of what it brings only such jobs can be completed so. */
bool claim_txn_can_complete(const struct claimed_row *row);
/* Claims so. -1 as pg_send(). */
int claim_txn_begin(struct claim_txn *t, const struct claim *claim, pg_answer_fn *answer,
		    void *arg);
/* The next claim is to go out in the ordinary way; and it does. */
void claim_txn_write_next(struct claim_txn *t);
void claim_txn_written(struct claim_txn *t);

/* n jobs that the claim brought are for an ordinary one, the next. */
void claim_txn_leave(struct claim_txn *t, int n);
/* How many were left since this was asked last: they can be claimed now. */
int claim_txn_take_left(struct claim_txn *t);

/* The claim was answered: completes and commits what it brought; nothing without one. */
void claim_txn_end(struct claim_txn *t);
/* The connection is gone, and with it what it held. */
void claim_txn_lose(struct claim_txn *t);

void claim_txn_check(const struct claim_txn *t);

#endif
