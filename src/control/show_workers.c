/* `show workers` and `show errors`: child by child. Supervisor; it reads and never waits. */
#include "show.h"

#include <stdlib.h>

#include "base/clock.h"
#include "show_cells.h"

/* ---- show workers ---- */

static const char *const workers_columns[] = {
	"slot", "role", "pid", "state", "age_ms", "beat_age_ms", "in_flight", "claimed",
	"completed", "failed", "lines", "restarts", "crashes", "restart_in_ms", "error_age_ms",
	"error", NULL
};

static void worker_work(struct table *t, const struct slot *slot)
{
	static const enum counter shown[] = {
		COUNTER_JOBS_CLAIMED, COUNTER_JOBS_COMPLETED, COUNTER_JOBS_FAILED,
		COUNTER_LINES_RATED,
	};

	table_int(t, atomic_load(&slot->in_flight));
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		table_int(t, (int64_t)atomic_load(&slot->counters[shown[i]]));
}

static void worker_row(const struct pool *pool, int i, struct table *t)
{
	const struct slot *slot = &pool->sb->slots[i];
	int64_t now = now_ms();
	int32_t pid = atomic_load(&slot->pid);
	uint32_t generation = atomic_load(&slot->generation);

	table_row(t);
	table_int(t, i);
	table_text(t, pool->ops->role(pool->arg, i));
	cell_known(t, pid ? pid : -1);
	table_text(t, slot_state_name(atomic_load(&slot->state)));
	cell_age(t, now, pid ? atomic_load(&slot->started_ms) : 0);
	cell_age(t, now, pid ? atomic_load(&slot->beat_ms) : 0);
	worker_work(t, slot);
	table_int(t, generation ? generation - 1 : 0);
	table_int(t, pool->ops->crashes(pool->arg, i));
	cell_known_ms(t, pool->ops->restart_in_ms(pool->arg, i));
	cell_age(t, wall_ms(), atomic_load(&slot->error.wall_ms));	/* it may be long over */
	cell_shared(t, &slot->error);
}

static void fill_workers(const struct pool *pool, struct table *t)
{
	const struct scoreboard *sb = pool->sb;

	for (int i = 0; i < SLOT_COUNT; i++)
		if (atomic_load(&sb->slots[i].state) != SLOT_EMPTY)
			worker_row(pool, i, t);
}

const struct view view_workers = { workers_columns, false, fill_workers };

/* ---- show errors ---- */

struct complaint {
	int64_t wall_ms;
	int slot;			/* -1: the breaker */
	const struct shared_text *text;
};

static int newest_first(const void *a, const void *b)
{
	const struct complaint *x = a, *y = b;

	return (x->wall_ms < y->wall_ms) - (x->wall_ms > y->wall_ms);
}

static size_t add_complaint(struct complaint *all, size_t n, int slot,
			    const struct shared_text *text)
{
	if (atomic_load(&text->wall_ms) == 0 || !text->text[0])
		return n;
	all[n] = (struct complaint){ atomic_load(&text->wall_ms), slot, text };
	return n + 1;
}

static const char *who(const struct pool *pool, int slot)
{
	return slot < 0 ? "breaker" : pool->ops->role(pool->arg, slot);
}

static void fill_errors(const struct pool *pool, struct table *t)
{
	const struct scoreboard *sb = pool->sb;
	struct complaint all[SLOT_COUNT + 1];
	size_t n = add_complaint(all, 0, -1, &sb->breaker.reason);
	int64_t now = wall_ms();	/* the one clock that other processes share */

	for (int i = 0; i < SLOT_COUNT; i++)
		n = add_complaint(all, n, i, &sb->slots[i].error);
	qsort(all, n, sizeof(all[0]), newest_first);
	for (size_t i = 0; i < n; i++) {
		table_row(t);
		cell_age(t, now, all[i].wall_ms);
		cell_known(t, all[i].slot);
		table_text(t, who(pool, all[i].slot));
		cell_shared(t, all[i].text);
	}
}

const struct view view_errors = { COLUMNS("age_ms", "slot", "role", "error"), false, fill_errors };
