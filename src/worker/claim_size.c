/* How much is claimed at a time. Runs in workers; pure arithmetic, no system calls. */
#include "claim_size.h"

#include "base/invariant.h"

/*
 * About how long a held claim should take: so long its rows are locked, and so long a job that is
 * next waits for it, and once more for those that are claimed with it.
 */
#define AIM_MS 40
#define CLAIM_BYTES (16 << 20)	/* of job_data in one claim */
#define GROWN_BYTES (4 << 20)	/* a claim so large leaves memory to give back */
#define FORGET 8		/* the part by which a smaller job makes it forget a larger one */
#define MIN_BATCH 16		/* who sets pool.claim_batch lower means it literally */
#define FACTOR_JOB_BYTES 16384	/* jobs larger than this on average are claimed by the batch */
#define BUSY_PER_PROCESSOR 2
#define STUCK_MS 1000		/* without a job completed, the busy ones are taken for held up */

void claim_size_init(struct claim_size *s)
{
	*s = (struct claim_size){ .factor = 1, .factor_max = CLAIM_FACTOR_MAX };
}

void claim_size_learn(struct claim_size *s, int n, int64_t bytes)
{
	int64_t mean = bytes / n;

	s->job_bytes = mean > s->job_bytes ? mean : s->job_bytes + (mean - s->job_bytes) / FORGET;
}

void claim_size_adapt(struct claim_size *s, bool full, int asked, int64_t bytes,
		      int64_t claim_batch)
{
	if (!full || claim_batch < MIN_BATCH || bytes > (int64_t)asked * FACTOR_JOB_BYTES)
		s->factor = 1;
	else if (s->factor * 2 <= s->factor_max)
		s->factor *= 2;
	else
		s->factor = s->factor_max;
	s->grown |= s->factor > 1 || bytes > GROWN_BYTES;
}

void claim_size_halve(struct claim_size *s)
{
	if (s->factor_max > CLAIM_FACTOR_PAST_CACHE)
		s->factor_max /= 2;
}

void claim_size_took(struct claim_size *s, int64_t took_ms)
{
	if (took_ms > AIM_MS)
		claim_size_halve(s);
	else if (took_ms < AIM_MS / 4 && s->factor_max < CLAIM_FACTOR_MAX)
		s->factor_max *= 2;
}

int claim_size_cap(const struct claim_size *s, int n)
{
	int fit;

	if (n <= 1 || n * s->job_bytes <= CLAIM_BYTES)
		return n;
	fit = (int)(CLAIM_BYTES / s->job_bytes);
	return fit > 1 ? fit : 1;
}

bool claim_size_pays_to_cache(const struct claim_size *s, int64_t cache_ttl_ms, bool instant)
{
	return cache_ttl_ms > 0 && !(instant && s->factor >= CLAIM_FACTOR_PAST_CACHE);
}

bool claim_size_over_subscribed(struct claim_size *s, int busy, int64_t processors, uint64_t done,
				int64_t now_ms)
{
	if (busy < BUSY_PER_PROCESSOR * processors)
		return false;
	if (done != s->done_before) {
		s->done_before = done;
		s->got_on_ms = now_ms;
	}
	return now_ms - s->got_on_ms < STUCK_MS;
}

bool claim_size_shrink(struct claim_size *s)
{
	bool grown = s->grown;

	s->grown = false;
	return grown;
}

void claim_size_check(const struct claim_size *s)
{
	INVARIANT(s->factor >= 1 && s->factor <= CLAIM_FACTOR_MAX);
	INVARIANT(s->factor_max >= CLAIM_FACTOR_PAST_CACHE && s->factor_max <= CLAIM_FACTOR_MAX);
	INVARIANT(s->job_bytes >= 0);
}
