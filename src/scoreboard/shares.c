/* The tenants' shares in the scoreboard. Children only; no SQL. */
#include "scoreboard/shares.h"

void shares_set(struct shares *s, int place, int32_t number, int32_t weight)
{
	atomic_store(&s->of[place], number > 0 ? (uint64_t)number << 32 | (uint32_t)weight : 0);
}

bool shares_get(const struct shares *s, int place, int32_t *number, int32_t *weight)
{
	uint64_t share = atomic_load_explicit(&s->of[place], memory_order_relaxed);

	*number = (int32_t)(share >> 32);
	*weight = (int32_t)(uint32_t)share;
	return share != 0;
}
