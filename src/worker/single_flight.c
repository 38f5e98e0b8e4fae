/*
 * Single flight, this worker's part of it: which of its lines are asked about for others too, and which wait for
 * whom. Of equal lines that are open at the same time one is asked about; the others wait until its rating is
 * in the phrase cache. Runs in workers; it asks no rater, settles nothing and sends no statement: flight_lease.c
 * does, through which workers and hosts agree on who asks.
 *
 * What bounds a wait: the row of a worker that died is dropped by its janitor at once, and everybody's lease
 * runs out soon unless it is renewed. A phrase that got no rating is open to all for a while: those who waited
 * ask by themselves, all at once, and not one after the other. And no line waits beyond half of its job's time.
 */
#include "single_flight.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"

/* ---- flights ---- */

static int by_key(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct flight *flight_find(const struct worker *w, const char *key)
{
	struct flight *const *found = tfind(key, &w->flights.by_key, by_key);

	return found ? *found : NULL;
}

struct flight *flight_add(struct worker *w, const char *key, enum flight_state state)
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
void flight_end(struct worker *w, struct flight *f, enum flight_state state)
{
	bool ours = f->state == FLIGHT_LEADER;

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

static void wait_for(struct worker *w, struct flight *f, struct graded_line *gl)
{
	TAILQ_INSERT_TAIL(&f->waiting, gl, waits);
	line_wait(gl, f);
	w->flights.nwaiting++;
}

static void stop_waiting(struct worker *w, struct flight *f, struct graded_line *gl)
{
	TAILQ_REMOVE(&f->waiting, gl, waits);
	line_stop_waiting(gl);
	w->flights.nwaiting--;
	w->flights.ready = true;
}

/* One that waits goes its own way: with a rating, or free to be asked. */
static void leave(struct worker *w, struct flight *f, struct graded_line *gl)
{
	stop_waiting(w, f, gl);
	line_leave_flight(gl);
}

/* The one that is asked about goes; somebody else is to take its place. */
static void leave_asking(struct flight *f)
{
	line_leave_flight(f->asker);
	f->asker = NULL;
}

void flight_leave_all(struct worker *w, struct flight *f)
{
	struct graded_line *gl;

	while ((gl = TAILQ_FIRST(&f->waiting))) {
		gl->owner->flight.waited = true;
		leave(w, f, gl);
	}
}

/* The first of those who wait is asked about; the flight is over when there is none. */
void flight_next_asker(struct worker *w, struct flight *f)
{
	struct graded_line *gl = TAILQ_FIRST(&f->waiting);

	f->asker = gl;
	if (!gl) {
		flight_end(w, f, FLIGHT_LANDED);
		return;
	}
	stop_waiting(w, f, gl);
	gl->repeated = false;	/* no other line brings this key to the cache */
}

/* All who wait have the rating, as far as it is one for them. */
void flight_share(struct worker *w, struct flight *f, const struct graded_line *rated, const struct cached_row *row)
{
	struct graded_line *gl;

	while ((gl = TAILQ_FIRST(&f->waiting))) {
		if (rated)
			grading_give_equal(gl, w->config, rated);
		else
			grading_give_cached(gl, w->config, row);
		worker_count(w, COUNTER_CACHE_SHARED, line_is_rated(gl));
		leave(w, f, gl);
	}
}

/* ---- what happens to gradings ---- */

void flights_join(struct worker *w, struct grading *g)
{
	for (size_t i = 0; i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];
		struct flight *f;

		if (!line_is_open(gl) || gl->flight)
			continue;
		f = flight_find(w, gl->key);
		if (!f) {
			f = flight_add(w, gl->key, FLIGHT_NEW);
			w->flights.fresh = true;
		}
		wait_for(w, f, gl);
	}
	w->flights.interval_ms = FLIGHT_INTERVAL_FIRST_MS;
}

bool flights_undecided(const struct grading *g)
{
	for (size_t i = 0; g->flight.nwaiting > 0 && i < g->job.nrated; i++)
		if (line_is_waiting(&g->lines[i]) && g->lines[i].flight->state == FLIGHT_NEW)
			return true;
	return false;
}

/* A failure that is nobody's fault here leaves the phrase to the next; any other may be the phrase's own. */
static void leader_failed(struct worker *w, struct flight *f, const struct err *err)
{
	leave_asking(f);
	if (err_is_outside(err_kind(err))) {
		flight_next_asker(w, f);
		return;
	}
	flight_leave_all(w, f);
	flight_end(w, f, FLIGHT_FAILED);
}

void flights_answered(struct worker *w, struct grading *g, const struct err *err)
{
	for (size_t i = 0; g->flight.nlines > g->flight.nwaiting && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (!gl->flight || line_is_pending(gl))
			continue;
		if (line_is_rated(gl))
			flight_share(w, gl->flight, gl, NULL);
		else
			leader_failed(w, gl->flight, err);
	}
}

/* Whoever came to wait after the answer has the rating now. */
static void arrive(struct worker *w, struct graded_line *gl)
{
	struct flight *f = gl->flight;

	flight_share(w, f, gl, NULL);
	leave_asking(f);
	flight_end(w, f, FLIGHT_LANDED);
}

void worker_flights_stored(struct worker *w, struct grading *g)
{
	for (size_t i = 0; g->flight.nlines > g->flight.nwaiting && !g->settle.refused && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];

		if (gl->flight && line_is_stored(gl))
			arrive(w, gl);
	}
}

static void leave_early(struct worker *w, struct grading *g)
{
	for (size_t i = 0; g->flight.nwaiting > 0 && i < g->job.nrated; i++) {
		struct flight *f = g->lines[i].flight;

		if (!line_is_waiting(&g->lines[i]))
			continue;
		leave(w, f, &g->lines[i]);
		if (TAILQ_EMPTY(&f->waiting) && f->state != FLIGHT_LEADER)
			flight_end(w, f, FLIGHT_LANDED);
	}
}

void flights_leave(struct worker *w, struct grading *g, bool dropped)
{
	leave_early(w, g);
	for (size_t i = 0; g->flight.nlines > 0 && i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];
		struct flight *f = gl->flight;

		if (!f || (line_is_rated(gl) && !dropped))
			continue;
		leave_asking(f);
		flight_next_asker(w, f);
	}
}

/* ---- patience ---- */

static int64_t patience_ms(const struct grading *g)
{
	return g->claimed_ms + (g->deadline_ms - g->claimed_ms) / 2;
}

bool worker_is_impatient(const struct grading *g, int64_t now)
{
	return now >= patience_ms(g);
}

/* Jobs whose lines have waited long enough ask by themselves. Returns how long until the next one has, or -1. */
int64_t flights_lose_patience(struct worker *w, int64_t now)
{
	for (struct grading *g = w->head; g; g = g->next) {
		if (g->flight.nwaiting == 0)
			continue;
		if (now < patience_ms(g))
			return patience_ms(g) - now;
		g->flight.waited = true;
		leave_early(w, g);
	}
	return -1;
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
		flight_end(w, f, FLIGHT_LANDED);
	while ((f = TAILQ_FIRST(&w->flights.over))) {
		TAILQ_REMOVE(&w->flights.over, f, link);
		free(f);
	}
}
