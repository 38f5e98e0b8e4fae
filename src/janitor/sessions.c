/*
 * The janitor's care for sessions: it writes down what the functions for applications go by, and
 * removes what was kept long enough. It counts nothing, and touches no session with an open job.
 */
#include "sessions.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "pg/pgbinary.h"
#include "clean_cache.h"

#define STEP_PAGES 4			/* looked through at once: a hundred sessions */
#define SPEAKERS_CAP_BYTES 4096		/* 20 names of 64 bytes stay below it */
#define STEP_PAUSE_MS 50		/* between steps, so that settlements go first */

void sessions_init(struct sessions *s, struct maintenance *m)
{
	*s = (struct sessions){ .m = m };
}

/* ---- the configuration ---- */

static void tell_again(void *arg)
{
	sessions_tell(arg);
}

static void on_told(void *arg, const PGresult *result, const struct err *err)
{
	struct sessions *s = arg;

	(void)result;
	s->telling = false;
	if (!statement_answered(err))
		statement_timer(s->m, &s->tell_timer, s->m->config->queue.poll_ms, tell_again, s);
}

/* Whose lines are rated, as a JSON array. */
static void list_speakers(struct buf *out, const struct string_list *speakers)
{
	for (size_t i = 0; i < speakers->n; i++) {
		buf_char(out, i ? ',' : '[');
		buf_json(out, speakers->items[i]);
	}
	buf_char(out, ']');
}

void sessions_tell(struct sessions *s)
{
	const struct config *config = s->m->config;
	struct buf speakers;
	char number[24];
	struct buf *p;

	if (s->telling)
		return;
	p = statement_begin(s->m);
	pgitems_begin(&p[0], PG_TEXT);
	pgitems_begin(&p[1], PG_JSONB);
	snprintf(number, sizeof(number), "%" PRId64, config->queue.max_pending);
	pgitem_text(&p[0], "queue.max_pending");
	pgitem_jsonb(&p[1], number);
	snprintf(number, sizeof(number), "%" PRId64, config->cache.ttl_ms);
	pgitem_text(&p[0], "cache.ttl");
	pgitem_jsonb(&p[1], number);
	buf_init(&speakers, SPEAKERS_CAP_BYTES);
	list_speakers(&speakers, &config->rater.speakers);
	pgitem_text(&p[0], "rater.speakers");
	pgitem_jsonb(&p[1], buf_text(&speakers));
	buf_free(&speakers);
	s->telling = statement_send(s->m, STATEMENT_SETTINGS, on_told, s);
}

/* ---- what is old ---- */

/* Columns of sql/clean_sessions.sql, in its order. */
enum { CLEANED_ROWS, CLEANED_PAGES, CLEANED_TURN, CLEANED_REFUSED, CLEANED_WHY };

bool sessions_walk_on(struct sessions_walk *walk, int64_t pages)
{
	if (walk->page == 0)
		walk->end = pages;
	walk->page += STEP_PAGES;
	if (walk->page < walk->end)
		return true;
	walk->page = 0;
	return false;
}

/* The shorter one of those that are set; 0: nothing ever goes. */
static int64_t kept_ms(const struct config *config)
{
	int64_t ratings = config->queue.keep_ratings_ms, all = config->queue.keep_sessions_ms;

	return ratings == 0 || (all > 0 && all < ratings) ? all : ratings;
}

static void say_refused(const PGresult *result)
{
	if (!PQgetisnull(result, 0, CLEANED_WHY))
		log_warn("old sessions cannot be removed: %.*s; they stay, and are tried again "
			 "with the next walk", PQgetlength(result, 0, CLEANED_WHY),
			 PQgetvalue(result, 0, CLEANED_WHY));
}

/* When the next step is due, after one that was carried out or not. */
static int64_t pause_after(struct sessions *s, const PGresult *result, const struct err *err)
{
	const struct config *config = s->m->config;

	if (!statement_answered(err))
		return config->queue.poll_ms;
	if (!pgvalue_bool(result, 0, CLEANED_TURN))	/* another pool's */
		return config->queue.poll_ms;
	say_refused(result);
	if (sessions_walk_on(&s->walk, pgvalue_int8(result, 0, CLEANED_PAGES)))
		return STEP_PAUSE_MS;
	return clean_walk_pause_ms(kept_ms(config), config->queue.poll_ms);
}

static void clean_step(void *arg);

static void on_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct sessions *s = arg;

	s->cleaning = false;
	statement_timer(s->m, &s->clean_timer, pause_after(s, result, err), clean_step, s);
}

static void clean_step(void *arg)
{
	struct sessions *s = arg;
	const struct config *config = s->m->config;
	struct buf *p;

	if (s->cleaning || kept_ms(config) == 0)
		return;
	p = statement_begin(s->m);
	pgbinary_int8(&p[0], config->queue.keep_ratings_ms);
	pgbinary_int8(&p[1], config->queue.keep_sessions_ms);
	pgbinary_int8(&p[2], s->walk.page);
	pgbinary_int8(&p[3], s->walk.page + STEP_PAGES);
	s->cleaning = statement_send(s->m, STATEMENT_CLEAN_SESSIONS, on_cleaned, s);
}

void sessions_begin_cleaning(struct sessions *s)
{
	if (!loop_timer_is_set(&s->clean_timer))
		statement_timer(s->m, &s->clean_timer, s->m->config->queue.poll_ms, clean_step, s);
}
