/*
 * What a rater is asked, as one JSON object on one line (the user message of `openai`, the line of
 * `command`). Judged text is data: it is only ever a JSON value here.
 */
#ifndef QUESTION_H
#define QUESTION_H

#include "base/buf.h"
#include "config/config.h"
#include "rater/rater.h"

/*
 * {"sales_rep","customer","scale","context","lines"}; context per config->rater.context_lines. Of a
 * session as a whole: {"task":"session","sales_rep","customer","scale","unrated","conversation"}.
 */
void question_write(struct buf *out, const struct config *config, const struct ask *ask);

/*
 * Entries of the transcript within context_lines before or after the lines asked about, themselves
 * excluded: calls each(arg, line) in order. Also what the cache key hashes.
 */
void question_each_context(const struct config *config, const struct job *job,
			   const struct line *const *lines, size_t n,
			   void (*each)(void *arg, const struct line *line), void *arg);
#endif
