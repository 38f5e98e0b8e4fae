/* The worker as a role of the pool's: all that others know of it. */
#ifndef WORKER_ROLE_H
#define WORKER_ROLE_H

struct child;

/* Claims jobs, has them rated, settles them, until it is told to stop. Returns its exit status. */
int worker_main(struct child *c);

#endif
