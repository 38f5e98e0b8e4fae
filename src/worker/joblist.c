/*
 * The jobs in hand, a doubly linked list. Runs in workers; it frees nothing and knows nothing of
 * what jobs do, but whether they are decided.
 */
#include "joblist.h"

#include "base/invariant.h"
#include "scoreboard/breadcrumb.h"

void joblist_add(struct joblist *jobs, struct grading *g)
{
	g->prev = jobs->tail;
	g->next = NULL;
	*(jobs->tail ? &jobs->tail->next : &jobs->head) = g;
	jobs->tail = g;
	jobs->n++;
}

void joblist_remove(struct joblist *jobs, struct grading *g)
{
	*(g->prev ? &g->prev->next : &jobs->head) = g->next;
	*(g->next ? &g->next->prev : &jobs->tail) = g->prev;
	g->prev = g->next = NULL;
	jobs->n--;
}

static const struct grading *next_undecided(const struct grading *g)
{
	while (g && grading_is_decided(g))
		g = g->next;
	return g;
}

/* Where many are being rated the first two are found at once. */
void joblist_leave_word(const struct joblist *jobs)
{
	const struct grading *g = next_undecided(jobs->head);

	if (g && !next_undecided(g->next))
		breadcrumb_only(g->job.id, g->job.claim);
	else
		breadcrumb_only(NULL, 0);
}

void joblist_check(const struct joblist *jobs)
{
	int n = 0;

	INVARIANT(!jobs->head || !jobs->head->prev);
	for (const struct grading *g = jobs->head; g; g = g->next) {
		INVARIANT(g->next ? g->next->prev == g : jobs->tail == g);
		n++;
	}
	INVARIANT(jobs->head || !jobs->tail);
	INVARIANT(jobs->n == n);
}
