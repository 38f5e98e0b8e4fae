/*
 * A pace: at most so many units in any minute, spread evenly, for all processes of a host. It is
 * the generic cell rate algorithm in its form of virtual scheduling (ITU-T I.371, annex A): one
 * time in shared memory says when all that was taken will have run off. Nothing is held, so what a
 * killed process had taken passes by itself.
 *
 * Any PACE_WINDOW_MS hold no more than the limit as they arrive at the other end, provided that a
 * share is used within PACE_FRESH_MS of its time, or given back within that; a steady demand gets
 * 96 % of it.
 */
#ifndef PACE_H
#define PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PACE_WINDOW_MS 60000
#define PACE_BURST_MS 750	/* so much of a minute's units may be taken at once after a rest */
#define PACE_FRESH_MS 500
#define PACE_SLACK_MS (2 * PACE_FRESH_MS + 250)	/* used late, given back late; on the way */
/* So long a whole limit takes. */
#define PACE_PERIOD_MS (PACE_WINDOW_MS + PACE_BURST_MS + PACE_SLACK_MS)

struct pace {
	_Atomic int64_t limit;		/* units a minute; 0: no limit */
	_Atomic int64_t run_off_ns;	/* "theoretical arrival time" */
};

/*
 * A limit that differs from the one before begins with nothing free: what was used before is not
 * known. One process alone sets it.
 */
void pace_set(struct pace *p, int64_t limit, int64_t now_ms);

static inline bool pace_is_set(const struct pace *p)
{
	return atomic_load_explicit(&p->limit, memory_order_relaxed) > 0;
}

/* The time that one share of so many units takes up, in ms; 0 without a limit. */
int64_t pace_share_ms(const struct pace *p, int64_t units);

/*
 * Takes up to n shares of so many units, as many as are free; the last may be larger than what is
 * free. So that a fast pace is not taken in crumbs, a few ms of it are let come together. Returns
 * how many; with 0, *wait_ms is how long until there are some. spare: units of the limit to leave
 * free, at most half of it (for shares of about that size, since the last may overdraw).
 */
int pace_take(struct pace *p, int n, int64_t units, int64_t spare, int64_t now_ms,
	      int64_t *wait_ms);

/*
 * Takes one share ahead of its time, if that comes within patience_ms; before all who wait to take.
 * Returns when it may be used (now_ms at the earliest), or -1 when nothing was taken: then *wait_ms
 * as above.
 */
int64_t pace_take_ahead(struct pace *p, int64_t units, int64_t spare, int64_t patience_ms,
			int64_t now_ms, int64_t *wait_ms);

/*
 * Makes a share good again that is too old to be used, by late_ms: for its lateness, or where that
 * is more than the share itself for a new one. As pace_take_ahead().
 */
int64_t pace_renew(struct pace *p, int64_t units, int64_t spare, int64_t late_ms,
		   int64_t patience_ms, int64_t now_ms, int64_t *wait_ms);

/* A share taken as `was` units is one of `is`; 0: given back. */
void pace_correct(struct pace *p, int n, int64_t was, int64_t is, int64_t spare);

/* Units that could be taken now. */
int64_t pace_free(const struct pace *p, int64_t now_ms);
/* Until something can be; 0: now. */
int64_t pace_wait_ms(const struct pace *p, int64_t now_ms);

#endif
