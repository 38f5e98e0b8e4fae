/*
 * Rows that are left alone. Wherever a chore runs. A row has its place in one of BUCKETS buckets of
 * WAYS each; in a full one the row that is to be tried again first makes room.
 */
#include "queue/spared.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/fnv.h"

#define BUCKETS 512
#define WAYS 8
/* So long after its time a row is still known; a look at the queue may be late. */
#define KNOWN_AFTER_MS 120000

uint64_t spared_name(const char *text)
{
	return fnv64_text(text);
}

static struct spared_row *bucket_of(const struct spared *a, uint64_t name)
{
	return &a->rows[(name ^ name >> 32) % BUCKETS * WAYS];
}

static bool is_known(const struct spared_row *row, int64_t now_ms)
{
	return row->pause_ms > 0 && now_ms < row->until_ms + KNOWN_AFTER_MS;
}

struct spared_row *spared_find(const struct spared *a, uint64_t name, int64_t now_ms)
{
	struct spared_row *row;

	if (!a->rows)
		return NULL;
	row = bucket_of(a, name);
	for (int i = 0; i < WAYS; i++, row++)
		if (row->name == name && is_known(row, now_ms))
			return row;
	return NULL;
}

static struct spared_row *make_place(struct spared *a, uint64_t name, int64_t now_ms)
{
	struct spared_row *row, *first;

	if (!a->rows)
		a->rows = xcalloc((size_t)BUCKETS * WAYS, sizeof(*a->rows));
	first = row = bucket_of(a, name);
	for (int i = 0; i < WAYS; i++, row++) {
		if (!is_known(row, now_ms))
			first = row;
		else if (is_known(first, now_ms) && row->until_ms < first->until_ms)
			first = row;
	}
	*first = (struct spared_row){ .name = name };
	return first;
}

struct spared_row *spared_put(struct spared *a, uint64_t name, int64_t first_ms, int64_t most_ms,
			    int64_t now_ms)
{
	struct spared_row *row = spared_find(a, name, now_ms);

	if (!row)
		row = make_place(a, name, now_ms);
	row->pause_ms = row->pause_ms ? row->pause_ms * 2 : first_ms;
	if (row->pause_ms > most_ms)
		row->pause_ms = most_ms;
	row->until_ms = now_ms + row->pause_ms;
	return row;
}

void spared_drop(struct spared *a, uint64_t name, int64_t now_ms)
{
	struct spared_row *row = spared_find(a, name, now_ms);

	if (row)
		*row = (struct spared_row){ .name = 0 };
}

int64_t spared_next_ms(const struct spared *a, int64_t now_ms)
{
	int64_t next = -1;

	for (int i = 0; a->rows && i < BUCKETS * WAYS; i++) {
		const struct spared_row *row = &a->rows[i];
		int64_t wait = row->until_ms - now_ms;

		if (row->pause_ms > 0 && wait > 0 && (next == -1 || wait < next))
			next = wait;
	}
	return next;
}

void spared_free(struct spared *a)
{
	free(a->rows);
	a->rows = NULL;
}
