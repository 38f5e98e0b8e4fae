/*
 * Leases of phrases that are being asked about, in the table phrase_flights. Runs in workers, once
 * a turn; which line waits for whom is single_flight.c's.
 */
#include "flight_lease.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"

#define LEASE_MS 6000
#define RENEW_MS (LEASE_MS / 2)	/* most calls are over by then */
#define OPEN_MS 10000		/* longer than any interval, so that all who wait get to see it */
#define INTERVAL_FIRST_MS 100	/* when somebody has just come to wait; twice as long each time */
#define INTERVAL_MAX_MS 1000
#define TROUBLE_MS 500		/* pause after a statement that failed for a reason outside it */

/* ---- looking: taking what nobody asks about, then what has come into the cache meanwhile ---- */

/* Whoever comes to wait is worth looking for often again. */
static void hear_of_joins(struct flight_lease *l)
{
	if (flights_take_joined(l->flights))
		l->interval_ms = INTERVAL_FIRST_MS;
}

static void look_again(struct flight_lease *l, int64_t after_ms)
{
	l->looking = false;
	l->look_at_ms = now_ms() + after_ms;
}

/* Those who waited for it may have gone meanwhile, and perhaps others have come. */
static void take(struct flight_lease *l, const char *key)
{
	struct flight *f = flights_find(l->flights, key);

	if (!f)
		flights_add_over(l->flights, key);
	if (!f || !f->looking)
		return;
	flights_lead(l->flights, f);
	f->since_ms = l->sent_ms;
	if (!l->renew_at_ms)
		l->renew_at_ms = f->since_ms + RENEW_MS;
}

/* Without the table each asks by itself: that costs calls, and no more. */
static void disable_coalescing(struct flight_lease *l)
{
	struct flight *f, *next;

	for (f = TAILQ_FIRST(&l->flights->list); f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (!f->looking || f->state == FLIGHT_LEADER)
			continue;
		flights_leave_all(l->flights, f);
		flights_end(l->flights, f, FLIGHT_LANDED);
	}
}

static void on_leased(void *arg, const PGresult *result, const struct err *err)
{
	struct flight_lease *l = arg;

	if (err && err->kind != ERR_LOST && err->kind != ERR_RETRY) {
		log_warn("%s; asking the rater about all lines, equal ones too", err->text);
		disable_coalescing(l);
	}
	for (int row = 0; result && row < PQntuples(result); row++) {
		const char *key;
		struct flight *f;
		bool ours;

		queue_leased_row(result, row, &key, &ours);
		f = flights_find(l->flights, key);
		if (ours)
			take(l, key);
		else if (f)
			f->open = f->looking;
	}
}

static void give(struct flight_lease *l, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		struct cached_row cached;
		struct flight *f;

		queue_cached_row(result, row, &cached);
		f = flights_find(l->flights, cached.key);
		if (!f || f->asker)
			continue;
		flights_share_cached(l->flights, f, &cached);
		flights_end(l->flights, f, FLIGHT_LANDED);
	}
}

static void after_look(struct flights *flights, struct flight *f)
{
	f->looking = false;
	if (f->state == FLIGHT_LEADER) {
		if (!f->asker)
			flights_next_asker(flights, f);
	} else if (f->open) {
		flights_leave_all(flights, f);
		flights_end(flights, f, FLIGHT_LANDED);
	} else {
		flights_follow(flights, f);
	}
}

/* The call that a job had a permit for may be another's now. */
static void let_permits_go(struct flight_lease *l)
{
	if (!l->permits->metered)
		return;
	for (struct grading *g = l->jobs->head; g; g = g->next)
		if (g->flight.nwaiting > 0 && !g->flight.ready)
			permits_keep_pace(l->permits, g);
}

static void on_looked(void *arg, const PGresult *result, const struct err *err)
{
	struct flight_lease *l = arg;
	struct flight *f, *next;

	if (result)
		give(l, result);
	for (f = TAILQ_FIRST(&l->flights->list); f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (f->looking)
			after_look(l->flights, f);
	}
	let_permits_go(l);
	hear_of_joins(l);
	look_again(l, err ? TROUBLE_MS : l->interval_ms);
	l->interval_ms *= 2;
	if (l->interval_ms > INTERVAL_MAX_MS)
		l->interval_ms = INTERVAL_MAX_MS;
}

static size_t count(const struct flight_list *list)
{
	const struct flight *f;
	size_t n = 0;

	TAILQ_FOREACH(f, list, link)
		n++;
	return n;
}

/* Room for the keys of all flights in the list. */
static const char **room_for_keys(const struct flight_list *list)
{
	return xcalloc(count(list) + 1, sizeof(char *));
}

/* Returns how many of them are to be looked at. */
static size_t gather_looked_at(struct flights *flights, const char **keys)
{
	struct flight *f;
	size_t n = 0;

	TAILQ_FOREACH(f, &flights->list, link)
		if (f->state != FLIGHT_LEADER) {
			f->looking = true;
			f->open = false;
			keys[n++] = f->key;
		}
	return n;
}

static void give_up_look(struct flight_lease *l)
{
	struct flight *f;

	TAILQ_FOREACH(f, &l->flights->list, link)
		f->looking = false;
	look_again(l, TROUBLE_MS);
}

