/*
 * Single flight between workers and hosts: who asks about which phrase stands in the table phrase_flights, under
 * a lease. Takes what nobody asks about, looks what others have brought to the phrase cache, renews, and tells
 * what is over, one statement of a kind on its way at a time. Runs in workers, once a turn; which line waits for
 * whom is single_flight.c's.
 */
#include "single_flight.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define LEASE_MS 6000
#define RENEW_MS (LEASE_MS / 2)		/* most calls are over by then */
#define OPEN_MS 10000			/* longer than the longest interval, so that all who wait get to see it */
#define INTERVAL_MAX_MS 1000
#define TROUBLE_MS 500			/* pause after a statement that failed for a reason outside it */

/* ---- looking: taking what nobody asks about, then what has come into the cache meanwhile ---- */

static void look_again(struct worker *w, int64_t after_ms)
{
	w->flights.looking = false;
	w->flights.look_at_ms = now_ms() + after_ms;
}

static void take(struct worker *w, const char *key)
{
	struct flight *f = flight_find(w, key);

	if (!f || !f->looking) {	/* those who waited have gone meanwhile, and perhaps others come */
		if (!f)
			flight_add(w, key, FLIGHT_LANDED);
		return;
	}
	w->flights.nothers -= f->state != FLIGHT_LEADER;
	f->state = FLIGHT_LEADER;
	f->since_ms = w->flights.sent_ms;
	if (!w->flights.renew_at_ms)
		w->flights.renew_at_ms = f->since_ms + RENEW_MS;
}

/* Without the table each asks by itself: that costs calls, and no more. */
static void disable_coalescing(struct worker *w)
{
	struct flight *f, *next;

	for (f = TAILQ_FIRST(&w->flights.list); f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (!f->looking || f->state == FLIGHT_LEADER)
			continue;
		flight_leave_all(w, f);
		flight_end(w, f, FLIGHT_LANDED);
	}
}

static void on_flown(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;

	if (err && err->kind != ERR_LOST && err->kind != ERR_RETRY) {
		log_warn("%s; asking the rater about all lines, equal ones too", err->text);
		disable_coalescing(w);
	}
	for (int row = 0; result && row < PQntuples(result); row++) {
		const char *key;
		struct flight *f;
		bool ours;

		queue_leased_row(result, row, &key, &ours);
		f = flight_find(w, key);
		if (ours)
			take(w, key);
		else if (f)
			f->open = f->looking;
	}
}

static void give(struct worker *w, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		struct cached_row cached;
		struct flight *f;

		queue_cached_row(result, row, &cached);
		f = flight_find(w, cached.key);
		if (!f || f->asker)
			continue;
		flight_share(w, f, NULL, &cached);
		flight_end(w, f, FLIGHT_LANDED);
	}
}

static void after_look(struct worker *w, struct flight *f)
{
	f->looking = false;
	if (f->state == FLIGHT_LEADER) {
		if (!f->asker)
			flight_next_asker(w, f);
	} else if (f->open) {
		flight_leave_all(w, f);
		flight_end(w, f, FLIGHT_LANDED);
	} else {
		f->state = FLIGHT_FOLLOWER;
	}
}

static void on_looked(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;
	struct flight *f, *next;

	if (result)
		give(w, result);
	for (f = TAILQ_FIRST(&w->flights.list); f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (f->looking)
			after_look(w, f);
	}
	for (struct grading *g = w->head; w->metered && g; g = g->next)
		if (g->flight.nwaiting > 0 && !g->flight.ready)
			worker_keep_pace(w, g);		/* the call it had a permit for is another's */
	look_again(w, err ? TROUBLE_MS : w->flights.interval_ms);
	w->flights.interval_ms *= 2;
	if (w->flights.interval_ms > INTERVAL_MAX_MS)
		w->flights.interval_ms = INTERVAL_MAX_MS;
}

/* keys has room for all flights. Returns how many of them are to be looked at. */
static size_t gather_looked_at(struct worker *w, const char **keys)
{
	struct flight *f;
	size_t n = 0;

	TAILQ_FOREACH(f, &w->flights.list, link)
		if (f->state != FLIGHT_LEADER) {
			f->looking = true;
			f->open = false;
			keys[n++] = f->key;
		}
	return n;
}

