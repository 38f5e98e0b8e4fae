/*
 * What came in each of the last seconds, for sums over the last minute. Any process, in shared
 * memory; single atomic operations, no lock.
 */
#ifndef TALLY_H
#define TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#define TALLY_SECONDS 64

/* Of each second its number in the upper half, the count in the lower. */
struct tally { _Atomic uint64_t at[TALLY_SECONDS]; };

/* n below 0 takes back what was counted at that time, as far as it is still known. */
void tally_add(struct tally *t, int64_t n, int64_t at_ms);
/* In the last minute. */
int64_t tally_sum(const struct tally *t, int64_t now_ms);

#endif
