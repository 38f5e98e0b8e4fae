/* The ring of deaths: one writer at each end, no lock. Supervisor and janitor. */
#include "scoreboard/deaths.h"

#include <stddef.h>

bool deaths_push(struct deaths *deaths, const struct death *d)
{
	uint32_t head = atomic_load(&deaths->head);

	if (head - atomic_load(&deaths->tail) >= DEATHS_MAX)
		return false;
	deaths->at[head % DEATHS_MAX] = *d;
	atomic_store(&deaths->head, head + 1);
	return true;
}

const struct death *deaths_peek(const struct deaths *deaths, unsigned nth)
{
	uint32_t tail = atomic_load(&deaths->tail);

	if (atomic_load(&deaths->head) - tail <= nth)
		return NULL;
	return &deaths->at[(tail + nth) % DEATHS_MAX];
}

void deaths_pop(struct deaths *deaths, unsigned count)
{
	atomic_fetch_add(&deaths->tail, count);
}
