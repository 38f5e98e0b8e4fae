/* The phrase cache's keys: a hash of exactly what determined a rating. Pure. */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include "rater/rater.h"

#define PHRASE_KEY_SIZE 65	/* hex SHA-256 and NUL */

/* Key of one line of a job, with its context, as this rater would rate it. */
void phrase_key(const struct rater *rater, const struct job *job, const struct line *line,
		char key[PHRASE_KEY_SIZE]);

#endif
