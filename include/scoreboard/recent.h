/*
 * What the pool did in the last minute, from samples of the scoreboard's sums. Supervisor; it never
 * waits and asks nobody.
 */
#ifndef RECENT_H
#define RECENT_H

#include "scoreboard/latency.h"

struct scoreboard;

#define RECENT_EVERY_MS 5000
#define RECENT_WINDOW_MS 60000
#define RECENT_SAMPLES (RECENT_WINDOW_MS / RECENT_EVERY_MS + 1)

struct recent_sample {
	int64_t at_ms;
	uint64_t tokens, jobs;		/* jobs that left the queue, well or not */
	uint64_t latency[LATENCY_BUCKETS];
};

/* Zero-initialise. */
struct recent {
	struct recent_sample samples[RECENT_SAMPLES];
	unsigned taken;			/* in all: the last is at (taken - 1) % RECENT_SAMPLES */
};

struct recent_rates {
	int64_t tokens_per_minute;
	double jobs_per_ms;		/* in the last seconds; in the last minute if none were */
	uint64_t latency[LATENCY_BUCKETS];	/* of the calls that ended */
};

/* To be called at the start, and then every RECENT_EVERY_MS. */
void recent_take(struct recent *r, const struct scoreboard *sb, int64_t now_ms);

/* Over the last minute; over the time since the first sample while there is no minute yet. */
struct recent_rates recent_rates(const struct recent *r, const struct scoreboard *sb,
				 int64_t now_ms);

#endif
