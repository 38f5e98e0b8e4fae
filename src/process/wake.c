/*
 * Waking: an eventfd a slot and one for the supervisor, all made before the first fork, so every
 * process of the pool holds all of them and a scaled-up worker needs no new descriptor anywhere.
 */
#include "process/wake.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "scoreboard/scoreboard.h"

static int slot_fds[SLOT_COUNT];
static int supervisor_fd = -1;

int wake_init(void)
{
	for (int i = 0; i < SLOT_COUNT; i++) {
		slot_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (slot_fds[i] == -1)
			return -1;
	}
	supervisor_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return supervisor_fd == -1 ? -1 : 0;
}

int wake_fd(int slot)
{
	return slot_fds[slot];
}

int wake_supervisor_fd(void)
{
	return supervisor_fd;
}

void wake_drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) == -1 && errno == EINTR)
		;
}

static void wake(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) == -1 && errno == EINTR)
		;
}

void wake_slot(int slot)
{
	wake(slot_fds[slot]);
}

void wake_supervisor(void)
{
	wake(supervisor_fd);
}

void wake_publisher(struct scoreboard *sb)
{
	if (atomic_load(&sb->news_desk.sleeping) && atomic_exchange(&sb->news_desk.sleeping, 0))
		wake_slot(SLOT_PUBLISHER);
}

bool wake_one_waiting(struct scoreboard *sb, int except)
{
	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(sb); i < n; i++) {
		struct slot *slot = &sb->slots[i];

		if (i == except || !atomic_load(&slot->pid) || !atomic_load(&slot->demand))
			continue;
		if (atomic_exchange(&slot->woken, 1) == 0) {
			wake_slot(i);
			return true;
		}
	}
	return false;
}
