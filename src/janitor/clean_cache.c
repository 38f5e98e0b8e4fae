/*
 * The janitor's cleaning of the phrase cache. One host cleans at a time (the statements take a lock
 * for that). Expired entries are not used, only in the way: no need to look for them often.
 */
#include "clean_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clean.h"
#include "pg/pgbinary.h"

#define CACHE_PAGES 200			/* of the cache looked through at once */
#define CACHE_WALKS 48			/* through the cache in the time that an entry lives */
#define CACHE_WALK_MAX_MS 600000	/* from one to the next */
#define CACHE_BATCH 500

/* Columns of sql/expired.sql, and of sql/lapsed.sql. */
enum { EXPIRED_PAGES, EXPIRED_PLACE, EXPIRED_KEY };
enum { LAPSED_KEY };

struct entry_row {
	struct chore_row chore;
	char place[PLACE_SIZE];
};

struct lease_row {
	struct chore_row chore;
	char key[REFUSED_ID_SIZE * 4];
};

/* ---- the walk ---- */

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

static void walk(void *arg)
{
	struct clean_cache *c = arg;

	if (c->m->config->cache.ttl_ms == 0)
		return;
	sweep_look(&c->entries);
	sweep_look(&c->leases);
	statement_timer(c->m, &c->timer, clean_walk_pause_ms(c->m->config->cache.ttl_ms,
							     c->m->config->queue.poll_ms),
			walk, c);
}

void clean_cache_begin(struct clean_cache *c)
{
	if (!loop_timer_is_set(&c->timer))
		statement_timer(c->m, &c->timer, c->m->config->queue.poll_ms, walk, c);
}

/* ---- entries ---- */

static void ask_entries(void *arg, struct buf *p)
{
	const struct clean_cache *c = arg;

	pgbinary_int8(&p[0], c->m->config->cache.ttl_ms);
	if (c->from[0])
		buf_str(&p[1], c->from);
	else
		buf_printf(&p[1], "(%" PRId64 ",0)", c->walk.page);
	pgbinary_int8(&p[2], c->walk.page + CACHE_PAGES);
	pgbinary_int4(&p[3], SWEEP_PAGE);
}

/* Behind the last place of a page that came full. */
static void go_behind(char *from, const char *place)
{
	unsigned page = 0, item = 0;

	sscanf(place, "(%u,%u)", &page, &item);
	snprintf(from, PLACE_SIZE, "(%u,%u)", page, item + 1);
}

static bool found_entries(void *arg, const PGresult *result)
{
	struct clean_cache *c = arg;
	int n = PQntuples(result);

	for (int i = 0; i < n && !PQgetisnull(result, i, EXPIRED_KEY); i++) {
		struct entry_row *row = (struct entry_row *)chore_add(
			&c->entries.chore, PQgetvalue(result, i, EXPIRED_KEY), NULL);

		if (row)
			snprintf(row->place, sizeof(row->place), "%s",
				 PQgetvalue(result, i, EXPIRED_PLACE));
	}
	c->from[0] = '\0';
	if (n == SWEEP_PAGE) {
		go_behind(c->from, PQgetvalue(result, n - 1, EXPIRED_PLACE));
		return true;
	}
	return n > 0 && clean_walk_on(&c->walk, pgvalue_int8(result, 0, EXPIRED_PAGES));
}

static void put_entries(void *arg, struct buf *p, struct chore_row *const *rows, int n)
{
	const struct clean_cache *c = arg;

	pgbinary_int8(&p[0], c->m->config->cache.ttl_ms);
	pgitems_begin(&p[1], PG_TEXT);
	for (int i = 0; i < n; i++)
		pgitem_text(&p[1], ((const struct entry_row *)rows[i])->place);
}

static void done_entries(void *arg, int n, int nfailed)
{
	struct clean_cache *c = arg;

	(void)nfailed;
	slot_count(c->m->slot, COUNTER_CACHE_CLEANED, (uint64_t)n);
}

/* ---- leases ---- */

static void ask_leases(void *arg, struct buf *p)
{
	const struct clean_cache *c = arg;

	buf_str(&p[0], c->key);
	pgbinary_int4(&p[1], SWEEP_PAGE);
}

static bool found_leases(void *arg, const PGresult *result)
{
	struct clean_cache *c = arg;
	int n = PQntuples(result);

	for (int i = 0; i < n; i++) {
		const char *key = PQgetvalue(result, i, LAPSED_KEY);
		struct lease_row *row = NULL;

		if (strlen(key) < sizeof(row->key))	/* ours are; others' need not be */
			row = (struct lease_row *)chore_add(&c->leases.chore, key, NULL);
		if (row)
			snprintf(row->key, sizeof(row->key), "%s", key);
	}
	snprintf(c->key, sizeof(c->key), "%s",
		 n == SWEEP_PAGE ? PQgetvalue(result, n - 1, LAPSED_KEY) : "");
	return n == SWEEP_PAGE;
}

static void put_leases(void *arg, struct buf *p, struct chore_row *const *rows, int n)
{
	(void)arg;
	pgitems_begin(&p[0], PG_TEXT);
	for (int i = 0; i < n; i++)
		pgitem_text(&p[0], ((const struct lease_row *)rows[i])->key);
}

static void done_leases(void *arg, int n, int nfailed)
{
	(void)arg, (void)n, (void)nfailed;
}

/* ---- life ---- */

void clean_cache_init(struct clean_cache *c, struct maintenance *m)
{
	static const struct sweep_kind entries = {
		.find = STATEMENT_EXPIRED, .act = STATEMENT_CLEAN_CACHE,
		.what = "cache entry", .doing = "deleted",
		.row_size = sizeof(struct entry_row), .batch = CACHE_BATCH,
		.pause_ms = CLEAN_PAUSE_MS,
		.ask = ask_entries, .found = found_entries, .put = put_entries,
		.done = done_entries,
	};
	static const struct sweep_kind leases = {
		.find = STATEMENT_LAPSED, .act = STATEMENT_CLEAN_FLIGHTS,
		.what = "lease", .doing = "deleted",
		.row_size = sizeof(struct lease_row), .batch = CACHE_BATCH,
		.pause_ms = CLEAN_PAUSE_MS,
		.ask = ask_leases, .found = found_leases, .put = put_leases, .done = done_leases,
	};

	*c = (struct clean_cache){ .m = m };
	sweep_init(&c->entries, m, &entries, c);
	sweep_init(&c->leases, m, &leases, c);
}

void clean_cache_free(struct clean_cache *c)
{
	sweep_free(&c->entries);
	sweep_free(&c->leases);
}
