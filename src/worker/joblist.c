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
	int n = 0;

	INVARIANT(!jobs->head || !jobs->head->prev);
	for (const struct grading *g = jobs->head; g; g = g->next) {
		INVARIANT(g->next ? g->next->prev == g : jobs->tail == g);
		n++;
	}
	INVARIANT(jobs->head || !jobs->tail);
	INVARIANT(jobs->n == n);
}
