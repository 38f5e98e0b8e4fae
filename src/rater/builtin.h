/* The rubric's rater: deterministic, no network, answers within start(). */
#ifndef BUILTIN_H
#define BUILTIN_H

#include "rater/rater.h"

extern const struct rater_ops rater_rubric_ops;

#endif
