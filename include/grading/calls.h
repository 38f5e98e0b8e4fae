/*
 * The calls of a job under way: its open lines split into calls, which go out a few at a time, and
 * what their answers say of the lines.
 */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "grading/grading_state.h"
#include "rater/rater.h"

#define GRADING_CALLS_AT_ONCE 4		/* for one job, however many lines it has */

/* Lines without a rating, in no call, and waiting for none. */
size_t grading_open_lines(const struct grading *g);

/*
 * Splits its open lines into calls (none when none are open; failed attempts make them smaller)
 * and starts the first few, as the rater's gate lets them. grading_ask_more() starts what is left,
 * as answers are taken. Lines that cease to wait are asked about by another grading_ask(). After a
 * job was put back its calls begin with another one each time, so that what stopped it does not
 * keep the same lines waiting.
 */
void grading_ask(struct grading *g, struct rater *rater);
void grading_ask_more(struct grading *g, struct rater *rater);
/* From now on one call at a time, or GRADING_CALLS_AT_ONCE. */
void grading_ask_one_by_one(struct grading *g, bool one_by_one);
/*
 * Asks, before its own lines, about one that anybody can rate. Who answers that is well; nothing
 * of the answer is kept. A failure from outside, or an unclear one, ends the claim: its lines are
 * not asked about.
 */
void grading_ask_control(struct grading *g, struct rater *rater);

/*
 * A call was refused, nobody knows for whose sake. Until a control has brought an answer, no line
 * of it is beyond help.
 */
void grading_doubt_refusal(struct grading *g);
/* Its calls are back, one of them so refused, and no control was asked yet. */
bool grading_owes_control(const struct grading *g);

/* Calls under way. */
size_t grading_calls_open(const struct grading *g);
/* Whether a call of this claim has brought a rating. */
bool grading_got_on(const struct grading *g);

/* Takes an answered call's verdicts; remember: they are to go into the phrase cache. */
void grading_take_answer(struct grading *g, struct ask *ask, const struct rater *rater,
			 bool remember);
/*
 * A call failed, or was not made: err is what decides, unless a failure noted before does. When
 * nobody is to blame here (err_is_outside()), calls that did not go out yet are dropped.
 */
void grading_note_failure(struct grading *g, const struct err *err);
/* Its open lines are not asked about, for this reason. Calls under way go on, and decide. */
void grading_put_off(struct grading *g, const struct err *err);
/* No call is under way: lines without a rating are open for another rater, asked from scratch. */
void grading_hand_over(struct grading *g, struct rater *rater);
/*
 * Gives up its calls. Those in g->calls.asks below what g->calls.nstarted was stay readable, NULL
 * where answered before: what they took counts for the job, and err is set where the answer did
 * not come.
 */
void grading_cancel(struct grading *g, struct rater *rater);

#endif
