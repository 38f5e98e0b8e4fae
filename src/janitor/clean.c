/*
 * The janitor's cleaning: finished jobs that were kept long enough, and entries of the phrase cache that have
 * expired, in small batches with pauses. It touches nothing that anybody still uses.
 */
#include "janitor.h"

#include "pg/pgbinary.h"

#define CLEAN_BATCH 500
#define CLEAN_PAUSE_MS 50		/* between batches, so that claims go first */
#define CACHE_PAGES 200			/* of the cache looked through at once */
#define CACHE_WALKS 48			/* through the cache in the time that an entry lives, */
#define CACHE_WALK_MAX_MS 600000	/* and no longer than this from one to the next */

static void on_jobs_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->cleaning_jobs = false;
	if (!janitor_answered(j, err) || pgvalue_int8(result, 0, 0) == 0)
		return;
	slot_count(j->c->slot, COUNTER_JOBS_CLEANED, (uint64_t)pgvalue_int8(result, 0, 0));
	janitor_set_timer(j, &j->jobs_timer, CLEAN_PAUSE_MS, janitor_clean_jobs);
}

void janitor_clean_jobs(void *arg)
{
	struct janitor *j = arg;
	struct buf *p;

	if (j->cleaning_jobs)
		return;
	p = janitor_begin(j);
	pgbinary_int8(&p[0], j->config->queue.keep_completed_ms);
	pgbinary_int8(&p[1], j->config->queue.keep_failed_ms);
	pgbinary_int4(&p[2], CLEAN_BATCH);
	j->cleaning_jobs = janitor_send(j, STATEMENT_CLEAN_JOBS, on_jobs_cleaned);
}

/* Expired entries are not used, only in the way: no need to look for them often. */
static int64_t until_next_walk(const struct config *config)
{
	int64_t ms = config->cache.ttl_ms / CACHE_WALKS;

	if (ms > CACHE_WALK_MAX_MS)
		ms = CACHE_WALK_MAX_MS;
	return ms > config->queue.poll_ms ? ms : config->queue.poll_ms;
}

static void on_cache_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;

	j->cleaning_cache = false;
	if (!janitor_answered(j, err)) {
		janitor_set_timer(j, &j->cache_timer, j->config->queue.poll_ms, janitor_clean_cache);
		return;
	}
	slot_count(j->c->slot, COUNTER_CACHE_CLEANED, (uint64_t)pgvalue_int8(result, 0, 0));
	if (!pgvalue_bool(result, 0, 2)) {	/* another pool's turn */
		janitor_set_timer(j, &j->cache_timer, j->config->queue.poll_ms, janitor_clean_cache);
		return;
	}
	if (j->cache_page == 0)		/* what is added meanwhile is young */
		j->cache_end = pgvalue_int8(result, 0, 1);
	j->cache_page += CACHE_PAGES;
	if (j->cache_page < j->cache_end) {
		janitor_set_timer(j, &j->cache_timer, CLEAN_PAUSE_MS, janitor_clean_cache);
		return;
	}
	j->cache_page = 0;
	janitor_set_timer(j, &j->cache_timer, until_next_walk(j->config), janitor_clean_cache);
}

void janitor_clean_cache(void *arg)
{
	struct janitor *j = arg;
	struct buf *p;

	if (j->cleaning_cache || j->config->cache.ttl_ms == 0)
		return;
	p = janitor_begin(j);
	pgbinary_int8(&p[0], j->config->cache.ttl_ms);
	pgbinary_int8(&p[1], j->cache_page);
	pgbinary_int8(&p[2], j->cache_page + CACHE_PAGES);
	j->cleaning_cache = janitor_send(j, STATEMENT_CLEAN_CACHE, on_cache_cleaned);
}
