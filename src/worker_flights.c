/*
 * Single flight: of equal lines that are open at the same time, in one worker, on one host or on many, one
 * is asked about; the others wait until its rating is in the phrase cache. Runs in workers; it asks no rater
 * and settles nothing. Who asks about which phrase stands in the table phrase_flights, under a lease.
 *
 * What bounds a wait: the row of a worker that died is dropped by its janitor at once, and everybody's lease
 * runs out soon unless it is renewed. A phrase that got no rating is open to all for a while: those who waited
 * ask by themselves, all at once, and not one after the other. And no line waits beyond half of its job's time.
 */
#include "worker.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "clock.h"
#include "log.h"

#define LEASE_MS 6000
#define RENEW_MS (LEASE_MS / 2)		/* most calls are over by then */
#define OPEN_MS 10000			/* longer than the longest interval, so that all who wait get to see it */
#define INTERVAL_FIRST_MS 100
#define INTERVAL_MAX_MS 1000
#define TROUBLE_MS 500			/* pause after a statement that failed for a reason outside it */

enum flight_state {
	FLIGHT_NEW,		/* whose it is will be known after the next look */
	FLIGHT_THEIRS,
	FLIGHT_OURS,
	FLIGHT_LANDED,		/* over: with an entry in the cache, or without one and the line not to blame, */
	FLIGHT_FAILED,		/* or without one and perhaps for the line's sake */
};

struct flight {
	char key[PHRASE_KEY_SIZE];	/* first, for by_key */
	enum flight_state state;
	bool looking;			/* part of the look under way, */
	bool open;			/* which has found that everybody may ask */
	int64_t since_ms;		/* ours: the lease was taken or renewed */
	struct graded_line *asker;	/* ours: the line that is asked about; NULL until the look is done */
	TAILQ_HEAD(, graded_line) waiting;
	TAILQ_ENTRY(flight) link;
};

/* ---- flights ---- */

static int by_key(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct flight *find(const struct worker *w, const char *key)
{
	struct flight *const *found = tfind(key, &w->flights.by_key, by_key);

	return found ? *found : NULL;
}

static struct flight *add(struct worker *w, const char *key, enum flight_state state)
{
	struct flight *f = xcalloc(1, sizeof(*f));

	memcpy(f->key, key, sizeof(f->key));
	f->state = state;
	TAILQ_INIT(&f->waiting);
	if (state >= FLIGHT_LANDED) {
		TAILQ_INSERT_TAIL(&w->flights.over, f, link);
		return f;
	}
	if (!tsearch(f, &w->flights.by_key, by_key))
		fatal("out of memory: cannot keep a flight");
	TAILQ_INSERT_TAIL(&w->flights.list, f, link);
	w->flights.nothers++;
	return f;
}

/* state: FLIGHT_LANDED or FLIGHT_FAILED. The database knows of it only if it was ours. */
static void end(struct worker *w, struct flight *f, enum flight_state state)
{
	bool ours = f->state == FLIGHT_OURS;

	tdelete(f, &w->flights.by_key, by_key);
	TAILQ_REMOVE(&w->flights.list, f, link);
	w->flights.nothers -= !ours;
	f->state = state;
	if (ours)
		TAILQ_INSERT_TAIL(&w->flights.over, f, link);
	else
		free(f);
}

/* ---- lines ---- */

static void stir(struct worker *w, struct grading *g)
{
	g->stirred = true;
	w->flights.stirred = true;
}

static void wait_for(struct worker *w, struct flight *f, struct graded_line *gl)
{
	TAILQ_INSERT_TAIL(&f->waiting, gl, waits);
	gl->flight = f;
	gl->waiting = true;
	gl->owner->nflights++;
	gl->owner->nwaiting++;
	w->flights.nwaiting++;
}

static void stop_waiting(struct worker *w, struct flight *f, struct graded_line *gl)
{
	TAILQ_REMOVE(&f->waiting, gl, waits);
	gl->waiting = false;
	gl->owner->nwaiting--;
	w->flights.nwaiting--;
	stir(w, gl->owner);
}

static void forget(struct graded_line *gl)
{
	gl->flight = NULL;
	gl->owner->nflights--;
}

/* One that waits goes its own way: with a rating, or free to be asked. */
static void leave(struct worker *w, struct flight *f, struct graded_line *gl)
{
	stop_waiting(w, f, gl);
	forget(gl);
}

/* The one that is asked about goes; somebody else is to take its place. */
static void leave_asking(struct flight *f)
{
	forget(f->asker);
	f->asker = NULL;
}

static void leave_all(struct worker *w, struct flight *f)
{
	struct graded_line *gl;

	while ((gl = TAILQ_FIRST(&f->waiting))) {
		gl->owner->waited = true;
		leave(w, f, gl);
	}
}

/* The first of those who wait is asked about; the flight is over when there is none. */
static void next_asker(struct worker *w, struct flight *f)
{
	struct graded_line *gl = TAILQ_FIRST(&f->waiting);

	f->asker = gl;
	if (!gl) {
		end(w, f, FLIGHT_LANDED);
		return;
	}
	stop_waiting(w, f, gl);
	gl->repeated = false;	/* no other line brings this key to the cache */
}

/* All who wait have the rating, as far as it is one for them. */
static void share(struct worker *w, struct flight *f, const struct graded_line *rated, const struct cached_row *row)
{
	struct graded_line *gl;

	while ((gl = TAILQ_FIRST(&f->waiting))) {
		if (rated)
			grading_give_equal(gl, w->config, rated);
		else
			grading_give_cached(gl, w->config, row);
		worker_count(w, COUNTER_CACHE_SHARED, gl->outcome == OUTCOME_RATED);
		leave(w, f, gl);
	}
}

/* ---- what happens to gradings ---- */

void worker_board(struct worker *w, struct grading *g)
{
	for (size_t i = 0; i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];
		struct flight *f;

		if (gl->outcome != OUTCOME_PENDING || gl->flight)
			continue;
		f = find(w, gl->key);
		if (!f) {
			f = add(w, gl->key, FLIGHT_NEW);
			w->flights.fresh = true;
		}
		wait_for(w, f, gl);
	}
	w->flights.interval_ms = INTERVAL_FIRST_MS;
}

