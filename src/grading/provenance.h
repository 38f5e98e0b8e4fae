/* Provenance: where a rating comes from, as it is stored beside it. */
#ifndef PROVENANCE_H
#define PROVENANCE_H

#include "base/arena.h"
#include "base/buf.h"
#include "rater/rater.h"

/* Both are in the arena. */

/* Of ratings that the rater has just given, by this model (NULL: the one that was asked for). */
const char *provenance_fresh(struct arena *arena, const struct rater *rater, const char *model);

/* Of a rating from the phrase cache, from the cached one, which may be NULL or anything. */
const char *provenance_cached(struct arena *arena, const char *provenance);

/* Its members that name the rater; a job's result has them too. */
void provenance_write_rater(struct buf *b, const struct rater *rater, const char *model);

#endif
