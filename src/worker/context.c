/* What the parts of a worker share, read only. Runs in workers; it keeps nothing of its own. */
#include "context.h"

#define SLOW_BATCH 12		/* jobs in a statement beside calls that take time */

void context_count(const struct context *ctx, enum counter c, uint64_t n)
{
	if (n)
		slot_count(context_slot(ctx), c, n);
}

int context_batch(const struct context *ctx, const struct rater *rater)
{
	int batch = (int)ctx->config->pool.claim_batch;

	return rater->instant || batch < SLOW_BATCH ? batch : SLOW_BATCH;
}

int context_take_budget(const struct context *ctx, int wanted)
{
	_Atomic int64_t *budget = &context_scoreboard(ctx)->job_budget;
	int64_t left = atomic_load(budget), take;

	do {
		take = left < wanted ? left : wanted;
		if (take <= 0)
			return 0;
	} while (!atomic_compare_exchange_weak(budget, &left, left - take));
	return (int)take;
}

void context_give_back_budget(const struct context *ctx, int n)
{
	atomic_fetch_add(&context_scoreboard(ctx)->job_budget, n);
}
