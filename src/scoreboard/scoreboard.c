/* The shared mapping: making it, sums over its slots. */
#include "scoreboard/scoreboard.h"

#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/saturate.h"

struct scoreboard *scoreboard_new(void)
{
	struct scoreboard *sb = mmap(NULL, sizeof(*sb), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (sb == MAP_FAILED)
		return NULL;
	for (int i = 0; i < GAUGE_COUNT; i++)
		atomic_store(&sb->gauges[i], -1);
	atomic_store(&sb->job_budget, INT64_MAX);
	atomic_store(&sb->slots_used, SLOT_PUBLISHER);
	atomic_store(&sb->started_ms, now_ms());
	atomic_store(&sb->started_wall_ms, wall_ms());
	return sb;
}

const char *slot_state_name(unsigned state)
{
	static const char *const names[SLOT_STATE_COUNT] = {
		[SLOT_EMPTY] = "empty", [SLOT_STARTING] = "starting",
		[SLOT_CONNECTING] = "connecting", [SLOT_IDLE] = "idle", [SLOT_BUSY] = "busy",
		[SLOT_DRAINING] = "draining", [SLOT_WAITING] = "waiting",
	};

	return state < SLOT_STATE_COUNT ? names[state] : "?";
}

uint64_t scoreboard_sum(const struct scoreboard *sb, enum counter c)
{
	uint64_t sum = 0;

	for (int i = 0; i < SLOT_COUNT; i = scoreboard_next(sb, i))
		sum = sat_count(sum, atomic_load_explicit(&sb->slots[i].counters[c],
							  memory_order_relaxed));
	return sum;
}

void scoreboard_latency(const struct scoreboard *sb, uint64_t counts[LATENCY_BUCKETS])
{
	memset(counts, 0, LATENCY_BUCKETS * sizeof(counts[0]));
	for (int i = 0; i < SLOT_COUNT; i = scoreboard_next(sb, i))
		for (int b = 0; b < LATENCY_BUCKETS; b++)
			counts[b] = sat_count(counts[b],
					      atomic_load_explicit(&sb->slots[i].latency[b],
								   memory_order_relaxed));
}

uint64_t scoreboard_cost_nanos(const struct scoreboard *sb)
{
	uint64_t sum = 0;

	for (int i = 0; i < SLOT_COUNT; i = scoreboard_next(sb, i))
		sum = sat_count(sum, atomic_load_explicit(&sb->slots[i].cost_nanos,
							  memory_order_relaxed));
	return sum;
}

uint64_t scoreboard_log_dropped(const struct scoreboard *sb)
{
	uint64_t sum = atomic_load(&sb->log_loss.dropped);

	for (int i = 0; i < SLOT_COUNT; i = scoreboard_next(sb, i))
		sum = sat_count(sum, atomic_load(&sb->slots[i].log_loss.dropped));
	return sum;
}

static const struct log_loss *later(const struct log_loss *a, const struct log_loss *b)
{
	int64_t since = a ? atomic_load(&a->wall_ms) : 0;

	return atomic_load(&b->wall_ms) > since ? b : a;
}

/* Who is gone writes nothing any more, and its place in the log may be as good as new. */
static bool is_failing(const struct slot *slot)
{
	return atomic_load(&slot->pid) && atomic_load(&slot->log_loss.failing);
}

const struct log_loss *scoreboard_log_loss(const struct scoreboard *sb, bool failing)
{
	const struct log_loss *last = NULL;

	if (!failing || atomic_load(&sb->log_loss.failing))
		last = later(last, &sb->log_loss);
	for (int i = 0; i < SLOT_COUNT; i = scoreboard_next(sb, i))
		if (!failing || is_failing(&sb->slots[i]))
			last = later(last, &sb->slots[i].log_loss);
	return last;
}
