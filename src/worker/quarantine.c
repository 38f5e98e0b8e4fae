/* Places of the queue that are left alone. Runs in workers; pure. */
#include "quarantine.h"

#include <string.h>

#include "base/invariant.h"

bool quarantine_refused(struct quarantine *q, int asked, const struct err *why)
{
	q->most = asked / 2;
	if (q->most > 0)
		return false;
	q->most = 1;
	q->why = *why;
	return true;
}

static bool is_suspect(const struct quarantine *q, const struct floor *place)
{
	return q->suspecting && memcmp(q->suspect.id, place->id, sizeof(place->id)) == 0;
}

static enum quarantine_finding add(struct quarantine *q, const struct floor *place, int64_t now_ms)
{
	bool room = q->n < QUARANTINE_PLACES;

	q->most = 0;
	q->suspecting = false;
	if (!room)
		memmove(&q->places[0], &q->places[1], (size_t)--q->n * sizeof(q->places[0]));
	q->places[q->n++] = *place;
	q->until_ms = now_ms + QUARANTINE_MS;
	return room ? QUARANTINE_ADDED : QUARANTINE_FULL;
}

enum quarantine_finding quarantine_found(struct quarantine *q, const struct floor *place,
					 int64_t now_ms)
{
	if (place && is_suspect(q, place))
		return add(q, place, now_ms);
	q->suspecting = place;
	q->most = place ? 1 : 0;
	if (!place)
		return QUARANTINE_NOBODY;
	q->suspect = *place;
	return QUARANTINE_SUSPECT;
}

void quarantine_all_claimed(struct quarantine *q)
{
	q->most = 0;
	q->suspecting = false;
}

void quarantine_expire(struct quarantine *q, int64_t now_ms)
{
	if (now_ms >= q->until_ms)
		q->n = 0;
}

int quarantine_cap(const struct quarantine *q, int n)
{
	return q->most > 0 && n > q->most ? q->most : n;
}

void quarantine_check(const struct quarantine *q)
{
	INVARIANT(q->n >= 0 && q->n <= QUARANTINE_PLACES);
	INVARIANT(q->most >= 0);
}
