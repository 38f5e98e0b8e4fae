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

/*
 * Leaves word of the only job that is still being rated, if there is just one, for who finds this
 * worker dead. Before anything is done for new jobs, and when a turn is over.
 */
void joblist_leave_word(const struct joblist *jobs);

/* Asserts that links and count agree; of use in sanitizer builds. */
void joblist_check(const struct joblist *jobs);

#endif
