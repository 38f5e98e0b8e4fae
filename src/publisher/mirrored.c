/* The mirror's table of sessions, and the rules of when each is written. Pure; publisher. */
#include "mirrored.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fnv.h"

#define EVICT_TRIES 64			/* looked at, for one that ended */
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 30000
#define LOCKED_FIRST_MS 100
#define LOCKED_MAX_MS 1600
#define LOCKS_REFUSE 40			/* in a row: about a minute */
#define SLOW_MS 1000			/* a statement that takes longer costs the others */
#define SLOW_PAUSE 5			/* then it pauses for so many times as long */

static struct mirrored **bucket_of(struct mirrored_set *set, const unsigned char *id)
{
	return &set->buckets[fnv32_place(fnv32(id, UUID_BYTES), MIRRORED_BUCKETS)];
}

struct mirrored *mirrored_find(const struct mirrored_set *set, const unsigned char *id)
{
	struct mirrored *m = set->buckets[fnv32_place(fnv32(id, UUID_BYTES), MIRRORED_BUCKETS)];

	while (m && memcmp(m->id, id, UUID_BYTES) != 0)
		m = m->same;
	return m;
}

struct mirrored *mirrored_add(struct mirrored_set *set, const unsigned char *id)
{
	struct mirrored **bucket = bucket_of(set, id), *m;

	if (set->n >= MIRRORED_MAX)
		return NULL;
	m = xcalloc(1, sizeof(*m));
	memcpy(m->id, id, UUID_BYTES);
	m->same = *bucket;
	*bucket = m;
	if (set->all) {		/* behind the last, which is before the first */
		m->after = set->all;
		m->before = set->all->before;
		m->before->after = m->after->before = m;
	} else {
		set->all = m->before = m->after = m;
	}
	set->n++;
	return m;
}

/* The list is in the order in which they came, so those that ended first are near its head. */
struct mirrored *mirrored_evictable(const struct mirrored_set *set)
{
	struct mirrored *m = set->all, *first = NULL;

	for (int i = 0; i < EVICT_TRIES && i < set->n; i++, m = m->after)
		if (m->step == MIRRORED_RESTS && m->ended_ms &&
		    (!first || m->ended_ms < first->ended_ms))
			first = m;
	return first;
}

void mirrored_drop(struct mirrored_set *set, struct mirrored *m)
{
	struct mirrored **at = bucket_of(set, m->id);

	while (*at != m)
		at = &(*at)->same;
	*at = m->same;
	if (set->watched == m)
		set->watched = m->after == set->all ? NULL : m->after;
	if (set->all == m)
		set->all = m->after == m ? NULL : m->after;
	m->before->after = m->after;
	m->after->before = m->before;
	set->n--;
	free(m);
}

/* ---- queues ---- */

void mirrored_queue_init(struct mirrored_queue *q)
{
	*q = (struct mirrored_queue){ .tail = &q->head };
}

void mirrored_push(struct mirrored_queue *q, struct mirrored *m)
{
	m->next = NULL;
	*q->tail = m;
	q->tail = &m->next;
	q->n++;
}

struct mirrored *mirrored_pop(struct mirrored_queue *q)
{
	struct mirrored *m = q->head;

	if (!m)
		return NULL;
	q->head = m->next;
	if (!q->head)
		q->tail = &q->head;
	q->n--;
	return m;
}

/* ---- when ---- */

int64_t mirrored_wait_ms(const struct mirrored *m, int64_t now_ms)
{
	int64_t at = m->not_before_ms;

	if (m->written_ms && m->written_ms + MIRROR_EVERY_MS > at)
		at = m->written_ms + MIRROR_EVERY_MS;
	return at > now_ms ? at - now_ms : 0;
}

static int64_t doubled(int64_t first, int times, int64_t most)
{
	while (times-- > 0 && first < most)
		first *= 2;
	return first < most ? first : most;
}

bool mirrored_refused(struct mirrored *m, int64_t took_ms, int64_t now_ms)
{
	bool before = m->aside;
	int64_t pause;

	if (m->refusals++ == 0)
		m->refused_ms = now_ms;
	m->locks = 0;
	m->aside = before || m->refusals >= MIRROR_ASIDE_AFTER;
	pause = doubled(RETRY_FIRST_MS, m->refusals - 1, RETRY_MAX_MS);
	if (took_ms > SLOW_MS && pause < SLOW_PAUSE * took_ms)
		pause = SLOW_PAUSE * took_ms;
	m->not_before_ms = now_ms + (m->aside ? MIRROR_ASIDE_MS : pause);
	return m->aside && !before;
}

bool mirrored_locked(struct mirrored *m, int64_t now_ms)
{
	m->not_before_ms = now_ms + doubled(LOCKED_FIRST_MS, m->locks, LOCKED_MAX_MS);
	return ++m->locks >= LOCKS_REFUSE;
}

bool mirrored_shown(struct mirrored *m, bool over, int64_t took_ms, int64_t now_ms)
{
	bool before = m->aside;

	m->refusals = m->locks = 0;
	m->aside = false;
	m->not_before_ms = took_ms > SLOW_MS ? now_ms + SLOW_PAUSE * took_ms : 0;
	m->over = over;
	if (!over)
		m->ended_ms = 0;
	else if (!m->ended_ms)
		m->ended_ms = now_ms;
	return before;
}

bool mirrored_is_done(const struct mirrored *m, int64_t now_ms)
{
	return m->step == MIRRORED_RESTS && m->ended_ms &&
	       (m->brief || now_ms - m->ended_ms >= MIRROR_WATCH_MS);
}
