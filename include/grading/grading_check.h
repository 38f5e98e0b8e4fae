/* What must be true of a job under way between two turns of its worker. */
#ifndef GRADING_CHECK_H
#define GRADING_CHECK_H

#include "grading/grading_state.h"

/* Fatal where it is not, in builds that look at invariants (base/invariant.h); else nothing. */
void grading_check(const struct grading *g);

#endif
