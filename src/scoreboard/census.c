/*
 * Counting the children. Any process; what it reads is hearsay, and a state that does not exist is
 * none.
 */
#include "scoreboard/census.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"

static bool is_connected(uint32_t state)
{
	return state == SLOT_IDLE || state == SLOT_BUSY || state == SLOT_DRAINING;
}

/* Of jobs that cannot be claimed, all are counted elsewhere, and slots name the last few. */
static unsigned count_refused(const struct scoreboard *sb)
{
	struct refused_row rows[REFUSED_MAX];
	unsigned n = 0;

	for (int i = 0; i < SLOT_COUNT; i = scoreboard_next(sb, i))
		for (size_t k = refused_list(&sb->slots[i].refused, now_ms(), rows); k > 0; k--)
			n += strcmp(rows[k - 1].statement, ASIDE_STATEMENT) != 0;
	return n + aside_count(&sb->asides);
}

struct census scoreboard_census(const struct scoreboard *sb)
{
	struct census c = { 0 };

	for (int i = 0; i < SLOT_COUNT; i++) {
		const struct slot *slot = &sb->slots[i];
		uint32_t state = atomic_load(&slot->state);

		if (!atomic_load(&slot->pid))
			continue;
		c.children++;
		c.connected += is_connected(state);
		if (slot_role(i) != ROLE_WORKER)
			continue;
		c.alive++;
		c.idle += state == SLOT_IDLE;
		c.busy += state == SLOT_BUSY;
		c.connecting += state == SLOT_CONNECTING;
		c.in_flight += atomic_load(&slot->in_flight);
	}
	c.refused = count_refused(sb);
	return c;
}
