/*
 * The daemon's words: whatever is no command of gradingctl's own is passed on to the daemon, which
 * checks it.
 */
#ifndef RELAY_H
#define RELAY_H

#include "ctl/ctl.h"

/*
 * Asks the daemon and prints its answer; complains itself. Returns the exit status. n: 1 or more.
 */
int relay_words(struct ctl *ctl, char **words, int n);

/*
 * Prints the words that the daemon answers to, or without one those that a daemon of our own
 * version would.
 */
void relay_print_help(struct ctl *ctl);

/* Prints the words alone, a line each, for the check that the manual page names every command. */
void relay_print_words(void);

#endif
