/*
 * The invariants of a job under way: what its phase, its calls, its lines and its settlement say
 * of each other. Runs in workers, once a turn, in builds that look at invariants. It changes
 * nothing.
 */
#include "grading/grading_check.h"

#include "base/invariant.h"
#include "grading/calls.h"
#include "grading/graded_line.h"

static size_t count_lines(const struct grading *g, enum line_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < g->job.nrated; i++)
		n += g->lines[i].state == state;
	return n;
}

static void check_line(const struct grading *g, const struct graded_line *gl)
{
	INVARIANT(gl->owner == g && gl->line && gl->state < LINE_STATES);
	INVARIANT(line_is_pending(gl) == (gl->outcome == OUTCOME_PENDING));
	INVARIANT(line_is_rated(gl) == (gl->outcome == OUTCOME_RATED));
	INVARIANT(!line_is_waiting(gl) || gl->flight);
	INVARIANT(!gl->flight || g->keyed);
	INVARIANT(!line_is_to_be_stored(gl) || (gl->store.rating && gl->store.line == gl->line));
}

static void check_lines(const struct grading *g)
{
	size_t nflights = 0;

	for (size_t i = 0; i < g->job.nrated; i++) {
		check_line(g, &g->lines[i]);
		nflights += g->lines[i].flight != NULL;
	}
	INVARIANT(g->flight.nlines == nflights);
	INVARIANT(g->flight.nwaiting == count_lines(g, LINE_WAITING));
	INVARIANT(g->cached <= g->job.nrated);
}

static void check_calls(const struct grading *g)
{
	const struct grading_calls *calls = &g->calls;
	size_t nopen = 0, nlines = 0;

	INVARIANT(calls->nstarted <= calls->n);
	for (size_t i = 0; i < calls->n; i++) {
		INVARIANT(calls->asks[i] || i < calls->nstarted);
		nopen += calls->asks[i] != NULL;
		nlines += calls->asks[i] ? ask_job_lines(calls->asks[i]) : 0;
	}
	INVARIANT(calls->nopen == (int)nopen);
	/* More lines than that may be: those of calls that were given up. */
	INVARIANT(count_lines(g, LINE_ASKED) >= nlines);
}

static void check_phase(const struct grading *g)
{
	INVARIANT(!grading_is_decided(g) || (g->settlement.status && grading_calls_open(g) == 0));
	INVARIANT(!grading_in_lookup(g) || (g->calls.n == 0 && g->flight.nlines == 0));
	INVARIANT(!grading_in_lookup(g) || count_lines(g, LINE_UNRATED) == 0);
	INVARIANT(g->phase != GRADING_HELD_BACK || grading_open_lines(g) > 0);
}

static void check_settle(const struct grading *g)
{
	INVARIANT(g->settle.under_way || count_lines(g, LINE_SENT) == 0);
	INVARIANT(!g->settle.under_way || count_lines(g, LINE_SENT) == g->settlement.nlines);
	INVARIANT(!g->settle.under_way || !grading_in_lookup(g));
	INVARIANT(!g->settle.last || grading_is_decided(g));
	INVARIANT(!g->settle.refused || grading_is_decided(g));
}

void grading_check(const struct grading *g)
{
	if (!CHECKS_INVARIANTS)
		return;
	check_lines(g);
	check_calls(g);
	check_phase(g);
	check_settle(g);
}
