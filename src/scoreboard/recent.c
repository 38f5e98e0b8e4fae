/* A ring of samples, and differences between them. Supervisor. */
#include "scoreboard/recent.h"

#include <stddef.h>

#include "base/saturate.h"
#include "scoreboard/scoreboard.h"

static void sample(struct recent_sample *s, const struct scoreboard *sb, int64_t now)
{
	s->at_ms = now;
	s->tokens = sat_count(scoreboard_sum(sb, COUNTER_PROMPT_TOKENS),
			      scoreboard_sum(sb, COUNTER_COMPLETION_TOKENS));
	s->jobs = sat_count(scoreboard_sum(sb, COUNTER_JOBS_COMPLETED),
			    scoreboard_sum(sb, COUNTER_JOBS_FAILED));
	scoreboard_latency(sb, s->latency);
}

void recent_take(struct recent *r, const struct scoreboard *sb, int64_t now)
{
	sample(&r->samples[r->taken++ % RECENT_SAMPLES], sb, now);
}

/* The newest that is so old, else the oldest; NULL when there is none. */
static const struct recent_sample *then(const struct recent *r, int64_t age_ms, int64_t now)
{
	unsigned n = r->taken < RECENT_SAMPLES ? r->taken : RECENT_SAMPLES;
	const struct recent_sample *found = NULL;

	for (unsigned i = r->taken - n; i < r->taken; i++) {
		const struct recent_sample *s = &r->samples[i % RECENT_SAMPLES];

		if (!found || now - s->at_ms >= age_ms)
			found = s;
	}
	return found;
}

/* A count only grows; where something has overwritten it, nothing is known. */
static uint64_t since(uint64_t is, uint64_t was)
{
	return is > was ? is - was : 0;
}

struct recent_rates recent_rates(const struct recent *r, const struct scoreboard *sb, int64_t now)
{
	const struct recent_sample *before = then(r, RECENT_WINDOW_MS, now);
	const struct recent_sample *just = then(r, RECENT_EVERY_MS, now);
	struct recent_rates rates = { 0 };
	struct recent_sample is;
	int64_t elapsed;

	if (!before)
		return rates;
	sample(&is, sb, now);
	elapsed = now > before->at_ms ? now - before->at_ms : 1;
	/*
	 * In less than a minute no more than what it was: a rate of the first second would be a
	 * wild guess.
	 */
	rates.tokens_per_minute = (int64_t)since(is.tokens, before->tokens);
	if (elapsed > RECENT_WINDOW_MS)
		rates.tokens_per_minute =
			sat_mul(rates.tokens_per_minute, RECENT_WINDOW_MS) / elapsed;
	if (is.jobs == just->jobs)
		just = before;
	rates.jobs_per_ms = (double)since(is.jobs, just->jobs) /
		(double)(now > just->at_ms ? now - just->at_ms : 1);
	for (int i = 0; i < LATENCY_BUCKETS; i++)
		rates.latency[i] = since(is.latency[i], before->latency[i]);
	return rates;
}
