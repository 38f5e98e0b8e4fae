/*
 * The janitor's cleaning of finished jobs. It touches nothing that anybody still uses, and one host
 * cleans at a time (the statement takes a lock for that).
 */
#include "clean.h"

#include "pg/pgbinary.h"

#define CLEAN_BATCH 500
#define MOST 100000			/* in one page */

/* Columns of sql/old_jobs.sql. */
enum { OLD_FAILED, OLD_ID, OLD_SESSION, OLD_AT };

void old_walk_begin(struct old_walk *w)
{
	*w = (struct old_walk){ .from = INT64_MIN, .most = OLD_WALK_PAGE };
}

/* Where not even so many lead past a moment, the walk goes on behind it. */
void old_walk_on(struct old_walk *w, int rows, int known, int64_t last)
{
	if (w->most == 0 || rows < w->most) {
		w->most = 0;
	} else if (last == w->from && known >= MOST) {
		w->from = last + 1;
		w->most = OLD_WALK_PAGE;
	} else {
		w->from = last;
		w->most = OLD_WALK_PAGE + known < MOST ? OLD_WALK_PAGE + known : MOST;
	}
}

static void ask(void *arg, struct buf *p)
{
	struct clean *c = arg;
	const struct config *config = c->m->config;

	if (!c->within) {
		old_walk_begin(&c->completed);
		old_walk_begin(&c->failed);
	}
	pgbinary_int8(&p[0], config->queue.keep_completed_ms);
	pgbinary_int8(&p[1], c->completed.from);
	pgbinary_int4(&p[2], c->completed.most);
	pgbinary_int8(&p[3], config->queue.keep_failed_ms);
	pgbinary_int8(&p[4], c->failed.from);
	pgbinary_int4(&p[5], c->failed.most);
}

static bool add_row(struct clean *c, const PGresult *result, int row)
{
	char id[UUID_SIZE], session[UUID_SIZE];

	pgvalue_uuid(result, row, OLD_ID, id);
	pgvalue_uuid(result, row, OLD_SESSION, session);
	return chore_add(&c->sweep.chore, id, session);
}

static bool found(void *arg, const PGresult *result)
{
	struct clean *c = arg;
	struct { int rows, known; int64_t last; } of[2] = { { .rows = 0 }, { .rows = 0 } };

	for (int i = 0; i < PQntuples(result); i++) {
		int which = pgvalue_bool(result, i, OLD_FAILED);

		of[which].rows++;
		of[which].known += !add_row(c, result, i);
		of[which].last = pgvalue_int8(result, i, OLD_AT);
	}
	old_walk_on(&c->completed, of[0].rows, of[0].known, of[0].last);
	old_walk_on(&c->failed, of[1].rows, of[1].known, of[1].last);
	c->within = c->completed.most > 0 || c->failed.most > 0;
	return c->within;
}

static void put(void *arg, struct buf *p, struct chore_row *const *rows, int n)
{
	const struct clean *c = arg;
	const struct config *config = c->m->config;

	pgbinary_int8(&p[0], config->queue.keep_completed_ms);
	pgbinary_int8(&p[1], config->queue.keep_failed_ms);
	pgitems_begin(&p[2], PG_UUID);
	for (int i = 0; i < n; i++)
		pgitem_uuid(&p[2], rows[i]->id);
}

static void done(void *arg, int n, int nfailed)
{
	struct clean *c = arg;

	(void)nfailed;
	slot_count(c->m->slot, COUNTER_JOBS_CLEANED, (uint64_t)n);
}

void clean_jobs(struct clean *c)
{
	sweep_look(&c->sweep);
}

void clean_init(struct clean *c, struct maintenance *m)
{
	static const struct sweep_kind kind = {
		.find = STATEMENT_OLD_JOBS, .act = STATEMENT_CLEAN_JOBS,
		.what = "job", .doing = "deleted",
		.row_size = sizeof(struct chore_row), .batch = CLEAN_BATCH,
		.pause_ms = CLEAN_PAUSE_MS,
		.ask = ask, .found = found, .put = put, .done = done,
	};

	*c = (struct clean){ .m = m };
	sweep_init(&c->sweep, m, &kind, c);
}

void clean_free(struct clean *c)
{
	sweep_free(&c->sweep);
}
