/*
 * A job's way into the database, as far as it is the job's own. Runs in workers; it sends nothing:
 * which jobs go together, and when, is the settler's. A rating is part of one settlement at a
 * time, and of no further one once it is known to be stored.
 */
#include "grading/grading_settle.h"

#include <string.h>

#include "base/arena.h"
#include "grading/graded_line.h"

/* The grade of a session as a whole is no line: its result carries it. */
static bool is_to_be_sent(const struct grading *g, const struct graded_line *gl)
{
	return !g->settle.refused && !g->job.whole && line_is_to_be_stored(gl);
}

static void send_lines(struct grading *g, size_t n)
{
	struct settle_line *lines;

	g->settlement.lines = NULL;
	g->settlement.nlines = n;
	g->settlement.nresent = 0;
	if (n == 0)
		return;
	g->settlement.lines = lines = arena_alloc(&g->job.arena, n * sizeof(*lines));
	for (size_t i = 0; i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (!is_to_be_sent(g, gl))
			continue;
		g->settlement.nresent += gl->state == LINE_IN_DOUBT;
		*lines++ = gl->store;
		line_send(gl);
	}
}

static size_t count_news(const struct grading *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->job.nrated; i++)
		n += is_to_be_sent(g, &g->lines[i]);
	return n;
}

bool grading_has_news(const struct grading *g)
{
	return grading_is_decided(g) || count_news(g) > 0;
}

bool grading_attach(struct grading *g)
{
	size_t n;

	if (g->settle.under_way)
		return false;
	n = count_news(g);
	if (n == 0 && !grading_is_decided(g))
		return false;
	send_lines(g, n);
	g->settle.under_way = true;
	g->settle.last = grading_is_decided(g);
	if (!grading_is_decided(g))
		g->settlement.status = "processing";
	return true;
}

void grading_attached_done(struct grading *g, bool stored)
{
	g->settle.under_way = false;
	g->settle.stored_before |= !g->settle.last;
	for (size_t i = 0; i < g->job.nrated; i++)
		line_end_sending(&g->lines[i], stored);
}

bool grading_is_first(const struct grading *g)
{
	return grading_is_decided(g) && !g->settle.stored_before &&
	       strcmp(g->settlement.status, "completed") == 0 && !g->settlement.attempt &&
	       !g->settlement.error;
}

void grading_may_be_stored(struct grading *g)
{
	g->settle.stored_before = true;
}

void grading_keep_lines_back(struct grading *g)
{
	g->settle.refused = true;
}
