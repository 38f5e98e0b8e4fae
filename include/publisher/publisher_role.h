/* The publisher as a role of the pool's: all that others know of it. */
#ifndef PUBLISHER_ROLE_H
#define PUBLISHER_ROLE_H

struct child;

/*
 * Carries what was settled to those who wait for it, until it is told to stop. Returns its exit
 * status.
 */
int publisher_main(struct child *c);

#endif
