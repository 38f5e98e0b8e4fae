/* A session as a whole by the rubric built in: counted from the ratings of its lines. Pure. */
#ifndef SESSION_RUBRIC_H
#define SESSION_RUBRIC_H

#include "rater/rater.h"

/* To be raised when the same ratings would bring another grade. */
#define SESSION_RUBRIC_ENGINE "session rubric 1"

/*
 * Fills the verdict of ask, which is about a session as a whole; ask->err, ERR_PERMANENT, where none
 * of its ratings is on the scale.
 *
 * score: the mean over all lines whose rating is on the scale of that rating's worth, which falls in
 * even steps from 100 for the first of the scale to 0 for its last, rounded half up. strengths and
 * improvements: the reasons of the lines worth 50 or more, and of the others, the most frequent
 * first, and of equally frequent ones the earliest; where a line has no reason, its rating.
 */
void session_rubric_grade(struct ask *ask, const struct config *config);

#endif
