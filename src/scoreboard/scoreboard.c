/* The shared mapping: making it, sums over its slots, breadcrumbs and deaths. */
#include "scoreboard/scoreboard.h"

#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

struct scoreboard *scoreboard_new(void)
{
	struct scoreboard *sb = mmap(NULL, sizeof(*sb), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (sb == MAP_FAILED)
		return NULL;
	for (int i = 0; i < GAUGE_COUNT; i++)
		atomic_store(&sb->gauges[i], -1);
	atomic_store(&sb->job_budget, INT64_MAX);
	atomic_store(&sb->slots_used, SLOT_COUNT);
	atomic_store(&sb->started_ms, now_ms());
	atomic_store(&sb->started_wall_ms, wall_ms());
	return sb;
}

const char *slot_state_name(unsigned state)
{
	static const char *const names[SLOT_STATE_COUNT] = {
		[SLOT_EMPTY] = "empty", [SLOT_STARTING] = "starting", [SLOT_CONNECTING] = "connecting",
		[SLOT_IDLE] = "idle", [SLOT_BUSY] = "busy", [SLOT_DRAINING] = "draining",
		[SLOT_WAITING] = "waiting",
	};

	return state < SLOT_STATE_COUNT ? names[state] : "?";
}

uint64_t scoreboard_sum(const struct scoreboard *sb, enum counter c)
{
	uint64_t sum = 0;

	for (int i = 0, n = scoreboard_slots(sb); i < n; i++)
		sum += atomic_load_explicit(&sb->slots[i].counters[c], memory_order_relaxed);
	return sum;
}

void scoreboard_latency(const struct scoreboard *sb, uint64_t counts[LATENCY_BUCKETS])
{
	memset(counts, 0, LATENCY_BUCKETS * sizeof(counts[0]));
	for (int i = 0, n = scoreboard_slots(sb); i < n; i++)
		for (int b = 0; b < LATENCY_BUCKETS; b++)
			counts[b] += atomic_load_explicit(&sb->slots[i].latency[b], memory_order_relaxed);
}

uint64_t scoreboard_cost_nanos(const struct scoreboard *sb)
{
	uint64_t sum = 0;

	for (int i = 0, n = scoreboard_slots(sb); i < n; i++)
		sum += atomic_load_explicit(&sb->slots[i].cost_nanos, memory_order_relaxed);
	return sum;
}

void breadcrumb_set(struct breadcrumb *b, const char *job)
{
	atomic_store_explicit(&b->set, 0, memory_order_relaxed);
	if (!job)
		return;
	atomic_signal_fence(memory_order_seq_cst);	/* the reader comes when we are dead: only our own order counts */
	atomic_store_explicit(&b->line, BREADCRUMB_NO_LINE, memory_order_relaxed);
	memcpy(b->job, job, UUID_SIZE - 1);
	atomic_store_explicit(&b->set, 1, memory_order_release);
}

bool breadcrumb_get(const struct breadcrumb *b, char *out, int32_t *line)
{
	bool set = atomic_load(&b->set) == 1;

	memcpy(out, b->job, UUID_SIZE - 1);
	out[set ? UUID_SIZE - 1 : 0] = '\0';
	*line = set ? atomic_load(&b->line) : BREADCRUMB_NO_LINE;
	return set;
}

bool deaths_push(struct scoreboard *sb, const struct death *d)
{
	uint32_t head = atomic_load(&sb->deaths_head);

	if (head - atomic_load(&sb->deaths_tail) >= DEATHS)
		return false;
	sb->deaths[head % DEATHS] = *d;
	atomic_store(&sb->deaths_head, head + 1);
	return true;
}

const struct death *deaths_peek(const struct scoreboard *sb, unsigned nth)
{
	uint32_t tail = atomic_load(&sb->deaths_tail);

	if (atomic_load(&sb->deaths_head) - tail <= nth)
		return NULL;
	return &sb->deaths[(tail + nth) % DEATHS];
}

void deaths_pop(struct scoreboard *sb, unsigned count)
{
	atomic_fetch_add(&sb->deaths_tail, count);
}
