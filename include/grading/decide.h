/* What becomes of a job under way: completed, failed, or pending for another attempt. */
#ifndef DECIDE_H
#define DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "grading/grading_state.h"
#include "rater/rater.h"

/*
 * All calls are back: completed, failed, or pending for another attempt. When no attempt is left,
 * or none would help, a job that has ratings is completed, and names the lines without one in
 * result and error.
 */
void grading_decide(struct grading *g, const struct rater *rater);
/* Decides as grading_decide() does, for lines that no call has answered and for this reason. */
void grading_decide_for(struct grading *g, const struct err *err, const struct rater *rater);
/* Shutdown: back to the queue with what it has so far, no attempt counted. why: or NULL. */
void grading_release(struct grading *g, const char *why, int64_t delay_ms);
/* Its row cannot be read: it ends as failed, for this reason. */
void grading_end_unreadable(struct grading *g, const char *why);
/*
 * Its row cannot be read before other jobs of its session are there: back to the queue, no attempt
 * counted, with a mark in `result` (earlier: what is there, an object, or NULL).
 */
void grading_wait_for_others(struct grading *g, const char *earlier, int64_t delay_ms,
			     const char *why);
/*
 * It grades its session as a whole, which is not over: back to the queue, no attempt counted, each
 * time for longer, with the number of times in `result`.
 */
void grading_wait_for_session(struct grading *g, const char *earlier, const char *why);
/* The database refuses its result for good: it ends as failed without one. */
void grading_end_unstorable(struct grading *g, const char *why);

/* A failure that nobody can explain costs this claim no attempt; its result will say so. */
void grading_use_free_retry(struct grading *g);

#endif
