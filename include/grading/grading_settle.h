/* A job's way into the database: what a settlement of it carries, and what comes of that. */
#ifndef GRADING_SETTLE_H
#define GRADING_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "grading/grading_state.h"

/* It is decided, or has a rating that is neither stored nor under way. */
bool grading_has_news(const struct grading *g);
/*
 * Fills its settlement with the ratings that are not stored yet. While calls are still under way
 * that is one that only stores. False, and nothing is changed, when there is nothing to send, or
 * one is under way.
 */
bool grading_attach(struct grading *g);
/* The settlement was answered: stored, or not (lost on the way, to be sent again). */
void grading_attached_done(struct grading *g, bool stored);

/* Its settlement is its first and its last one, with all its lines rated. */
bool grading_is_first(const struct grading *g);
/* From now on it is not: something of it may be in the tables. */
void grading_may_be_stored(struct grading *g);

/*
 * The database refuses its ratings for good: none of them is sent again. For decide.c's
 * grading_end_unstorable().
 */
void grading_keep_lines_back(struct grading *g);

#endif
