/*
 * Signals as bytes on a self-pipe, so that every role reads them in its loop and no handler does
 * anything but one write(2).
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>

/* All signals blocked, around fork. */
void signals_block_all(void);
void signals_unblock_all(void);

/*
 * A fresh self-pipe for this process: TERM, INT, QUIT, HUP, USR1 and CHLD arrive on it, PIPE, XFSZ
 * and TTOU are ignored, everything else is as it was. Call with signals blocked (a child's first
 * SIGTERM must not land in its parent's pipe), then unblock. Returns the descriptor to watch, -1 on
 * failure.
 */
int signals_open(void);

/* The next signal number waiting, 0 when there is none. */
int signals_next(int fd);

#endif
