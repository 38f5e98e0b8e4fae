/*
 * The jobs that a worker has in hand, oldest first. Claims add to it, dispatch_drop() and the
 * worker's end take from it; everybody may walk it.
 */
#ifndef WORKER_JOBLIST_H
#define WORKER_JOBLIST_H

#include "grading/grading.h"

struct joblist {
	struct grading *head, *tail;
	int n;
};

/* At the end. The list borrows g: who removes it frees it. */
void joblist_add(struct joblist *jobs, struct grading *g);
void joblist_remove(struct joblist *jobs, struct grading *g);

/* Asserts that links and count agree; of use in sanitizer builds. */
void joblist_check(const struct joblist *jobs);

#endif
