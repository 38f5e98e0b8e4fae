/* The janitor as a role of the pool's: all that others know of it. */
#ifndef JANITOR_ROLE_H
#define JANITOR_ROLE_H

struct child;

/*
 * Counts the queue, puts back jobs of the dead, cleans up, until it is told to stop. Returns its
 * exit status.
 */
int janitor_main(struct child *c);

#endif
