/*
 * Taking from a pace. Any process; single atomic operations on one time, no lock, no wait. Why no
 * minute holds more than the limit: the n-th share after one used at t is used no earlier than t +
 * (n - 1) shares' time less the burst, each share's time is PACE_PERIOD_MS / limit, and burst and
 * slack are part of the period.
 */
#include "scoreboard/pace.h"

#include "base/saturate.h"

#define MS 1000000			/* in ns */
#define TOGETHER_NS (25 * MS)		/* of a fast pace, taken in one go */

/* Never more than a period: what is larger than the limit has a minute to itself. */
static int64_t time_of(int64_t limit, int64_t units, int64_t spare)
{
	double ns;

	if (units <= 0)
		return 0;
	if (spare > limit / 2)
		spare = limit / 2;
	ns = (double)units * PACE_PERIOD_MS * MS / (double)(limit - (spare > 0 ? spare : 0));
	return ns < (double)PACE_PERIOD_MS * MS ? (int64_t)ns + 1 : (int64_t)PACE_PERIOD_MS * MS;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t whole_ms(int64_t ns)
{
	return sat_add(ns, MS - 1) / MS;
}

int64_t pace_share_ms(const struct pace *p, int64_t units)
{
	int64_t limit = atomic_load(&p->limit);

	return limit > 0 ? whole_ms(time_of(limit, units, 0)) : 0;
}

void pace_set(struct pace *p, int64_t limit, int64_t now_ms)
{
	if (limit == atomic_load(&p->limit))
		return;
	if (limit > 0)
		atomic_store(&p->run_off_ns, (now_ms + PACE_BURST_MS) * MS + time_of(limit, 1, 0));
	atomic_store(&p->limit, limit);
}

int pace_take(struct pace *p, int n, int64_t units, int64_t spare, int64_t now_ms, int64_t *wait_ms)
{
	int64_t limit = atomic_load(&p->limit), until = (now_ms + PACE_BURST_MS) * MS;
	int64_t share, least, take, from;
	int64_t run_off = atomic_load(&p->run_off_ns);

	*wait_ms = 0;
	if (limit <= 0 || n <= 0 || units <= 0)
		return n;
	share = time_of(limit, units, spare);
	least = TOGETHER_NS / share < n ? later(TOGETHER_NS / share, 1) : n;
	do {
		from = later(run_off, now_ms * MS);
		take = from > until ? 0 : (until - from) / share + 1;
		if (take < least) {
			*wait_ms = whole_ms(sat_add(from, (least - 1) * share - until));
			return 0;
		}
		if (take > n)
			take = n;
	} while (!atomic_compare_exchange_weak(&p->run_off_ns, &run_off, from + take * share));
	return (int)take;
}

int64_t pace_take_ahead(struct pace *p, int64_t units, int64_t spare, int64_t patience_ms,
			int64_t now_ms, int64_t *wait_ms)
{
	int64_t limit = atomic_load(&p->limit), until = (now_ms + PACE_BURST_MS) * MS, from;
	int64_t run_off = atomic_load(&p->run_off_ns);

	*wait_ms = 0;
	if (limit <= 0)
		return now_ms;
	do {
		from = later(run_off, now_ms * MS);
		*wait_ms = from > until ? whole_ms(from - until) : 0;
		if (*wait_ms > patience_ms)
			return -1;
		from = sat_add(from, time_of(limit, units, spare));
	} while (!atomic_compare_exchange_weak(&p->run_off_ns, &run_off, from));
	return sat_add(now_ms, *wait_ms);
}

/* As if it had been taken late_ms later, and all those after it as well. */
int64_t pace_renew(struct pace *p, int64_t units, int64_t spare, int64_t late_ms,
		   int64_t patience_ms, int64_t now_ms, int64_t *wait_ms)
{
	int64_t limit = atomic_load(&p->limit);

	*wait_ms = 0;
	if (limit > 0 && sat_mul(late_ms, MS) >= time_of(limit, units, spare))
		return pace_take_ahead(p, units, spare, patience_ms, now_ms, wait_ms);
	if (limit > 0)
		atomic_fetch_add(&p->run_off_ns, late_ms * MS);
	return now_ms;
}

void pace_correct(struct pace *p, int n, int64_t was, int64_t is, int64_t spare)
{
	int64_t limit = atomic_load(&p->limit);

	if (limit > 0 && was != is)
		atomic_fetch_add(&p->run_off_ns,
				 n * (time_of(limit, is, spare) - time_of(limit, was, spare)));
}

int64_t pace_free(const struct pace *p, int64_t now_ms)
{
	int64_t limit = atomic_load(&p->limit), until = (now_ms + PACE_BURST_MS) * MS;
	int64_t from = later(atomic_load(&p->run_off_ns), now_ms * MS);

	if (limit <= 0 || from > until)
		return 0;
	return sat_add(1, sat_from_double((double)(until - from) * (double)limit /
					  ((double)PACE_PERIOD_MS * MS)));
}

int64_t pace_wait_ms(const struct pace *p, int64_t now_ms)
{
	int64_t wait = sat_sub(atomic_load(&p->run_off_ns), (now_ms + PACE_BURST_MS) * MS);

	return atomic_load(&p->limit) > 0 && wait > 0 ? whole_ms(wait) : 0;
}
