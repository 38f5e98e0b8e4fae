/*
 * What a job under way says of itself in its row, for decide.c and grading.c. All texts are in the
 * job's arena.
 */
#ifndef RESULT_H
#define RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "grading/grading_state.h"
#include "rater/rater.h"

/* Takes the counts from the result of earlier attempts. It may be NULL, or anything. */
void result_carry_over(struct grading *g, const char *result);

/*
 * The result of earlier attempts (an object, or NULL) with the mark that the job has waited for
 * others of its session; and whether one has that mark.
 */
const char *result_mark_waited(struct grading *g, const char *earlier);
bool result_has_waited(const char *earlier);
/* The same with how often it has waited for its session to be over. */
const char *result_mark_waits(struct grading *g, const char *earlier, int waits);

/*
 * "no rating for lines 12, 13 (the reply left the line out), 15 (...)"; unrated: how many there
 * are, not 0.
 */
const char *result_name_unrated(struct grading *g, size_t unrated);

/* The job's `result`: what was done and what it took, earlier attempts included. */
const char *result_write(struct grading *g, const struct rater *rater, size_t unrated);

#endif
