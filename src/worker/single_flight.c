/*
 * Single flight, this worker's part of it: which of its lines are asked about for others too, and
 * which wait for whom. Runs in workers; it asks no rater, settles nothing and sends no statement:
 * flight_lease.c does, through which workers and hosts agree on who asks.
 *
 * What bounds a wait: the row of a worker that died is dropped by its janitor at once, and
 * everybody's lease runs out soon unless it is renewed. A phrase that got no rating is open to all
 * for a while: those who waited ask by themselves, all at once, and not one after the other. And no
 * line waits beyond half of its job's time.
 *
 * A race that this prevents: two workers claim jobs with the same new line at the same moment. Both
 * find nothing in the cache, both join with FLIGHT_NEW, and neither asks before its look has said
 * who leads. Had the second one asked on seeing the cache empty, the provider would be paid twice.
 */
#include "single_flight.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/invariant.h"
#include "base/log.h"

/* ---- flights ---- */

static int by_key(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct flight *flights_find(const struct flights *fl, const char *key)
{
	struct flight *const *found = tfind(key, &fl->by_key, by_key);

	return found ? *found : NULL;
}

static struct flight *new_flight(const char *key, enum flight_state state)
{
	struct flight *f = xcalloc(1, sizeof(*f));

	memcpy(f->key, key, sizeof(f->key));
	f->state = state;
	TAILQ_INIT(&f->waiting);
	return f;
}

static struct flight *add_flight(struct flights *fl, const char *key)
{
	struct flight *f = new_flight(key, FLIGHT_NEW);

	if (!tsearch(f, &fl->by_key, by_key))
		fatal("out of memory: cannot keep a flight");
	TAILQ_INSERT_TAIL(&fl->list, f, link);
	fl->nothers++;
	fl->fresh = true;
	return f;
}

void flights_add_over(struct flights *fl, const char *key)
{
	struct flight *f = new_flight(key, FLIGHT_LANDED);

	TAILQ_INSERT_TAIL(&fl->over, f, link);
}

void flights_lead(struct flights *fl, struct flight *f)
{
	fl->nothers -= f->state != FLIGHT_LEADER;
	f->state = FLIGHT_LEADER;
}

void flights_follow(struct flights *fl, struct flight *f)
{
	fl->nothers += f->state == FLIGHT_LEADER;
	f->state = FLIGHT_FOLLOWER;
}

bool flights_take_joined(struct flights *fl)
{
	bool joined = fl->joined;

	fl->joined = false;
	return joined;
}

void flights_looked_at(struct flights *fl)
{
	fl->fresh = false;
}

/* The database knows of it only if we led it. */
void flights_end(struct flights *fl, struct flight *f, enum flight_state state)
{
	bool ours = f->state == FLIGHT_LEADER;

	tdelete(f, &fl->by_key, by_key);
	TAILQ_REMOVE(&fl->list, f, link);
	fl->nothers -= !ours;
	f->state = state;
	if (ours)
		TAILQ_INSERT_TAIL(&fl->over, f, link);
	else
		free(f);
}

/* ---- lines ---- */

bool flights_take_ready(struct flights *fl)
{
	bool ready = fl->ready;

	fl->ready = false;
	return ready;
}

static void wait_for(struct flights *fl, struct flight *f, struct graded_line *gl)
{
	TAILQ_INSERT_TAIL(&f->waiting, gl, waits);
	line_wait(gl, f);
	fl->nwaiting++;
}

static void stop_waiting(struct flights *fl, struct flight *f, struct graded_line *gl)
{
	TAILQ_REMOVE(&f->waiting, gl, waits);
	line_stop_waiting(gl);
	fl->nwaiting--;
	fl->ready = true;
}

/* One that waits goes its own way: with a rating, or free to be asked. */
static void leave(struct flights *fl, struct flight *f, struct graded_line *gl)
{
	stop_waiting(fl, f, gl);
	line_leave_flight(gl);
}

/* The one that is asked about goes; somebody else is to take its place. */
static void leave_asking(struct flight *f)
{
	line_leave_flight(f->asker);
	f->asker = NULL;
}

void flights_leave_all(struct flights *fl, struct flight *f)
{
	struct graded_line *gl;

	while ((gl = TAILQ_FIRST(&f->waiting))) {
		grading_note_wait(gl->owner);
		leave(fl, f, gl);
	}
}

void flights_next_asker(struct flights *fl, struct flight *f)
{
	struct graded_line *gl = TAILQ_FIRST(&f->waiting);

	f->asker = gl;
	if (!gl) {
		flights_end(fl, f, FLIGHT_LANDED);
		return;
	}
	stop_waiting(fl, f, gl);
	gl->repeated = false;	/* no other line brings this key to the cache */
}

static void leave_with_rating(struct flights *fl, struct flight *f, struct graded_line *gl)
{
	context_count(fl->ctx, COUNTER_CACHE_SHARED, line_is_rated(gl));
	leave(fl, f, gl);
}

void flights_share_cached(struct flights *fl, struct flight *f, const struct cached_row *row)
{
	struct graded_line *gl;

	while ((gl = TAILQ_FIRST(&f->waiting))) {
		grading_give_cached(gl, fl->ctx->config, row);
		leave_with_rating(fl, f, gl);
	}
}

/* All who wait have the rating of an equal line, just rated. */
static void share(struct flights *fl, struct flight *f, const struct graded_line *rated)
{
	struct graded_line *gl;

	while ((gl = TAILQ_FIRST(&f->waiting))) {
		grading_give_equal(gl, fl->ctx->config, rated);
		leave_with_rating(fl, f, gl);
	}
}

/* ---- what happens to jobs ---- */

void flights_join(struct flights *fl, struct grading *g)
{
	for (size_t i = 0; i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];
		struct flight *f;

		if (!line_is_open(gl) || gl->flight)
			continue;
		f = flights_find(fl, gl->key);
		wait_for(fl, f ? f : add_flight(fl, gl->key), gl);
	}
	fl->joined = true;
}

