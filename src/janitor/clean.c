/*
 * The janitor's cleaning. It touches nothing that anybody still uses, and one host cleans at a
 * time (the statements take a lock for that).
 */
#include "clean.h"

#include "pg/pgbinary.h"

#define CLEAN_BATCH 500
#define CLEAN_PAUSE_MS 50		/* between batches, so that claims go first */
#define CACHE_PAGES 200			/* of the cache looked through at once */
#define CACHE_WALKS 48			/* through the cache in the time that an entry lives */
#define CACHE_WALK_MAX_MS 600000	/* from one to the next */

void clean_init(struct clean *c, struct maintenance *m)
{
	*c = (struct clean){ .m = m };
}

static void go_on_with_jobs(void *arg)
{
	clean_jobs(arg);
}

static void on_jobs_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct clean *c = arg;

	c->jobs_asked = false;
	if (!statement_answered(err) || pgvalue_int8(result, 0, 0) == 0)
		return;
	slot_count(c->m->slot, COUNTER_JOBS_CLEANED, (uint64_t)pgvalue_int8(result, 0, 0));
	statement_timer(c->m, &c->jobs_timer, CLEAN_PAUSE_MS, go_on_with_jobs, c);
}

void clean_jobs(struct clean *c)
{
	const struct config *config = c->m->config;
	struct buf *p;

	if (c->jobs_asked)
		return;
	p = statement_begin(c->m);
	pgbinary_int8(&p[0], config->queue.keep_completed_ms);
	pgbinary_int8(&p[1], config->queue.keep_failed_ms);
	pgbinary_int4(&p[2], CLEAN_BATCH);
	c->jobs_asked = statement_send(c->m, STATEMENT_CLEAN_JOBS, on_jobs_cleaned, c);
}

/* Expired entries are not used, only in the way: no need to look for them often. */
int64_t clean_walk_pause_ms(int64_t ttl_ms, int64_t poll_ms)
{
	int64_t ms = ttl_ms / CACHE_WALKS;

	if (ms > CACHE_WALK_MAX_MS)
		ms = CACHE_WALK_MAX_MS;
	return ms > poll_ms ? ms : poll_ms;
}

bool clean_walk_on(struct cache_walk *walk, int64_t pages)
{
	if (walk->page == 0)
		walk->end = pages;
	walk->page += CACHE_PAGES;
	if (walk->page < walk->end)
		return true;
	walk->page = 0;
	return false;
}

static void clean_cache(void *arg);

/* When the next step is due, after one that was carried out or not. */
static int64_t pause_after(struct clean *c, const PGresult *result, const struct err *err)
{
	const struct config *config = c->m->config;

	if (!statement_answered(err))
		return config->queue.poll_ms;
	slot_count(c->m->slot, COUNTER_CACHE_CLEANED, (uint64_t)pgvalue_int8(result, 0, 0));
	if (!pgvalue_bool(result, 0, 2))	/* another pool's turn */
		return config->queue.poll_ms;
	if (clean_walk_on(&c->walk, pgvalue_int8(result, 0, 1)))
		return CLEAN_PAUSE_MS;
	return clean_walk_pause_ms(config->cache.ttl_ms, config->queue.poll_ms);
}

static void on_cache_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct clean *c = arg;

	c->cache_asked = false;
	statement_timer(c->m, &c->cache_timer, pause_after(c, result, err), clean_cache, c);
}

static void clean_cache(void *arg)
{
	struct clean *c = arg;
	struct buf *p;

	if (c->cache_asked || c->m->config->cache.ttl_ms == 0)
		return;
	p = statement_begin(c->m);
	pgbinary_int8(&p[0], c->m->config->cache.ttl_ms);
	pgbinary_int8(&p[1], c->walk.page);
	pgbinary_int8(&p[2], c->walk.page + CACHE_PAGES);
	c->cache_asked = statement_send(c->m, STATEMENT_CLEAN_CACHE, on_cache_cleaned, c);
}

void clean_begin_cache(struct clean *c)
{
	if (!loop_timer_is_set(&c->cache_timer))
		statement_timer(c->m, &c->cache_timer, c->m->config->queue.poll_ms, clean_cache, c);
}
