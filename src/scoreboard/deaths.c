/* The ring of deaths: one writer at each end, no lock. Supervisor and janitor. */
#include "scoreboard/deaths.h"

#include <stddef.h>
#include <string.h>

#include "base/utf8.h"
#include "scoreboard/breadcrumb.h"

bool deaths_push(struct deaths *deaths, const struct death *d)
{
	uint32_t head = atomic_load(&deaths->head);

	if (head - atomic_load(&deaths->tail) >= DEATHS_MAX)
		return false;
	deaths->at[head % DEATHS_MAX] = *d;
	atomic_store(&deaths->head, head + 1);
	return true;
}

static bool is_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	return len < size && utf8_is_valid(text, len);
}

/* What has no end, or what no database takes, would keep the janitor at this death for ever. */
bool death_is_readable(const struct death *d)
{
	return is_text(d->identity, sizeof(d->identity)) && is_text(d->how, sizeof(d->how)) &&
	       is_text(d->in_hand, sizeof(d->in_hand)) &&
	       (!d->in_hand[0] || strlen(d->in_hand) == UUID_SIZE - 1);
}

const struct death *deaths_peek(const struct deaths *deaths, unsigned nth)
{
	static const struct death unreadable = {
		.how = "ended, nobody knows how", .line = BREADCRUMB_NO_LINE, .outside = true
	};
	uint32_t tail = atomic_load(&deaths->tail);
	const struct death *d = &deaths->at[(tail + nth) % DEATHS_MAX];

	if (nth >= DEATHS_MAX || atomic_load(&deaths->head) - tail <= nth)
		return NULL;
	return death_is_readable(d) ? d : &unreadable;
}

/* Counts that are further apart than the ring is long are nobody's, and it is empty. */
void deaths_pop(struct deaths *deaths, unsigned count)
{
	uint32_t head = atomic_load(&deaths->head);

	if (head - atomic_load(&deaths->tail) > DEATHS_MAX)
		atomic_store(&deaths->tail, head);
	else
		atomic_fetch_add(&deaths->tail, count);
}