bool worker_is_boarding(const struct grading *g)
{
	for (size_t i = 0; g->nwaiting > 0 && i < g->job.nrated; i++)
		if (g->lines[i].waiting && g->lines[i].flight->state == FLIGHT_NEW)
			return true;
	return false;
}

/* A failure that is nobody's fault here leaves the phrase to the next; any other may be the phrase's own. */
static void fell_through(struct worker *w, struct flight *f, const struct err *err)
{
	leave_asking(f);
	if (err_is_outside(err->kind)) {
		next_asker(w, f);
		return;
	}
	leave_all(w, f);
	end(w, f, FLIGHT_FAILED);
}

void worker_landed(struct worker *w, struct grading *g, const struct err *err)
{
	for (size_t i = 0; g->nflights > g->nwaiting && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (!gl->flight || gl->waiting || gl->asked || gl->outcome == OUTCOME_PENDING)
			continue;
		if (gl->outcome == OUTCOME_RATED)
			share(w, gl->flight, gl, NULL);
		else
			fell_through(w, gl->flight, err);
	}
}

/* Whoever came to wait after the answer has the rating now. */
static void arrive(struct worker *w, struct graded_line *gl)
{
	struct flight *f = gl->flight;

	share(w, f, gl, NULL);
	leave_asking(f);
	end(w, f, FLIGHT_LANDED);
}

void worker_flights_stored(struct worker *w, struct grading *g)
{
	for (size_t i = 0; g->nflights > g->nwaiting && !g->refused && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (gl->flight && !gl->waiting && gl->stored && gl->outcome == OUTCOME_RATED)
			arrive(w, gl);
	}
}

static void leave_early(struct worker *w, struct grading *g)
{
	for (size_t i = 0; g->nwaiting > 0 && i < g->job.nrated; i++) {
		struct flight *f = g->lines[i].flight;

		if (!g->lines[i].waiting)
			continue;
		leave(w, f, &g->lines[i]);
		if (TAILQ_EMPTY(&f->waiting) && f->state != FLIGHT_OURS)
			end(w, f, FLIGHT_LANDED);
	}
}

void worker_disembark(struct worker *w, struct grading *g, bool dropped)
{
	leave_early(w, g);
	for (size_t i = 0; g->nflights > 0 && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];
		struct flight *f = gl->flight;

		if (!f || (gl->outcome == OUTCOME_RATED && !dropped))
			continue;
		leave_asking(f);
		next_asker(w, f);
	}
}

/* ---- looking: taking what nobody asks about, then what has come into the cache meanwhile ---- */

static void look_again(struct worker *w, int64_t after_ms)
{
	w->flights.looking = false;
	w->flights.look_at_ms = now_ms() + after_ms;
}

