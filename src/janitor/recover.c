/*
 * The janitor's care for jobs whose worker is gone: those of this host's dead workers, by name and at once; those
 * of its earlier pools; and, by their age, those of lost hosts (the reaper). It puts them back and judges no
 * other.
 */
#include "janitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "pg/pgbinary.h"
#include "process/identity.h"

static void on_reaped(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;
	int64_t n;

	j->reaping = false;
	if (!janitor_answered(j, err) || (n = pgvalue_int8(result, 0, 0)) == 0)
		return;
	slot_count(j->c->slot, COUNTER_JOBS_REAPED, (uint64_t)n);
	slot_count(j->c->slot, COUNTER_JOBS_FAILED, (uint64_t)pgvalue_int8(result, 0, 1));
	floors_forget(j->c->sb);
	log_warn("the reaper put %" PRId64 " stuck jobs back, %" PRId64 " of them as failed", n,
		 pgvalue_int8(result, 0, 1));
	janitor_wake_worker(j);
}

void janitor_reap(struct janitor *j)
{
	char prefix[IDENTITY_SIZE];
	struct buf *p;

	if (j->reaping)
		return;
	p = janitor_begin(j);
	pgbinary_int8(&p[0], j->config->queue.stuck_after_ms);
	identity_host_prefix(prefix, sizeof(prefix));
	buf_str(&p[1], prefix);
	j->reaping = janitor_send(j, STATEMENT_REAP, on_reaped);
}

static void on_recovered(void *arg, const PGresult *result, const struct err *err)
{
	struct janitor *j = arg;
	int64_t n;

	j->recovering = false;
	if (!janitor_answered(j, err)) {
		j->deaths_sent = 0;
		j->impatient = err->kind == ERR_RETRY;
		return;
	}
	j->impatient = false;
	deaths_pop(&j->c->sb->deaths, j->deaths_sent);
	j->deaths_sent = 0;
	n = pgvalue_int8(result, 0, 0);
	if (n > 0) {
		floors_forget(j->c->sb);
		slot_count(j->c->slot, COUNTER_JOBS_RECOVERED, (uint64_t)n);
		slot_count(j->c->slot, COUNTER_JOBS_FAILED, (uint64_t)pgvalue_int8(result, 0, 1));
		log_info("%" PRId64 " jobs of dead workers are back in the queue, %" PRId64 " ended as failed", n,
			 pgvalue_int8(result, 0, 1));
		janitor_wake_worker(j);
	}
	janitor_recover_deaths(j);
}

static struct buf *begin_recover(struct janitor *j)
{
	struct buf *p = janitor_begin(j);

	pgitems_begin(&p[0], PG_TEXT);
	pgitems_begin(&p[1], PG_TEXT);
	pgitems_begin(&p[2], PG_UUID);
	pgitems_begin(&p[3], PG_TEXT);
	pgitems_begin(&p[4], PG_BOOL);
	buf_char(&p[5], !j->impatient);
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
}

/* Everything in the ring of deaths. It is taken off the ring only when the jobs are back. */
void janitor_recover_deaths(struct janitor *j)
{
	const struct death *d;
	struct buf *p;

	if (j->recovering || !pg_is_ready(j->pg) || !deaths_peek(&j->c->sb->deaths, 0))
		return;
	p = begin_recover(j);
	for (j->deaths_sent = 0; (d = deaths_peek(&j->c->sb->deaths, j->deaths_sent)); j->deaths_sent++)
		put_dead(p, d->identity, d);
	j->recovering = janitor_send(j, STATEMENT_RECOVER, on_recovered);
	if (!j->recovering)
		j->deaths_sent = 0;
}

/* Claims of this host by processes that are no more: an earlier pool was killed, or the host restarted. */
void janitor_recover_orphans(struct janitor *j, char *claimants)
{
	static const struct death lost = { .line = BREADCRUMB_NO_LINE, .outside = true,
					   .how = "went away with its host or its pool" };
	struct buf *p;
	char *save = NULL;
	int n = 0;

	if (j->recovering)
		return;
	p = begin_recover(j);
	for (char *who = strtok_r(claimants, "\n", &save); who; who = strtok_r(NULL, "\n", &save)) {
		if (!identity_is_dead(who, !j->looked_once))
			continue;
		put_dead(p, who, &lost);
		n++;
	}
	j->deaths_sent = 0;
	if (n > 0)
		j->recovering = janitor_send(j, STATEMENT_RECOVER, on_recovered);
}
