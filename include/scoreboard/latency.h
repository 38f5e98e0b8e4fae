/*
 * The histogram of how long calls to the rater take: its bounds, written once, and what can be read
 * from counts between them. Pure; workers count, the supervisor reads.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

/*
 * X(ms, the same in seconds as Prometheus has it): a call of exactly so long is in the bucket
 * below.
 */
#define LATENCY_BOUNDS(X) \
	X(10, "0.01") X(25, "0.025") X(50, "0.05") X(100, "0.1") X(250, "0.25") X(500, "0.5") \
	X(1000, "1") X(2500, "2.5") X(5000, "5") X(10000, "10") X(20000, "20") X(30000, "30") \
	X(60000, "60") X(120000, "120")

#define X(ms, seconds) LATENCY_UP_TO_##ms,
enum latency_bucket { LATENCY_BOUNDS(X) LATENCY_BEYOND, LATENCY_BUCKETS };
#undef X

enum latency_bucket latency_bucket(int64_t ms);
/* Of each bucket its upper bound in seconds; "+Inf" of the last. */
extern const char *const latency_bounds[LATENCY_BUCKETS];

/*
 * An estimate of the time in ms that a share of the calls (0.95: of 95 %) did not exceed, on a
 * straight line within its bucket. The greatest bound when it lies beyond; -1 without calls.
 */
int64_t latency_quantile(const uint64_t counts[LATENCY_BUCKETS], double share);

#endif
