/* Ratings that cost no call: from the phrase cache, from an equal line, from an earlier attempt. */
#ifndef GIFTS_H
#define GIFTS_H

#include "config/config.h"
#include "grading/graded_line.h"
#include "grading/grading_state.h"
#include "queue/queue.h"

/* An answer of the phrase cache for a line. Its provenance says so. */
void grading_give_cached(struct graded_line *line, const struct config *config,
			 const struct cached_row *cached);
/* The rating that an equal line has just been given: as from the cache, where it is going. */
void grading_give_equal(struct graded_line *line, const struct config *config,
			const struct graded_line *rated);
/* An earlier attempt has stored this line already. */
void grading_give_stored(struct grading *g, int index, const char *text);

#endif
