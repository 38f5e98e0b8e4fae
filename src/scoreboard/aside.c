/* Jobs that cannot be claimed, in the scoreboard. The walking worker writes, others count. */
#include "scoreboard/aside.h"

#include <string.h>

#include "base/fnv.h"

static size_t bucket_of(const unsigned char id[UUID_BYTES])
{
	return fnv32_place(fnv32(id, UUID_BYTES), ASIDE_BUCKETS);
}

/* Where in its bucket this id is; -1: nowhere. */
static int way_of(const struct aside bucket[ASIDE_WAYS], const unsigned char id[UUID_BYTES])
{
	for (int i = 0; i < ASIDE_WAYS; i++)
		if (bucket[i].next_ms && memcmp(bucket[i].id, id, UUID_BYTES) == 0)
			return i;
	return -1;
}

static int free_way(const struct aside bucket[ASIDE_WAYS])
{
	for (int i = 0; i < ASIDE_WAYS; i++)
		if (!bucket[i].next_ms)
			return i;
	return -1;
}

bool aside_has(const struct asides *asides, const unsigned char id[UUID_BYTES])
{
	return aside_count(asides) > 0 && way_of(asides->at[bucket_of(id)], id) >= 0;
}

bool aside_put(struct asides *asides, const unsigned char id[UUID_BYTES], int64_t next_ms)
{
	struct aside *bucket = asides->at[bucket_of(id)];
	int way = way_of(bucket, id);

	if (way < 0) {
		way = free_way(bucket);
		if (way < 0)
			return false;
		memcpy(bucket[way].id, id, UUID_BYTES);
		atomic_fetch_add(&asides->n, 1);
	}
	bucket[way].next_ms = next_ms;
	return true;
}

void aside_drop(struct asides *asides, const unsigned char id[UUID_BYTES])
{
	struct aside *bucket = asides->at[bucket_of(id)];
	int way = way_of(bucket, id);

	if (way < 0)
		return;
	bucket[way].next_ms = 0;
	atomic_fetch_sub(&asides->n, 1);
}

/* Nothing was ever written to where nothing is: those pages stay out of memory. */
void aside_clear(struct asides *asides)
{
	if (aside_count(asides) > 0)
		memset(asides->at, 0, sizeof(asides->at));
	atomic_store(&asides->n, 0);
}

int aside_due(const struct asides *asides, int64_t now_ms, unsigned char (*ids)[UUID_BYTES],
	      int max, int64_t *next_ms)
{
	int n = 0;

	*next_ms = -1;
	if (aside_count(asides) == 0)
		return 0;
	for (int b = 0; b < ASIDE_BUCKETS; b++)
		for (int i = 0; i < ASIDE_WAYS; i++) {
			const struct aside *a = &asides->at[b][i];

			if (!a->next_ms)
				continue;
			if (a->next_ms <= now_ms && n < max)
				memcpy(ids[n++], a->id, UUID_BYTES);
			else if (*next_ms < 0 || a->next_ms < *next_ms)
				*next_ms = a->next_ms;
		}
	return n;
}

unsigned aside_count(const struct asides *asides)
{
	return atomic_load(&asides->n);
}
