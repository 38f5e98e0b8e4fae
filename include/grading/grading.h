/*
 * One job under way in a worker, from the claimed row to the settlement: its making, and the doors
 * of its parts. When to claim, send or stop is the worker's.
 */
#ifndef GRADING_H
#define GRADING_H

#include <stdbool.h>

#include "grading/calls.h"
#include "grading/decide.h"
#include "grading/gifts.h"
#include "grading/graded_line.h"
#include "grading/grading_check.h"
#include "grading/grading_settle.h"
#include "grading/grading_state.h"
#include "queue/queue.h"
#include "rater/rater.h"

/*
 * From a claimed row. A job that cannot be read is decided at once (failed, with the reason). Keys
 * are computed when with_keys is set. rater, held and permit are the claimer's to set.
 */
struct grading *grading_new(const struct claimed_row *row, const struct rater *rater,
			    bool with_keys);
void grading_free(struct grading *g);

#endif
