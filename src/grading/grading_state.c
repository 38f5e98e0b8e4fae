/*
 * Where a job under way stands: the steps of enum grading_phase. Runs in workers; it knows nothing
 * of what makes a job take a step.
 */
#include "grading/grading_state.h"

bool grading_end_lookup(struct grading *g)
{
	if (!grading_in_lookup(g))
		return false;
	g->phase = grading_is_decided(g) ? GRADING_DECIDED : GRADING_ASKING;
	return true;
}

bool grading_hold_back(struct grading *g)
{
	if (g->phase != GRADING_ASKING)
		return false;
	g->phase = GRADING_HELD_BACK;
	return true;
}

bool grading_go_on(struct grading *g)
{
	if (g->phase != GRADING_HELD_BACK)
		return false;
	g->phase = GRADING_ASKING;
	return true;
}

void grading_end_asking(struct grading *g)
{
	g->phase = grading_in_lookup(g) ? GRADING_DECIDED_IN_LOOKUP : GRADING_DECIDED;
}

bool grading_is_suspect(const struct grading *g)
{
	return g->job.times_claimed > (int64_t)g->job.attempts + GRADING_FREE_CLAIMS;
}

bool grading_is_last_attempt(const struct grading *g)
{
	return (int64_t)g->job.attempts + 1 >= g->job.max_attempts;
}
