/*
 * Looks freshly claimed jobs up, all of a claim together: their lines in the phrase cache, and what
 * an earlier attempt at them has stored.
 */
#ifndef WORKER_LOOKUP_H
#define WORKER_LOOKUP_H

#include "grading/grading.h"
#include "context.h"

/* The n jobs have been looked up, or could not be. */
typedef void lookup_done_fn(void *arg, struct grading *const *gradings, size_t n);

/*
 * Looks up n > 0 jobs of one claim, and calls done() once: later, or at once when there is nothing
 * to ask the database about. Until then nobody may free them. The array is copied.
 */
void lookup_begin(const struct context *ctx, struct grading *const *gradings, size_t n,
		  lookup_done_fn *done, void *arg);

/* The connection is closed: no answer comes any more, and done() is not called. */
void lookup_forget_all(void);

#endif