bool flights_undecided(const struct grading *g)
{
	for (size_t i = 0; g->flight.nwaiting > 0 && i < g->job.nrated; i++)
		if (line_is_waiting(&g->lines[i]) && g->lines[i].flight->state == FLIGHT_NEW)
			return true;
	return false;
}

/*
 * A failure that is nobody's fault here leaves the phrase to the next; any other may be the
 * phrase's own.
 */
static void leader_failed(struct flights *fl, struct flight *f, const struct err *err)
{
	leave_asking(f);
	if (err_is_outside(err_kind(err))) {
		flights_next_asker(fl, f);
		return;
	}
	flights_leave_all(fl, f);
	flights_end(fl, f, FLIGHT_FAILED);
}

/* Lines of g lead flights, besides those that wait. */
static bool leads_any(const struct grading *g)
{
	return g->flight.nlines > g->flight.nwaiting;
}

void flights_answered(struct flights *fl, struct grading *g, const struct err *err)
{
	for (size_t i = 0; leads_any(g) && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (!gl->flight || line_is_pending(gl))
			continue;
		if (line_is_rated(gl))
			share(fl, gl->flight, gl);
		else
			leader_failed(fl, gl->flight, err);
	}
}

/* Whoever came to wait after the answer has the rating now. */
static void land(struct flights *fl, struct graded_line *gl)
{
	struct flight *f = gl->flight;

	share(fl, f, gl);
	leave_asking(f);
	flights_end(fl, f, FLIGHT_LANDED);
}

void flights_stored(struct flights *fl, struct grading *g)
{
	for (size_t i = 0; leads_any(g) && !g->settle.refused && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (gl->flight && line_is_stored(gl))
			land(fl, gl);
	}
}

static void leave_early(struct flights *fl, struct grading *g)
{
	for (size_t i = 0; g->flight.nwaiting > 0 && i < g->job.nrated; i++) {
		struct flight *f = g->lines[i].flight;

		if (!line_is_waiting(&g->lines[i]))
			continue;
		leave(fl, f, &g->lines[i]);
		if (TAILQ_EMPTY(&f->waiting) && f->state != FLIGHT_LEADER)
			flights_end(fl, f, FLIGHT_LANDED);
	}
}

void flights_leave(struct flights *fl, struct grading *g, bool dropped)
{
	leave_early(fl, g);
	for (size_t i = 0; g->flight.nlines > 0 && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];
		struct flight *f = gl->flight;

		if (!f || (line_is_rated(gl) && !dropped))
			continue;
		leave_asking(f);
		flights_next_asker(fl, f);
	}
}

/* ---- patience ---- */

static int64_t patience_ms(const struct grading *g)
{
	return g->claimed_ms + (g->deadline_ms - g->claimed_ms) / 2;
}

bool flights_is_impatient(const struct grading *g, int64_t now_ms)
{
	return now_ms >= patience_ms(g);
}

int64_t flights_lose_patience(struct flights *fl, int64_t now_ms)
{
	for (struct grading *g = fl->jobs->head; g; g = g->next) {
		if (g->flight.nwaiting == 0)
			continue;
		if (!flights_is_impatient(g, now_ms))
			return patience_ms(g) - now_ms;
		grading_note_wait(g);
		leave_early(fl, g);
	}
	return -1;
}

/* ---- life ---- */

void flights_init(struct flights *fl, const struct context *ctx, struct joblist *jobs)
{
	*fl = (struct flights){ .ctx = ctx, .jobs = jobs };
	TAILQ_INIT(&fl->list);
	TAILQ_INIT(&fl->over);
}

void flights_forget_over(struct flights *fl)
{
	struct flight *f;

	while ((f = TAILQ_FIRST(&fl->over))) {
		TAILQ_REMOVE(&fl->over, f, link);
		free(f);
	}
}

void flights_free(struct flights *fl)
{
	struct flight *f;

	while ((f = TAILQ_FIRST(&fl->list)))
		flights_end(fl, f, FLIGHT_LANDED);
	flights_forget_over(fl);
}

void flights_check(const struct flights *fl)
{
	const struct flight *f;
	size_t nwaiting = 0, nothers = 0;

	for (const struct grading *g = fl->jobs->head; g; g = g->next) {
		INVARIANT(g->flight.nwaiting <= g->flight.nlines);
		nwaiting += g->flight.nwaiting;
	}
	INVARIANT(fl->nwaiting == nwaiting);
	TAILQ_FOREACH(f, &fl->list, link) {
		INVARIANT(f->state < FLIGHT_LANDED);
		INVARIANT(f->state == FLIGHT_LEADER || !f->asker);
		nothers += f->state != FLIGHT_LEADER;
	}
	INVARIANT(fl->nothers == nothers);
}
