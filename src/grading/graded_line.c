/*
 * Where a line stands: which step may follow on which, in one table; and what its job knows of its
 * flights. Runs in workers. Of calls, flights and settlements it knows no more than that a line is
 * part of one.
 */
#include "grading/graded_line.h"

#include "grading/grading_state.h"

#define BIT(state) (1u << (state))

/*
 * For each state those from which a line gets there.
 *
 * In doubt is a state because a settlement may go out, and the connection break before its answer:
 * nobody knows whether the rows were committed. The line is sent again, and the settlement says
 * how many of its lines may be there already.
 */
static const unsigned from[LINE_STATES] = {
	[LINE_OPEN] = BIT(LINE_WAITING) | BIT(LINE_ASKED) | BIT(LINE_UNRATED),
	[LINE_WAITING] = BIT(LINE_OPEN),
	[LINE_ASKED] = BIT(LINE_OPEN),
	[LINE_UNRATED] = BIT(LINE_OPEN) | BIT(LINE_ASKED),
	[LINE_RATED] = BIT(LINE_OPEN) | BIT(LINE_WAITING) | BIT(LINE_ASKED),
	[LINE_IN_DOUBT] = BIT(LINE_SENT),
	[LINE_SENT] = BIT(LINE_RATED) | BIT(LINE_IN_DOUBT),
	[LINE_STORED] = BIT(LINE_OPEN) | BIT(LINE_RATED) | BIT(LINE_SENT),
};

static void count_waiting(struct graded_line *gl, enum line_state to)
{
	struct grading_flight *flight = &gl->owner->flight;

	if (to == LINE_WAITING) {
		flight->nwaiting++;
	} else if (gl->state == LINE_WAITING) {
		flight->nwaiting--;
		flight->ready = true;
	}
}

static bool move(struct graded_line *gl, enum line_state to)
{
	if (!(from[to] & BIT(gl->state)))
		return false;
	count_waiting(gl, to);
	gl->state = to;
	if (to < LINE_UNRATED)
		gl->outcome = OUTCOME_PENDING;
	else if (to > LINE_UNRATED)
		gl->outcome = OUTCOME_RATED;
	return true;
}

bool line_ask(struct graded_line *gl)
{
	return move(gl, LINE_ASKED);
}

bool line_rate(struct graded_line *gl, const struct settle_line *store)
{
	if (!move(gl, LINE_RATED))
		return false;
	gl->store = *store;
	return true;
}

bool line_leave_unrated(struct graded_line *gl, enum outcome outcome, const char *why)
{
	if (!move(gl, LINE_UNRATED))
		return false;
	gl->outcome = outcome;
	gl->why = why;
	return true;
}

bool line_reopen(struct graded_line *gl)
{
	return gl->state != LINE_WAITING && move(gl, LINE_OPEN);
}

bool line_send(struct graded_line *gl)
{
	return move(gl, LINE_SENT);
}

bool line_end_sending(struct graded_line *gl, bool stored)
{
	return gl->state == LINE_SENT && move(gl, stored ? LINE_STORED : LINE_IN_DOUBT);
}

bool line_find_stored(struct graded_line *gl)
{
	return gl->state != LINE_SENT && move(gl, LINE_STORED);
}

bool line_explain(struct graded_line *gl, const char *why)
{
	if (!line_is_pending(gl))
		return false;
	gl->why = why;
	return true;
}

/* ---- flights ---- */

bool line_wait(struct graded_line *gl, struct flight *f)
{
	if (gl->flight || !move(gl, LINE_WAITING))
		return false;
	gl->flight = f;
	gl->owner->flight.nlines++;
	return true;
}

bool line_stop_waiting(struct graded_line *gl)
{
	return gl->state == LINE_WAITING && move(gl, LINE_OPEN);
}

void line_leave_flight(struct graded_line *gl)
{
	gl->owner->flight.nlines -= gl->flight != NULL;
	gl->flight = NULL;
}

void grading_note_wait(struct grading *g)
{
	g->flight.waited = true;
}

bool grading_take_ready(struct grading *g)
{
	bool ready = g->flight.ready;

	g->flight.ready = false;
	return ready;
}
