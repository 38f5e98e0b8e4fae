/*
 * Puts back jobs whose worker is gone. Runs in the janitor; it judges no other job, and takes a
 * death off the ring only when its jobs are back.
 */
#include "recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "pg/pgbinary.h"
#include "process/identity.h"
#include "scoreboard/floor.h"

void recover_init(struct recover *r, struct maintenance *m)
{
	*r = (struct recover){ .m = m };
}

/* n jobs are back, nfailed of them as failed. */
static void count(struct recover *r, enum counter counter, int64_t n, int64_t nfailed)
{
	slot_count(r->m->slot, counter, (uint64_t)n);
	slot_count(r->m->slot, COUNTER_JOBS_FAILED, (uint64_t)nfailed);
	floors_forget(r->m->sb);
	statement_wake(r->m);
}

static void on_reaped(void *arg, const PGresult *result, const struct err *err)
{
	struct recover *r = arg;
	int64_t n, nfailed;

	r->reaping = false;
	if (!statement_answered(err) || (n = pgvalue_int8(result, 0, 0)) == 0)
		return;
	nfailed = pgvalue_int8(result, 0, 1);
	log_warn("the reaper put %" PRId64 " stuck jobs back, %" PRId64 " of them as failed", n,
		 nfailed);
	count(r, COUNTER_JOBS_REAPED, n, nfailed);
}

void recover_stuck(struct recover *r)
{
	char prefix[IDENTITY_SIZE];
	struct buf *p;

	if (r->reaping)
		return;
	p = statement_begin(r->m);
	pgbinary_int8(&p[0], r->m->config->queue.stuck_after_ms);
	identity_host_prefix(prefix, sizeof(prefix));
	buf_str(&p[1], prefix);
	r->reaping = statement_send(r->m, STATEMENT_REAP, on_reaped, r);
}

static void on_recovered(void *arg, const PGresult *result, const struct err *err)
{
	struct recover *r = arg;
	int64_t n, nfailed;

	r->recovering = false;
	if (!statement_answered(err)) {
		r->deaths_sent = 0;
		r->impatient = err->kind == ERR_RETRY;
		return;
	}
	r->impatient = false;
	deaths_pop(&r->m->sb->deaths, r->deaths_sent);
	r->deaths_sent = 0;
	n = pgvalue_int8(result, 0, 0);
	nfailed = pgvalue_int8(result, 0, 1);
	if (n > 0) {
		log_info("%" PRId64 " jobs of dead workers are back in the queue, %" PRId64
			 " ended as failed", n, nfailed);
		count(r, COUNTER_JOBS_RECOVERED, n, nfailed);
	}
	recover_deaths(r);
}

static struct buf *begin(struct recover *r)
{
	struct buf *p = statement_begin(r->m);

	pgitems_begin(&p[0], PG_TEXT);
	pgitems_begin(&p[1], PG_TEXT);
	pgitems_begin(&p[2], PG_UUID);
	pgitems_begin(&p[3], PG_TEXT);
	pgitems_begin(&p[4], PG_BOOL);
	pgitems_begin(&p[5], PG_INT8);
	buf_char(&p[6], !r->impatient);
	return p;
}

static void put_dead(struct buf *p, const char *identity, const struct death *d)
{
	char line[16];

	snprintf(line, sizeof(line), "%d", (int)d->line);
	pgitem_text(&p[0], identity);
	pgitem_text(&p[1], d->how);
	pgitem_uuid(&p[2], d->in_hand[0] ? d->in_hand : NULL);
	pgitem_text(&p[3], d->line == BREADCRUMB_NO_LINE ? NULL : line);
	pgitem_bool(&p[4], d->outside);
	pgitem_int8(&p[5], d->claim);
}

void recover_deaths(struct recover *r)
{
	const struct deaths *deaths = &r->m->sb->deaths;
	const struct death *d;
	struct buf *p;

	if (r->recovering || !pg_is_ready(r->m->pg) || !deaths_peek(deaths, 0))
		return;
	p = begin(r);
	for (r->deaths_sent = 0; (d = deaths_peek(deaths, r->deaths_sent)); r->deaths_sent++)
		put_dead(p, d->identity, d);
	r->recovering = statement_send(r->m, STATEMENT_RECOVER, on_recovered, r);
	if (!r->recovering)
		r->deaths_sent = 0;
}

/* An earlier pool was killed, or the host restarted. Returns how many of the claimants are dead. */
static int put_orphans(struct recover *r, struct buf *p, char *claimants)
{
	static const struct death lost = { .line = BREADCRUMB_NO_LINE, .outside = true,
					   .how = "went away with its host or its pool" };
	char *save = NULL;
	int n = 0;

	for (char *who = strtok_r(claimants, "\n", &save); who; who = strtok_r(NULL, "\n", &save)) {
		if (!identity_is_dead(who, !r->looked_once))
			continue;
		put_dead(p, who, &lost);
		n++;
	}
	return n;
}

void recover_orphans(struct recover *r, const char *claimants)
{
	if (claimants && !r->recovering) {
		char *lines = xstrdup(claimants);

		r->deaths_sent = 0;
		if (put_orphans(r, begin(r), lines) > 0)
			r->recovering = statement_send(r->m, STATEMENT_RECOVER, on_recovered, r);
		free(lines);
	}
	r->looked_once = true;
}

bool recover_is_at_work(const struct recover *r)
{
	return r->recovering || deaths_peek(&r->m->sb->deaths, 0);
}
