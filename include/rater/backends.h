/*
 * The registry of raters: which backend the configuration names. For workers, checks and gradingctl
 * doctor.
 */
#ifndef BACKENDS_H
#define BACKENDS_H

#include "rater/rater.h"

/*
 * The rater that config->rater.backend names, ready to be asked; the caller frees it with
 * rater_free(). NULL and err when it cannot be opened.
 */
struct rater *backends_open(const struct config *config, struct loop *loop, struct err *err);
/* The same for config->rater.fallback; NULL with ERR_NONE when there is none. */
struct rater *backends_open_fallback(const struct config *config, struct loop *loop,
				     struct err *err);

#endif
