/*
 * What claims pass: the places of jobs for which a claim was refused, or that it was given and did
 * not get (scoreboard/pass.h). Who of them is to blame is the walk's to find out (walk.h). It sends
 * nothing.
 */
#ifndef WORKER_CLAIM_PASS_H
#define WORKER_CLAIM_PASS_H

#include "context.h"

struct claim_pass {
	const struct context *ctx;
	struct err refusal;		/* what the last claim was refused with */
	int refusals;			/* claims in a row that were, */
	int in_row;			/* and the places passed because of them */
};

void claim_pass_init(struct claim_pass *p, const struct context *ctx);

/*
 * A claim of so many jobs was refused because of some of them. Returns how many places are to be
 * asked for, from where it began: more the more was passed in a row.
 */
int claim_pass_refused(struct claim_pass *p, int asked, const struct err *err);
/* So many were refused in a row that there should be a pause. */
bool claim_pass_is_enough(const struct claim_pass *p);
/* These are the places. */
void claim_pass_peeked(struct claim_pass *p, const PGresult *places);

/*
 * Passes those rows of a claim that were locked and not claimed, although it succeeded: a trigger
 * was against it, or they are too large to go with others. Returns how many.
 */
int claim_pass_over(struct claim_pass *p, const PGresult *rows);
/* A claim brought jobs. */
void claim_pass_brought(struct claim_pass *p);

void claim_pass_check(const struct claim_pass *p);

#endif
