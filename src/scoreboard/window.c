/*
 * The window of open calls. Workers move it by single atomic operations; a lost race costs one
 * step.
 */
#include "scoreboard/window.h"

#include "base/saturate.h"

#define CALL INT64_C(1024)
/* Windows' worth of answers; then each adds one call more than the one before. */
#define CALM (4 * CALL)

bool window_limited(struct window *w, int open, int64_t sent_ms, int64_t now_ms)
{
	int64_t halved = atomic_load(&w->halved_ms), size;

	if (open <= 1 || sent_ms <= halved ||
	    !atomic_compare_exchange_strong(&w->halved_ms, &halved, now_ms))
		return false;
	/* Of what is open, not of what might be: RFC 5681, equation 4. */
	size = atomic_load(&w->size);
	if (size <= 0 || size > open * CALL)
		size = open * CALL;
	atomic_store(&w->size, size / 2 > CALL ? size / 2 : CALL);
	atomic_store(&w->calm, 0);
	atomic_fetch_add(&w->halvings, 1);
	return true;
}

void window_answered(struct window *w, int open, int most)
{
	int64_t size = atomic_load_explicit(&w->size, memory_order_relaxed), calm, step, grown;

	/* One that is hardly used says nothing about what the provider would take. */
	if (size <= 0 || 2 * open * CALL < size)
		return;
	calm = atomic_fetch_add(&w->calm, CALL * CALL / size);
	step = CALL + (calm > CALM ? calm - CALM : 0);
	grown = sat_add(size, sat_mul(step, CALL) / size);
	atomic_compare_exchange_strong(&w->size, &size, grown < most * CALL ? grown : 0);
}