static size_t count(const struct flight_list *list)
{
	const struct flight *f;
	size_t n = 0;

	TAILQ_FOREACH(f, list, link)
		n++;
	return n;
}

/*
 * The look into the cache comes after the rows are ours, with a snapshot of its own: whoever had them before has
 * stored its rating first.
 */
static void look(struct worker *w)
{
	const char **keys = xcalloc(count(&w->flights.list) + 1, sizeof(*keys));
	size_t n = gather_looked_at(w, keys);
	int64_t ttl = w->config->cache.ttl_ms;

	w->flights.fresh = false;
	w->flights.sent_ms = now_ms();
	w->flights.looking = true;
	if (queue_lease_keys(&w->queue, keys, n, w->c->identity, LEASE_MS, ttl, on_flown, w) == -1 ||
	    queue_lookup(&w->queue, keys, n, ttl, on_looked, w) == -1)
		look_again(w, TROUBLE_MS);
	free(keys);
}

/* ---- keeping, and telling what is over ---- */

static void on_kept(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg, (void)result;
	if (err && err->kind != ERR_LOST)
		log_warn("%s; what is being asked about may be asked about twice", err->text);
}

static void renew(struct worker *w, int64_t now)
{
	const char **keys = xcalloc(count(&w->flights.list) + 1, sizeof(*keys));
	struct flight *f;
	size_t n = 0;

	w->flights.renew_at_ms = 0;
	TAILQ_FOREACH(f, &w->flights.list, link) {
		if (f->state != FLIGHT_LEADER)
			continue;
		if (now - f->since_ms >= RENEW_MS / 2) {	/* those that are due soon go along */
			f->since_ms = now;
			keys[n++] = f->key;
		}
		if (!w->flights.renew_at_ms || f->since_ms + RENEW_MS < w->flights.renew_at_ms)
			w->flights.renew_at_ms = f->since_ms + RENEW_MS;
	}
	if (n > 0)
		queue_renew_leases(&w->queue, keys, n, w->c->identity, LEASE_MS, on_kept, w);
	free(keys);
}

static void on_told(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;

	(void)result;
	w->flights.landing = false;
	if (err && err->kind != ERR_LOST)
		log_warn("%s; who waits for it waits for %d ms at most", err->text, LEASE_MS);
}

static void tell(struct worker *w)
{
	size_t n = count(&w->flights.over), nlanded = 0, nfailed = 0;
	const char **landed = xcalloc(n, sizeof(*landed)), **failed = xcalloc(n, sizeof(*failed));
	struct flight *f;

	TAILQ_FOREACH(f, &w->flights.over, link)
		if (f->state == FLIGHT_FAILED)
			failed[nfailed++] = f->key;
		else
			landed[nlanded++] = f->key;
	w->flights.landing = queue_release_leases(&w->queue, w->c->identity, landed, nlanded, failed, nfailed, OPEN_MS, on_told,
					w) == 0;
	while ((f = TAILQ_FIRST(&w->flights.over))) {
		TAILQ_REMOVE(&w->flights.over, f, link);
		free(f);
	}
	free(landed);
	free(failed);
}

/* ---- the turn ---- */

int64_t lease_turn(struct worker *w)
{
	struct flights *fl = &w->flights;
	int64_t now, wait;

	if (TAILQ_EMPTY(&fl->list) && TAILQ_EMPTY(&fl->over))
		return fl->ready ? 0 : -1;
	now = now_ms();
	wait = fl->nwaiting > 0 ? flights_lose_patience(w, now) : -1;
	if (fl->ready)
		wait = 0;
	if (!pg_is_ready(w->pg))
		return wait;
	if (!TAILQ_EMPTY(&fl->over))
		tell(w);
	if (fl->renew_at_ms && now >= fl->renew_at_ms)
		renew(w, now);
	if (!fl->looking && fl->nothers > 0 && (fl->fresh || now >= fl->look_at_ms))
		look(w);
	if (fl->renew_at_ms)
		wait = worker_sooner(wait, fl->renew_at_ms > now ? fl->renew_at_ms - now : 0);
	if (!fl->looking && fl->nothers > 0)
		wait = worker_sooner(wait, fl->look_at_ms > now ? fl->look_at_ms - now : 0);
	return wait;
}

bool flights_are_told(const struct worker *w)
{
	return !pg_is_ready(w->pg) || (TAILQ_EMPTY(&w->flights.over) && !w->flights.landing);
}
