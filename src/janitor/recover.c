/*
 * Puts back jobs whose worker is gone. Runs in the janitor. A death goes from the ring into the
 * janitor's care (scoreboard/kept_deaths.h) and stays there until a look finds none of its jobs.
 */
#include "recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "pg/pgbinary.h"
#include "process/identity.h"

/* Columns of sql/left_behind.sql. */
enum {
	LEFT_PLACE, LEFT_ID, LEFT_SESSION, LEFT_CLAIM, LEFT_HAD, LEFT_LOOSE, LEFT_GUILT, LEFT_WEIGHT
};

struct left_row {
	struct chore_row chore;
	int64_t claim;
	int32_t guilt, weight;
	bool loose;
	char how[sizeof(((struct death *)NULL)->how)];
	char line[16];			/* "": none */
};

/* ---- looking ---- */

/* The deaths of this look. Others that come meanwhile wait for the next one. */
static void choose_deaths(struct recover *r)
{
	const struct kept_death *at = r->m->sb->kept_deaths.at;

	r->nasked = 0;
	for (int i = 0; i < KEPT_DEATHS_MAX; i++)
		if (at[i].death.identity[0]) {
			r->asked[r->nasked].kept = (int16_t)i;
			r->asked[r->nasked++].seen = false;
		}
}

static struct kept_death *asked_death(const struct recover *r, int64_t place)
{
	if (place < 1 || place > r->nasked)
		return NULL;
	return &r->m->sb->kept_deaths.at[r->asked[place - 1].kept];
}

static void put_inside(struct buf *p, const struct death *d)
{
	if (d->witness == DEATH_UNSEEN)
		pgitem_null(p);
	else
		pgitem_bool(p, d->witness == DEATH_INSIDE);
}

static void ask(void *arg, struct buf *p)
{
	struct recover *r = arg;

	if (!r->within)
		choose_deaths(r);
	pgitems_begin(&p[0], PG_TEXT);
	pgitems_begin(&p[1], PG_UUID);
	pgitems_begin(&p[2], PG_INT8);
	pgitems_begin(&p[3], PG_BOOL);
	pgitems_begin(&p[4], PG_BOOL);
	pgitems_begin(&p[5], PG_INT4);
	for (int i = 1; i <= r->nasked; i++) {
		const struct kept_death *k = asked_death(r, i);

		pgitem_text(&p[0], k->death.identity);
		pgitem_uuid(&p[1], k->death.in_hand[0] ? k->death.in_hand : NULL);
		pgitem_int8(&p[2], k->death.claim);
		put_inside(&p[3], &k->death);
		pgitem_bool(&p[4], k->death.outside);
		if (k->had > 0)
			pgitem_int4(&p[5], k->had);
		else
			pgitem_null(&p[5]);
	}
	sweep_place_put(&r->place, &p[6]);
	pgbinary_int4(&p[7], SWEEP_PAGE);
}

static void add_row(struct recover *r, const PGresult *result, int i, struct kept_death *k)
{
	int32_t had = pgvalue_int4(result, i, LEFT_HAD);
	char id[UUID_SIZE], session[UUID_SIZE];
	struct left_row *row;

	if (k->had == 0)
		k->had = had;
	pgvalue_uuid(result, i, LEFT_ID, id);
	pgvalue_uuid(result, i, LEFT_SESSION, session);
	row = (struct left_row *)chore_add(&r->sweep.chore, id, session);
	if (!row)
		return;
	row->claim = pgvalue_int8(result, i, LEFT_CLAIM);
	row->loose = pgvalue_bool(result, i, LEFT_LOOSE);
	row->guilt = pgvalue_int4(result, i, LEFT_GUILT);
	row->weight = pgvalue_int4(result, i, LEFT_WEIGHT);
	snprintf(row->how, sizeof(row->how), "%s", k->death.how);
	if (k->death.line != BREADCRUMB_NO_LINE && strcmp(k->death.in_hand, id) == 0 &&
	    k->death.claim == row->claim)
		snprintf(row->line, sizeof(row->line), "%d", (int)k->death.line);
}

/* Of those that no job was found of any more, all are back. */
static void drop_deaths(struct recover *r)
{
	for (int i = 1; i <= r->nasked; i++)
		if (!r->asked[i - 1].seen)
			kept_deaths_drop(asked_death(r, i));
	r->nasked = 0;
}

