/* Descriptors that are inherited: the three standard ones are there, and no other is. */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

/*
 * Opens /dev/null in the place of each of the three that is closed. First of all in every program:
 * else the next file, pipe or socket takes its number, and is written to as if it were a terminal,
 * or closed when the terminal is left. Returns 0, or -1 and errno.
 */
int descriptors_fill(void);

/*
 * Closes all that are open from first to last; with flags CLOSE_RANGE_CLOEXEC execve(2) does, and
 * until then they stay.
 */
void descriptors_close(unsigned first, unsigned last, int flags);

#endif
