/*
 * One descriptor a slot, made before the first fork, by which any process of the pool wakes the
 * child in that slot, and one by which children wake the supervisor.
 */
#ifndef WAKE_H
#define WAKE_H

#include <stdbool.h>

struct scoreboard;

int wake_init(void);			/* supervisor, before the first fork; -1 with errno */
int wake_fd(int slot);			/* for the child in that slot to watch */
int wake_supervisor_fd(void);
void wake_drain(int fd);		/* after waking: makes fd quiet again */

void wake_slot(int slot);
void wake_supervisor(void);
/*
 * Wakes one waiting worker that nobody has woken yet; false when all have work. Not slot `except`.
 */
bool wake_one_waiting(struct scoreboard *sb, int except);

/* There is news (scoreboard/news.h): wakes the publisher, if it sleeps and nobody has yet. */
void wake_publisher(struct scoreboard *sb);

#endif
