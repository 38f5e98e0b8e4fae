/*
 * A worker's claims: when, how many, from where in the queue, and what to do with their answers.
 * One claim is on its way at a time; it asks for no more than there is room for.
 */
#ifndef WORKER_CLAIMER_H
#define WORKER_CLAIMER_H

#include "queue/turns.h"
#include "scoreboard/floor.h"
#include "claim_pass.h"
#include "claim_room.h"
#include "claim_state.h"
#include "context.h"
#include "walk.h"

struct claimer {
	const struct context *ctx;
	struct claimer_parts with;
	struct claim_pass pass;
	struct walk walk;		/* through what claims pass */
	enum claim_state state;
	int asked;			/* jobs that the claim under way is for */
	struct rater *asked_for;	/* who is to rate them */
	struct floors floors;		/* where the claim under way began to look, */
	struct floors passes;		/* and where at the earliest */
	struct floors seen;		/* floors of classes that it met, as yet unknown to the janitor */
	struct turns turns;		/* in which order it asks */
	bool from_floors;		/* it takes the floors at their word */
	uint64_t short_epoch;		/* of floors that brought less than was asked; 0: none */
	bool deep;			/* of claims that tell the depth, the last was full */
	bool brought;			/* the last claim in order brought jobs */
	int losses;			/* claims in a row that lost to others */
	bool took_some;			/* since the queue was empty last */
	int64_t exhausted_since_ms;
	int64_t sent_ms;		/* when the last claim went out */
	int64_t not_before_ms;		/* pause after trouble */
	bool tried_last;		/* the last statement claimed by name: others are next */
	uint64_t claimed;		/* jobs in this worker's life, but for those of claim_txn */
};

void claimer_init(struct claimer *c, const struct context *ctx, const struct claimer_parts *parts);

/*
 * Claims when there is room and reason to. Returns how long to wait before asking again, -1: until
 * something else happens.
 */
int64_t claimer_turn(struct claimer *c);

/* Something was inserted, is due, or went back; or the connection is there again. */
void claimer_wake(struct claimer *c);
/* The connection is gone: a wake that this worker took, and those to come, are for others. */
void claimer_pass_wake_on(struct claimer *c);

/* A claim or a step of the walk is on its way, or what it brought is not in hand yet. */
bool claimer_is_claiming(const struct claimer *c);
/* No statement of a claim is on its way, and no transaction is open. */
bool claimer_is_quiet(const struct claimer *c);
bool claimer_is_exhausted(const struct claimer *c);
/* The same, and what claims pass was tried as well. */
bool claimer_is_through(const struct claimer *c);

void claimer_check(const struct claimer *c);

#endif
