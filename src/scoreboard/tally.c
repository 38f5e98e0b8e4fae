/* Counts by the second, in shared memory. Any process; it never waits. */
#include "scoreboard/tally.h"

#include "base/saturate.h"

void tally_add(struct tally *t, int64_t n, int64_t at_ms)
{
	uint64_t second = (uint64_t)(at_ms / 1000) & UINT32_MAX;
	_Atomic uint64_t *at = &t->at[second % TALLY_SECONDS];
	uint64_t was = atomic_load_explicit(at, memory_order_relaxed);
	int64_t count;
	uint64_t is;

	do {
		count = was >> 32 == second ? (int64_t)(was & UINT32_MAX) : 0;
		count = sat_add(count, n);
		if (count < 0)
			return;
		is = second << 32 | (count < UINT32_MAX ? (uint64_t)count : UINT32_MAX);
	} while (!atomic_compare_exchange_weak(at, &was, is));
}

int64_t tally_sum(const struct tally *t, int64_t now_ms)
{
	uint32_t second = (uint32_t)(now_ms / 1000);
	int64_t sum = 0;

	for (int i = 0; i < TALLY_SECONDS; i++) {
		uint64_t at = atomic_load_explicit(&t->at[i], memory_order_relaxed);

		if (second - (uint32_t)(at >> 32) < 60)
			sum += (int64_t)(at & UINT32_MAX);
	}
	return sum;
}
