/*
 * The janitor's cleaning of the outbox of webhooks. It runs where no webhook is configured as well,
 * since one may have been: seldom then, and what it looks at is an index of nothing. One host
 * cleans at a time (the statement takes a lock for that). It touches no message that may still be
 * sent.
 */
#include "clean_webhooks.h"

#include "pg/pgbinary.h"
#include "clean.h"

#define BATCH 500
#define PAUSE_MS (10 * 60 * INT64_C(1000))	/* after a look that found less than a batch */

static void clean(void *arg);

/* How long until the next look. */
static int64_t pause_after(struct clean_webhooks *c, const PGresult *result, const struct err *err)
{
	int64_t poll_ms = c->m->config->queue.poll_ms;

	if (!statement_answered(err))
		return poll_ms;
	if (pgvalue_int8(result, 0, 0) >= BATCH)
		return CLEAN_PAUSE_MS;
	return poll_ms > PAUSE_MS ? poll_ms : PAUSE_MS;
}

static void on_cleaned(void *arg, const PGresult *result, const struct err *err)
{
	struct clean_webhooks *c = arg;

	c->cleaning = false;
	statement_timer(c->m, &c->timer, pause_after(c, result, err), clean, c);
}

static void clean(void *arg)
{
	struct clean_webhooks *c = arg;
	const struct config *config = c->m->config;
	struct buf *p;

	if (c->cleaning)
		return;
	p = statement_begin(c->m);
	pgbinary_int8(&p[0], config->webhooks.keep_delivered_ms);
	pgbinary_int8(&p[1], config->webhooks.keep_dead_ms);
	pgbinary_int4(&p[2], BATCH);
	c->cleaning = statement_send(c->m, STATEMENT_CLEAN_WEBHOOKS, on_cleaned, c);
}

void clean_webhooks_init(struct clean_webhooks *c, struct maintenance *m)
{
	*c = (struct clean_webhooks){ .m = m };
}

void clean_webhooks_begin(struct clean_webhooks *c)
{
	if (!loop_timer_is_set(&c->timer))
		statement_timer(c->m, &c->timer, c->m->config->queue.poll_ms, clean, c);
}