static bool found(void *arg, const PGresult *result)
{
	struct recover *r = arg;

	for (int i = 0; i < PQntuples(result); i++) {
		int64_t place = pgvalue_int8(result, i, LEFT_PLACE);
		struct kept_death *k = asked_death(r, place);

		if (!k)
			continue;
		r->asked[place - 1].seen = true;
		add_row(r, result, i, k);
	}
	r->within = sweep_place_move(&r->place, result, LEFT_ID);
	if (!r->within)
		drop_deaths(r);
	return r->within;
}

/* ---- putting back ---- */

static void put(void *arg, struct buf *p, struct chore_row *const *rows, int n)
{
	static const enum pg_type types[] = {
		PG_UUID, PG_INT8, PG_TEXT, PG_TEXT, PG_INT4, PG_INT4, PG_BOOL
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		pgitems_begin(&p[i], types[i]);
	for (int i = 0; i < n; i++) {
		const struct left_row *row = (const struct left_row *)rows[i];

		pgitem_uuid(&p[0], row->chore.id);
		pgitem_int8(&p[1], row->claim);
		pgitem_text(&p[2], row->how);
		pgitem_text(&p[3], row->line[0] ? row->line : NULL);
		pgitem_int4(&p[4], row->guilt);
		pgitem_int4(&p[5], row->weight);
		pgitem_bool(&p[6], row->loose);
	}
}

/* Then a look finds that there is none any more, and the death is done with. */
static void done(void *arg, int n, int nfailed)
{
	struct recover *r = arg;

	log_info("%d jobs of dead workers are back in the queue, %d ended as failed", n, nfailed);
	statement_put_back(r->m, COUNTER_JOBS_RECOVERED, n, nfailed);
	r->sweep.wanted = true;
}

/* ---- deaths ---- */

static void on_forgotten(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg, (void)result;
	statement_answered(err);
}

/* What they were asking about is free; if that fails, their leases run out by themselves. */
static void forget_flights(struct recover *r, unsigned ndeaths)
{
	struct buf *p = statement_begin(r->m);

	pgitems_begin(&p[0], PG_TEXT);
	for (unsigned i = 0; i < ndeaths; i++)
		pgitem_text(&p[0], deaths_peek(&r->m->sb->deaths, i)->identity);
	statement_send(r->m, STATEMENT_FORGET_FLIGHTS, on_forgotten, r);
}

void recover_deaths(struct recover *r)
{
	struct deaths *ring = &r->m->sb->deaths;
	const struct death *d;
	unsigned n = 0;

	if (!pg_is_ready(r->m->pg))
		return;
	kept_deaths_tidy(&r->m->sb->kept_deaths);
	while ((d = deaths_peek(ring, n)) && kept_deaths_add(&r->m->sb->kept_deaths, d))
		n++;
	if (kept_deaths_any(&r->m->sb->kept_deaths))
		sweep_look(&r->sweep);
	if (n > 0)
		forget_flights(r, n);
	deaths_pop(ring, n);
}

/* An earlier pool was killed, or the host restarted. */
void recover_orphans(struct recover *r, const char *claimants)
{
	struct death lost = { .line = BREADCRUMB_NO_LINE, .outside = true,
			      .how = "went away with its host or its pool" };
	struct kept_deaths *kept = &r->m->sb->kept_deaths;
	char *lines = claimants ? xstrdup(claimants) : NULL, *save = NULL, *who;
	bool any = false;

	for (who = lines ? strtok_r(lines, "\n", &save) : NULL; who;
	     who = strtok_r(NULL, "\n", &save)) {
		if (strlen(who) >= sizeof(lost.identity) || kept_deaths_has(kept, who) ||
		    !identity_is_dead(who, !r->looked_once))
			continue;
		snprintf(lost.identity, sizeof(lost.identity), "%s", who);
		any |= kept_deaths_add(kept, &lost);
	}
	free(lines);
	r->looked_once = true;
	if (any)
		sweep_look(&r->sweep);
}

bool recover_is_at_work(struct recover *r)
{
	return deaths_peek(&r->m->sb->deaths, 0) || r->sweep.wanted || sweep_is_busy(&r->sweep);
}

/* ---- life ---- */

void recover_init(struct recover *r, struct maintenance *m)
{
	static const struct sweep_kind kind = {
		.find = STATEMENT_LEFT_BEHIND, .act = STATEMENT_RECOVER,
		.what = "job", .doing = "put back",
		.row_size = sizeof(struct left_row), .batch = 200,
		.ask = ask, .found = found, .put = put, .done = done,
	};

	*r = (struct recover){ .m = m };
	sweep_init(&r->sweep, m, &kind, r);
	m->urgent = &r->sweep;
}

void recover_free(struct recover *r)
{
	sweep_free(&r->sweep);
}
