/*
 * Descriptors and timers around one poll(2). Every process has one; it never blocks anywhere else.
 * Descriptors are found by number through an index; timers are a binary heap by due time.
 */
#include "base/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct watch {
	loop_fd_fn *fn;
	void *arg;
};

struct loop {
	struct pollfd *fds;		/* fds[i] and watches[i] belong together */
	struct watch *watches;
	int n, room;
	int *index_of;			/* fd -> i + 1, 0 when not watched */
	int index_room;
	struct loop_timer **timers;	/* heap, earliest first */
	int ntimers, timers_room;
};

struct loop *loop_new(void)
{
	return calloc(1, sizeof(struct loop));
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	free(loop->fds);
	free(loop->watches);
	free(loop->index_of);
	free(loop->timers);
	free(loop);
}

/* Doubles *array until it has room for `want` items; new items are zeroed. */
static int make_room(void **array, int *room, int want, size_t item)
{
	int size = *room ? *room : 16;
	char *p;

	if (want <= *room)
		return 0;
	while (size < want)
		size *= 2;
	p = realloc(*array, (size_t)size * item);
	if (!p)
		return -1;
	memset(p + (size_t)*room * item, 0, (size_t)(size - *room) * item);
	*array = p;
	*room = size;
	return 0;
}

int loop_watch(struct loop *loop, int fd, short events, loop_fd_fn *fn, void *arg)
{
	int room = loop->room, i;

	if (make_room((void **)&loop->index_of, &loop->index_room, fd + 1, sizeof(int)) == -1)
		return -1;
	i = loop->index_of[fd] - 1;
	if (i < 0) {
		if (make_room((void **)&loop->fds, &room, loop->n + 1, sizeof(*loop->fds)) == -1 ||
		    make_room((void **)&loop->watches, &loop->room, loop->n + 1,
			      sizeof(*loop->watches)) == -1)
			return -1;
		i = loop->n++;
		loop->index_of[fd] = i + 1;
		loop->fds[i] = (struct pollfd){ .fd = fd };
	}
	loop->fds[i].events = events;
	loop->watches[i] = (struct watch){ fn, arg };
	return 0;
}

void loop_unwatch(struct loop *loop, int fd)
{
	int i, last;

	if (fd < 0 || fd >= loop->index_room || loop->index_of[fd] == 0)
		return;
	i = loop->index_of[fd] - 1;
	last = --loop->n;
	loop->index_of[fd] = 0;
	if (i != last) {
		loop->fds[i] = loop->fds[last];
		loop->watches[i] = loop->watches[last];
		loop->index_of[loop->fds[i].fd] = i + 1;
	}
}

static void timer_place(struct loop *loop, int i, struct loop_timer *timer)
{
	loop->timers[i] = timer;
	timer->position = i + 1;
}

static void timer_sift(struct loop *loop, int i, struct loop_timer *timer)
{
	for (; i > 0 && loop->timers[(i - 1) / 2]->at_ms > timer->at_ms; i = (i - 1) / 2)
		timer_place(loop, i, loop->timers[(i - 1) / 2]);
	for (int child; (child = 2 * i + 1) < loop->ntimers; i = child) {
		if (child + 1 < loop->ntimers &&
		    loop->timers[child + 1]->at_ms < loop->timers[child]->at_ms)
			child++;
		if (loop->timers[child]->at_ms >= timer->at_ms)
			break;
		timer_place(loop, i, loop->timers[child]);
	}
	timer_place(loop, i, timer);
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms,
		   loop_timer_fn *fn, void *arg)
{
	loop_timer_stop(loop, timer);
	if (make_room((void **)&loop->timers, &loop->timers_room, loop->ntimers + 1,
		      sizeof(void *)) == -1)
		return -1;
	timer->at_ms = now_ms() + (delay_ms > 0 ? delay_ms : 0);
	timer->fn = fn;
	timer->arg = arg;
	timer_sift(loop, loop->ntimers++, timer);
	return 0;
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	int i = timer->position - 1;
	struct loop_timer *last;

	if (i < 0)
		return;
	timer->position = 0;
	last = loop->timers[--loop->ntimers];
	if (last != timer)
		timer_sift(loop, i, last);
}

/*
 * At most as many as there were: one that sets itself again with no delay waits for the next turn.
 */
static void run_timers(struct loop *loop)
{
	int64_t now = now_ms();

	for (int left = loop->ntimers; left > 0 && loop->ntimers > 0; left--) {
		struct loop_timer *timer = loop->timers[0];

		if (timer->at_ms > now)
			break;
		loop_timer_stop(loop, timer);
		timer->fn(timer->arg);
	}
}

/* Callbacks may move or drop entries, so each step looks its descriptor up again. */
static void run_watches(struct loop *loop, int ready)
{
	for (int i = 0; i < loop->n && ready > 0; i++) {
		short revents = loop->fds[i].revents;
		int fd = loop->fds[i].fd;

		if (!revents)
			continue;
		loop->fds[i].revents = 0;
		ready--;
		loop->watches[i].fn(loop->watches[i].arg, fd, revents);
		if (i < loop->n && loop->fds[i].fd != fd)
			i--;		/* another entry moved here */
	}
}

void loop_turn(struct loop *loop, int64_t max_wait_ms)
{
	int64_t wait = max_wait_ms;
	int ready;

	if (loop->ntimers > 0) {
		int64_t due = loop->timers[0]->at_ms - now_ms();

		if (due < 0)
			due = 0;
		if (wait < 0 || due < wait)
			wait = due;
	}
	if (wait > 3600000)
		wait = 3600000;
	ready = poll(loop->fds, (nfds_t)loop->n, (int)wait);
	if (ready > 0)
		run_watches(loop, ready);
	run_timers(loop);
}
