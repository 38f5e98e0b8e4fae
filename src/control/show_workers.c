/* `show workers` and `show errors`: child by child. Supervisor; it reads and never waits. */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/saturate.h"
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
		table_int(t, (int64_t)sat_count(atomic_load(&slot->counters[shown[i]]), 0));
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

#define SHOW_REFUSED_MAX 64		/* rows that are refused; "rows_refused" counts all */

enum { OF_BREAKER = -1, OF_LOG = -2, OF_RELOAD = -3 };

/* One of the three is what is told. */
struct complaint {
	int64_t age_ms;
	int slot;			/* or OF_... */
	const struct shared_text *text;
	const struct refused_row *row;
	const struct log_loss *loss;
};

struct complaints {
	size_t n, nrows;
	struct complaint at[SLOT_COUNT + 3 + SHOW_REFUSED_MAX];
	struct refused_row rows[SHOW_REFUSED_MAX];
};

static int newest_first(const void *a, const void *b)
{
	const struct complaint *x = a, *y = b;

	return (x->age_ms > y->age_ms) - (x->age_ms < y->age_ms);
}

/* Times from shared memory may be anything. */
static int64_t between(int64_t from, int64_t to)
{
	return from < to ? (int64_t)((uint64_t)to - (uint64_t)from) : 0;
}

/* Ages by the one clock that other processes share. */
static void add_text(struct complaints *all, int slot, const struct shared_text *text)
{
	int64_t at = atomic_load(&text->wall_ms);

	if (at == 0 || !text->text[0])
		return;
	all->at[all->n++] = (struct complaint){
		.age_ms = between(at, wall_ms()), .slot = slot, .text = text
	};
}

static void add_rows(struct complaints *all, int slot, const struct shared_refused *table)
{
	struct refused_row rows[REFUSED_MAX];
	int64_t now = now_ms();
	size_t n = refused_list(table, now, rows);

	for (size_t i = 0; i < n && all->nrows < SHOW_REFUSED_MAX; i++) {
		struct refused_row *row = &all->rows[all->nrows++];

		*row = rows[i];
		all->at[all->n++] = (struct complaint){
			.age_ms = between(row->since_ms, now), .slot = slot, .row = row
		};
	}
}

/* "`reap` is refused 0198...: not now (SQLSTATE 55000); tried again in 40 s" */
static void cell_refused(struct table *t, const struct refused_row *row)
{
	char text[REFUSED_TEXT_SIZE + 160];

	snprintf(text, sizeof(text), "`%s` is refused %s: %s; tried again in %" PRId64 " s",
		 row->statement, row->id, row->text, between(now_ms(), row->next_ms) / 1000);
	table_text(t, text);
}

/* One for all processes: what keeps one from writing keeps the others, too. */
static void add_loss(struct complaints *all, const struct log_loss *loss)
{
	if (loss)
		all->at[all->n++] = (struct complaint){
			.age_ms = between(atomic_load(&loss->wall_ms), wall_ms()), .slot = OF_LOG,
			.loss = loss
		};
}

static void cell_loss(struct table *t, const struct scoreboard *sb, const struct log_loss *loss)
{
	uint64_t n = scoreboard_log_dropped(sb);
	char text[200];

	snprintf(text, sizeof(text), "%" PRIu64 " line%s of the log dropped, the last one: %s", n,
		 n == 1 ? "" : "s", log_loss_reason(loss));
	table_text(t, text);
}

static const char *who(const struct pool *pool, int slot)
{
	return slot == OF_BREAKER ? "breaker" : slot == OF_LOG ? "log" :
	       slot == OF_RELOAD ? "reload" : pool->ops->role(pool->arg, slot);
}

static void error_row(const struct pool *pool, const struct complaint *c, struct table *t)
{
	table_row(t);
	cell_known_ms(t, c->age_ms);
	cell_known(t, c->slot);
	table_text(t, who(pool, c->slot));
	if (c->row)
		table_text(t, c->row->id);
	else
		table_null(t);
	if (c->row)
		cell_refused(t, c->row);
	else if (c->loss)
		cell_loss(t, pool->sb, c->loss);
	else
		cell_shared(t, c->text);
}

static void fill_errors(const struct pool *pool, struct table *t)
{
	const struct scoreboard *sb = pool->sb;
	struct complaints all = { .n = 0 };

	add_text(&all, OF_BREAKER, &sb->breaker.reason);
	add_text(&all, OF_RELOAD, &sb->reload_error);
	add_loss(&all, scoreboard_log_loss(sb, false));
	for (int i = 0; i < SLOT_COUNT; i++) {
		add_text(&all, i, &sb->slots[i].error);
		add_rows(&all, i, &sb->slots[i].refused);
	}
	qsort(all.at, all.n, sizeof(all.at[0]), newest_first);
	for (size_t i = 0; i < all.n; i++)
		error_row(pool, &all.at[i], t);
}

/* row: which one it is about, where it is about one. */
const struct view view_errors = {
	COLUMNS("age_ms", "slot", "role", "row", "error"), false, fill_errors
};