static void take(struct worker *w, const char *key)
{
	struct flight *f = find(w, key);

	if (!f || !f->looking) {	/* those who waited have gone meanwhile, and perhaps others come */
		if (!f)
			add(w, key, FLIGHT_LANDED);
		return;
	}
	w->flights.nothers -= f->state != FLIGHT_OURS;
	f->state = FLIGHT_OURS;
	f->since_ms = w->flights.sent_ms;
	if (!w->flights.renew_at_ms)
		w->flights.renew_at_ms = f->since_ms + RENEW_MS;
}

/* Without the table each asks by itself: that costs calls, and no more. */
static void go_without(struct worker *w)
{
	struct flight *f, *next;

	for (f = TAILQ_FIRST(&w->flights.list); f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (!f->looking || f->state == FLIGHT_OURS)
			continue;
		leave_all(w, f);
		end(w, f, FLIGHT_LANDED);
	}
}

static void on_flown(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;

	if (err && err->kind != ERR_LOST && err->kind != ERR_RETRY) {
		log_warn("%s; asking the rater about all lines, equal ones too", err->text);
		go_without(w);
	}
	for (int row = 0; result && row < PQntuples(result); row++) {
		const char *key;
		struct flight *f;
		bool ours;

		queue_flown_row(result, row, &key, &ours);
		f = find(w, key);
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
		f = find(w, cached.key);
		if (!f || f->asker)
			continue;
		share(w, f, NULL, &cached);
		end(w, f, FLIGHT_LANDED);
	}
}

static void after_look(struct worker *w, struct flight *f)
{
	f->looking = false;
	if (f->state == FLIGHT_OURS) {
		if (!f->asker)
			next_asker(w, f);
	} else if (f->open) {
		leave_all(w, f);
		end(w, f, FLIGHT_LANDED);
	} else {
		f->state = FLIGHT_THEIRS;
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
		if (g->nwaiting > 0 && !g->stirred)
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
		if (f->state != FLIGHT_OURS) {
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
	if (queue_fly(&w->queue, keys, n, w->c->identity, LEASE_MS, ttl, on_flown, w) == -1 ||
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
		if (f->state != FLIGHT_OURS)
			continue;
		if (now - f->since_ms >= RENEW_MS / 2) {	/* those that are due soon go along */
			f->since_ms = now;
			keys[n++] = f->key;
		}
		if (!w->flights.renew_at_ms || f->since_ms + RENEW_MS < w->flights.renew_at_ms)
			w->flights.renew_at_ms = f->since_ms + RENEW_MS;
	}
	if (n > 0)
		queue_stay_aloft(&w->queue, keys, n, w->c->identity, LEASE_MS, on_kept, w);
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
	w->flights.landing = queue_land(&w->queue, w->c->identity, landed, nlanded, failed, nfailed, OPEN_MS, on_told,
					w) == 0;
	while ((f = TAILQ_FIRST(&w->flights.over))) {
		TAILQ_REMOVE(&w->flights.over, f, link);
		free(f);
	}
	free(landed);
	free(failed);
}

/* ---- the turn ---- */

static int64_t patience_ms(const struct grading *g)
{
	return g->claimed_ms + (g->deadline_ms - g->claimed_ms) / 2;
}

bool worker_is_impatient(const struct grading *g, int64_t now)
{
	return now >= patience_ms(g);
}

/* Jobs whose lines have waited long enough ask by themselves. Returns how long until the next one has, or -1. */
static int64_t lose_patience(struct worker *w, int64_t now)
{
	for (struct grading *g = w->head; g; g = g->next) {
		if (g->nwaiting == 0)
			continue;
		if (now < patience_ms(g))
			return patience_ms(g) - now;
		g->waited = true;
		leave_early(w, g);
	}
	return -1;
}

int64_t worker_fly(struct worker *w)
{
	struct flights *fl = &w->flights;
	int64_t now, wait;

	if (TAILQ_EMPTY(&fl->list) && TAILQ_EMPTY(&fl->over))
		return fl->stirred ? 0 : -1;
	now = now_ms();
	wait = fl->nwaiting > 0 ? lose_patience(w, now) : -1;
	if (fl->stirred)
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

bool worker_has_landed(const struct worker *w)
{
	return !pg_is_ready(w->pg) || (TAILQ_EMPTY(&w->flights.over) && !w->flights.landing);
}

void worker_flights_init(struct worker *w)
{
	TAILQ_INIT(&w->flights.list);
	TAILQ_INIT(&w->flights.over);
}

/* Every grading is gone, and all lines with them. */
void worker_flights_free(struct worker *w)
{
	struct flight *f;

	while ((f = TAILQ_FIRST(&w->flights.list)))
		end(w, f, FLIGHT_LANDED);
	while ((f = TAILQ_FIRST(&w->flights.over))) {
		TAILQ_REMOVE(&w->flights.over, f, link);
		free(f);
	}
}
