/* The histogram's bounds and quantiles. Pure; any process. */
#include "scoreboard/latency.h"

#include <stddef.h>

#include "base/saturate.h"

#define X(ms, seconds) ms,
static const int64_t bounds_ms[LATENCY_BUCKETS - 1] = { LATENCY_BOUNDS(X) };
#undef X
#define X(ms, seconds) seconds,
const char *const latency_bounds[LATENCY_BUCKETS] = { LATENCY_BOUNDS(X) "+Inf" };
#undef X

enum latency_bucket latency_bucket(int64_t ms)
{
	int i = 0;

	while (i < LATENCY_BEYOND && ms > bounds_ms[i])
		i++;
	return (enum latency_bucket)i;
}

int64_t latency_quantile(const uint64_t counts[LATENCY_BUCKETS], double share)
{
	uint64_t all = 0, below = 0;
	double wanted;

	for (int i = 0; i < LATENCY_BUCKETS; i++)
		all = sat_count(all, counts[i]);
	if (all == 0)
		return -1;
	wanted = share * (double)all;
	for (int i = 0; i < LATENCY_BEYOND; i++) {
		int64_t from = i ? bounds_ms[i - 1] : 0;

		if (counts[i] > 0 && (double)sat_count(below, counts[i]) >= wanted)
			return from + (int64_t)((double)(bounds_ms[i] - from) *
						(wanted - (double)below) / (double)counts[i]);
		below = sat_count(below, counts[i]);
	}
	return bounds_ms[LATENCY_BEYOND - 1];
}
