/*
 * Whose fault it is that a call brought nothing: the provider's, the job's, or nobody knows yet. It
 * keeps nothing and changes nothing but the failed call's err; dispatch.c acts on what it finds.
 */
#ifndef WORKER_FAULT_H
#define WORKER_FAULT_H

#include "grading/grading.h"
#include "context.h"

/* What an answered call says of the rater that was asked. */
enum fault {
	FAULT_UNSAID,		/* nothing to go by */
	FAULT_NONE,		/* it works: it rated a line, or said what is wrong with these */
	FAULT_ALIVE,		/* it answers, to no use, as the job has met before */
	FAULT_USELESS,		/* it answers, to no use; often in a row, that is its own fault */
	FAULT_REFUSED,		/* it refuses, nobody knows what; often in a row, the same */
	FAULT_UNPLACED,		/* so it does, before a control: that is to tell */
	FAULT_SILENCE,		/* nobody gets answers, nobody knows why: it is away */
	FAULT_OUTSIDE,		/* it is away, refuses us or limits our rate: err says so */
};

/*
 * Of a call to the first rater. probing: the call decides about the breaker. May change
 * ask->err->kind.
 */
enum fault fault_of_rater(const struct context *ctx, struct ask *ask, bool probing);

/* Of a call to the fallback: unsaid, none, or outside. May change ask->err->kind. */
enum fault fault_of_fallback(const struct context *ctx, struct ask *ask);

/* FAULT_USELESS, too often: makes the answer a failure of the rater. */
void fault_blame_rater(const struct rater *rater, struct ask *ask);

/*
 * Whether the lines of g are to be preceded by a control (grading_ask_control()). When a job that
 * fails is the only one, nobody knows whether the provider is away or this job's lines break its
 * calls; and it would be asked about for ever, since an outage may cost no attempt. The same when
 * jobs fail one after the other and the breaker asks for a sign of life. So the provider is asked
 * something else first.
 */
bool fault_needs_control(const struct context *ctx, const struct grading *g, bool probing);

/* Fills err for a job whose queue.job_deadline has come. */
void fault_past_deadline(const struct config *config, const struct grading *g, struct err *err);

#endif
