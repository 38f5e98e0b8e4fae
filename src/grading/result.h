/* What a job under way says of itself in its row; for grading.c. All texts are in the job's arena. */
#ifndef GRADING_RESULT_H
#define GRADING_RESULT_H

#include "grading/grading.h"

/* Takes the counts from the result of earlier attempts. It may be NULL, or anything. */
void grading_carry_over(struct grading *g, const char *result);

/* "no rating for lines 12, 13 (the reply left the line out), 15 (...)"; unrated: how many there are, not 0. */
const char *grading_name_unrated(struct grading *g, size_t unrated);

/* The job's `result`. */
const char *grading_write_result(struct grading *g, const struct rater *rater, size_t unrated);

#endif
