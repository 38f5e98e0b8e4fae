/*
 * What becomes of a job under way: the part of it that grading.c needs. What others call is in grading.h
 * (grading_decide(), grading_fail(), grading_release(), grading_refuse()).
 */
#ifndef GRADING_DECIDE_H
#define GRADING_DECIDE_H

#include "grading/grading.h"

/*
 * Decided: the job gets this status ("pending" again delay_ms from now), counting an attempt or not. status and
 * error (NULL: none) outlive the settlement.
 */
void grading_end(struct grading *g, const char *status, bool attempt, int64_t delay_ms, const char *error);

/* A call failed, or was not made: err is what decides, unless a failure noted before does. */
void grading_note_failure(struct grading *g, const struct err *err);

/* The attempt under way is the last one that the job has. */
bool grading_is_last_attempt(const struct grading *g);

#endif
