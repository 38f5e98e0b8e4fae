/*
 * The grade of a session as a whole, in a job under way: what it is remembered by, who gives it,
 * and how it is written into the job's result, from where a settlement takes it.
 */
#ifndef WHOLE_GRADE_H
#define WHOLE_GRADE_H

#include "base/buf.h"
#include "grading/grading_state.h"
#include "queue/queue.h"
#include "rater/verdict.h"

/* Sets g->whole.key, of all that determines the grade, as this rater would give it. */
void whole_grade_key(struct grading *g, const struct rater *rater);

/* A verdict with a grade was given by rater, which names its model so (NULL: it does not). */
void whole_grade_take(struct grading *g, const struct verdict *v, const struct rater *rater,
		      const char *model);

/*
 * An equal session was graded before: the same for its line, held to the rules of an answer. What
 * breaks them is none, and the rater is asked.
 */
void whole_grade_give(struct grading *g, const struct graded_row *row, const struct config *config);

/* The members of a result that tell of it, each behind a comma; nothing without a grade. */
void whole_grade_write(struct buf *b, const struct grading *g, const struct config *config);

#endif
