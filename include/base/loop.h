/*
 * Descriptors and timers around one poll(2). One loop a process; every process waits here and
 * nowhere else. Callbacks may watch, unwatch and set timers freely, their own included.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

typedef void loop_fd_fn(void *arg, int fd, short revents);
typedef void loop_timer_fn(void *arg);

/* Embedded in its owner, zero-initialised; the owner stops it before it goes away. */
struct loop_timer {
	int64_t at_ms;		/* when it is due, by now_ms() */
	loop_timer_fn *fn;
	void *arg;
	int position;		/* index + 1 in the loop's heap; 0: not set */
};

struct loop *loop_new(void);		/* NULL when out of memory */
void loop_free(struct loop *loop);	/* closes no descriptor */

/* Adds fd or changes what it waits for (POLLIN, POLLOUT). Returns -1 when out of memory. */
int loop_watch(struct loop *loop, int fd, short events, loop_fd_fn *fn, void *arg);
void loop_unwatch(struct loop *loop, int fd);	/* before close(2); unknown fds are ignored */

/* Calls fn(arg) once, delay_ms from now (0: in the next turn); replaces an earlier setting. */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms,
		   loop_timer_fn *fn, void *arg);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_is_set(const struct loop_timer *timer)
{
	return timer->position != 0;
}

/* Waits until something is due, at most max_wait_ms (-1: no limit), then runs what is. */
void loop_turn(struct loop *loop, int64_t max_wait_ms);

#endif
