/*
 * The jobs in hand, a doubly linked list. Runs in workers; it frees nothing and knows nothing of
 * what jobs do.
 */
#include "joblist.h"

#include "base/invariant.h"

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

void joblist_check(const struct joblist *jobs)
{
	const struct grading *before = NULL;
	int n = 0;

	for (const struct grading *g = jobs->head; g; before = g, g = g->next) {
		INVARIANT(g->prev == before);
		n++;
	}
	INVARIANT(jobs->tail == before);
	INVARIANT(jobs->n == n);
}
