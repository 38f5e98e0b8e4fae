/*
 * From jobs looked up to verdicts: hands their open lines to a rater, takes its answers, tells the
 * breaker what they say of the rater, and has jobs decided that are complete.
 */
#ifndef WORKER_DISPATCH_H
#define WORKER_DISPATCH_H

#include "context.h"
#include "joblist.h"
#include "permits.h"
#include "single_flight.h"

struct dispatch {
	const struct context *ctx;
	struct joblist *jobs;
	struct permits *permits;
	struct flights *flights;
	bool probing;			/* this worker's next call decides about the breaker */
	bool provider_away;		/* its last call found nobody who answers */
	int64_t fallback_not_before_ms;	/* until then the fallback is not available either */
};

void dispatch_init(struct dispatch *d, const struct context *ctx, struct joblist *jobs,
		   struct permits *permits, struct flights *flights);

/* lookup_begin()'s: the n jobs have been looked up, and are asked about. arg is the dispatch. */
void dispatch_looked_up(void *arg, struct grading *const *gradings, size_t n);
/*
 * Takes what the raters have answered; goes on with jobs whose lines waited; decides those
 * complete.
 */
void dispatch_take_answers(struct dispatch *d);

/*
 * Gives up the calls of g; they have gone out and count. Its lines wait for nobody, and nobody for
 * them.
 */
void dispatch_cancel(struct dispatch *d, struct grading *g);
/* Takes g off the list and frees it, whatever it waits for. */
void dispatch_drop(struct dispatch *d, struct grading *g);

/* The claim under way may bring the job that decides about the breaker. */
void dispatch_begin_probe(struct dispatch *d);
/* The probe came to no call: another worker may try. Harmless without one. */
void dispatch_end_probe(struct dispatch *d);
/* No claim is on its way: without a job for the first rater the probe has come to nothing. */
void dispatch_check_probe(struct dispatch *d);

/* How long until the fallback may be asked again, 0: now. */
int64_t dispatch_fallback_wait(const struct dispatch *d, int64_t now_ms);

/* Jobs in hand that this rater is, or is still to be, asked about. */
int dispatch_asked_of(const struct dispatch *d, const struct rater *rater);

void dispatch_check(const struct dispatch *d);

#endif
