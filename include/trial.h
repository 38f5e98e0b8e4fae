/* Whether raters could be opened, found out by a child of the supervisor. */
#ifndef TRIAL_H
#define TRIAL_H

#include "config.h"
#include "err.h"

#define TRIAL_MS 2000

/* Rater and fallback, as `gradingd -t` tries them: nothing is asked. A matter of milliseconds; 0, or -1 and err. */
int trial_raters(const struct config *config, struct err *err);

#endif
