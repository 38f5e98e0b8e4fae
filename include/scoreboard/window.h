/*
 * How many calls all workers of a host may have open: no bound until the provider limits our rate,
 * then half of those open, then one more for each window's worth of answers (additive increase,
 * multiplicative decrease, as RFC 5681 section 3.1 has it for TCP). The longer it goes well the
 * faster, as a window that many limits in a row have made small would be so for long (after D.
 * Leith, R. Shorten: H-TCP, draft-leith-tcp-htcp).
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct window {
	_Atomic int64_t size;		/* in 1/1024 of a call; 0: no bound */
	_Atomic int64_t halved_ms;	/* now_ms() of the last time */
	_Atomic int64_t calm;		/* windows' worth of answers since then, in 1/1024 */
	_Atomic uint32_t halvings;
};

/* Whole calls, 1 at least; 0: no bound. */
static inline int window_size(const struct window *w)
{
	int64_t size = atomic_load_explicit(&w->size, memory_order_relaxed);

	if (size < 1024)
		return size > 0;
	return size / 1024 < INT_MAX ? (int)(size / 1024) : INT_MAX;
}

/*
 * A call sent at sent_ms was answered with a limit; open: calls open, this one included. Calls sent
 * before the last halving tell of the same congestion and change nothing, nor does one that was
 * alone, as the breaker's probes are: it does not tell how many are too many. Returns whether it
 * was halved.
 */
bool window_limited(struct window *w, int open, int64_t sent_ms, int64_t now_ms);
/*
 * A call was answered well. most: as many calls as there could be; a window so large is no bound.
 */
void window_answered(struct window *w, int open, int most);

#endif