/*
 * The look into the cache comes after the rows are ours, with a snapshot of its own: whoever had
 * them before has stored its rating first.
 */
static void look(struct flight_lease *l)
{
	const char **keys = room_for_keys(&l->flights->list);
	size_t n = gather_looked_at(l->flights, keys);
	const char *identity = l->ctx->child->identity;
	int64_t ttl = l->ctx->config->cache.ttl_ms;
	struct queue *queue = l->ctx->queue;

	flights_looked_at(l->flights);
	l->sent_ms = now_ms();
	l->looking = true;
	if (queue_lease_keys(queue, keys, n, identity, LEASE_MS, ttl, on_leased, l) == -1 ||
	    queue_lookup(queue, keys, n, ttl, on_looked, l) == -1)
		give_up_look(l);
	free(keys);
}

/* ---- keeping, and telling what is over ---- */

static void on_renewed(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg, (void)result;
	if (err && err->kind != ERR_LOST)
		log_warn("%s; what is being asked about may be asked about twice", err->text);
}

static void renew(struct flight_lease *l, int64_t now)
{
	const char **keys = room_for_keys(&l->flights->list);
	struct flight *f;
	size_t n = 0;

	l->renew_at_ms = 0;
	TAILQ_FOREACH(f, &l->flights->list, link) {
		if (f->state != FLIGHT_LEADER)
			continue;
		if (now - f->since_ms >= RENEW_MS / 2) {	/* due now, or soon */
			f->since_ms = now;
			keys[n++] = f->key;
		}
		if (!l->renew_at_ms || f->since_ms + RENEW_MS < l->renew_at_ms)
			l->renew_at_ms = f->since_ms + RENEW_MS;
	}
	if (n > 0)
		queue_renew_leases(l->ctx->queue, keys, n, l->ctx->child->identity, LEASE_MS,
				   on_renewed, l);
	free(keys);
}

static void on_told(void *arg, const PGresult *result, const struct err *err)
{
	struct flight_lease *l = arg;

	(void)result;
	l->telling = false;
	if (err && err->kind != ERR_LOST)
		log_warn("%s; who waits for it waits for %d ms at most", err->text, LEASE_MS);
}

static void tell(struct flight_lease *l)
{
	const char **landed = room_for_keys(&l->flights->over);
	const char **failed = room_for_keys(&l->flights->over);
	size_t nlanded = 0, nfailed = 0;
	struct flight *f;

	TAILQ_FOREACH(f, &l->flights->over, link)
		if (f->state == FLIGHT_FAILED)
			failed[nfailed++] = f->key;
		else
			landed[nlanded++] = f->key;
	l->telling = queue_release_leases(l->ctx->queue, l->ctx->child->identity, landed, nlanded,
					  failed, nfailed, OPEN_MS, on_told, l) == 0;
	flights_forget_over(l->flights);
	free(landed);
	free(failed);
}

/* ---- the turn ---- */

static int64_t until(int64_t at_ms, int64_t now)
{
	return at_ms > now ? at_ms - now : 0;
}

/* The connection is there. Returns as lease_turn(). */
static int64_t do_what_is_due(struct flight_lease *l, int64_t now)
{
	struct flights *fl = l->flights;
	int64_t wait = -1;

	hear_of_joins(l);
	if (!TAILQ_EMPTY(&fl->over))
		tell(l);
	if (l->renew_at_ms && now >= l->renew_at_ms)
		renew(l, now);
	if (!l->looking && fl->nothers > 0 && (fl->fresh || now >= l->look_at_ms))
		look(l);
	if (l->renew_at_ms)
		wait = until(l->renew_at_ms, now);
	if (!l->looking && fl->nothers > 0)
		wait = wait_sooner(wait, until(l->look_at_ms, now));
	return wait;
}

int64_t lease_turn(struct flight_lease *l)
{
	struct flights *fl = l->flights;
	int64_t now, wait;

	if (TAILQ_EMPTY(&fl->list) && TAILQ_EMPTY(&fl->over))
		return fl->ready ? 0 : -1;
	now = now_ms();
	wait = fl->nwaiting > 0 ? flights_lose_patience(fl, now) : -1;
	if (fl->ready)
		wait = 0;
	return pg_is_ready(l->ctx->pg) ? wait_sooner(wait, do_what_is_due(l, now)) : wait;
}

bool lease_all_told(const struct flight_lease *l)
{
	return !pg_is_ready(l->ctx->pg) || (TAILQ_EMPTY(&l->flights->over) && !l->telling);
}

void lease_init(struct flight_lease *l, const struct context *ctx, struct joblist *jobs,
		struct flights *flights, struct permits *permits)
{
	*l = (struct flight_lease){
		.ctx = ctx, .jobs = jobs, .flights = flights, .permits = permits,
		.interval_ms = INTERVAL_FIRST_MS,
	};
}

void lease_check(const struct flight_lease *l)
{
	const struct flight *f;

	TAILQ_FOREACH(f, &l->flights->list, link)
		INVARIANT(!f->looking || l->looking);
	INVARIANT(l->interval_ms > 0 && l->interval_ms <= INTERVAL_MAX_MS);
}
