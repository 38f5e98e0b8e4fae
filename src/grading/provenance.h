/* Provenance: where a rating comes from, stored once for all ratings that have the same. */
#ifndef PROVENANCE_H
#define PROVENANCE_H

#include "base/arena.h"
#include "base/buf.h"
#include "rater/rater.h"

/*
 * Of ratings that the rater has just given, by this model (NULL: the one that was asked for), or of
 * the grade of a whole session; in the arena.
 */
const char *provenance_fresh(struct arena *arena, const struct rater *rater, const char *model,
			     bool whole);

/* Its members that name the rater; a job's result has them too. */
void provenance_write_rater(struct buf *b, const struct rater *rater, const char *model);

#endif
