/*
 * The janitor's word to the publisher, and to the supervisor that starts it. It looks at no session
 * and publishes nothing.
 */
#include "heralds.h"

#include "base/log.h"
#include "pg/pgbinary.h"
#include "process/wake.h"

#define LOOK_EVERY_MS 300000	/* for a table that is made or dropped while we run */
#define CURSOR_STEP 64		/* numbers that a cursor is apart from the next: migration 093 */

void heralds_init(struct heralds *h, struct maintenance *m)
{
	*h = (struct heralds){ .m = m };
}

/* ---- what there is to publish ---- */

static void tell_channel(struct heralds *h, enum channel channel, bool wanted)
{
	const uint32_t bit = 1u << channel;
	uint32_t before = wanted ? atomic_fetch_or(&h->m->sb->channels, bit)
				 : atomic_fetch_and(&h->m->sb->channels, ~bit);

	if (wanted != ((before & bit) != 0))
		wake_supervisor();
}

static void look_again(void *arg)
{
	heralds_look(arg);
}

/* With "on" it is expected, so that whoever waits for it is told why nothing comes. */
static void say_missing(struct heralds *h)
{
	if (!h->said)
		log_warn("mirror is \"on\", and there is no table live_sessions with columns id uuid "
			 "and analytics jsonb: nothing is shown there");
	h->said = true;
}

static void on_looked(void *arg, const PGresult *result, const struct err *err)
{
	struct heralds *h = arg;
	bool known = statement_answered(err);

	h->asking = false;
	if (known && h->m->config->mirror == MIRROR_AUTO)
		tell_channel(h, CHANNEL_MIRROR, pgvalue_bool(result, 0, 0));
	else if (known && !pgvalue_bool(result, 0, 0))
		say_missing(h);
	statement_timer(h->m, &h->timer, known ? LOOK_EVERY_MS : h->m->config->queue.poll_ms,
			look_again, h);
}

/* With "on" the publisher is there before the table is. */
void heralds_look(struct heralds *h)
{
	int mirror = h->m->config->mirror;

	tell_channel(h, CHANNEL_WEBHOOKS, h->m->config->webhooks.hooks.n > 0);
	if (mirror != MIRROR_AUTO)
		tell_channel(h, CHANNEL_MIRROR, mirror == MIRROR_ON);
	if (mirror == MIRROR_OFF || h->asking)
		return;
	statement_begin(h->m);
	h->asking = statement_send(h->m, STATEMENT_MIRRORABLE, on_looked, h);
}

/* ---- what others do ---- */

bool heralds_others_moved(int64_t claims, int64_t cursors, uint64_t claimed, uint64_t settled)
{
	return (claims > 0 && claimed == 0) ||
	       (cursors > 0 && (uint64_t)cursors / CURSOR_STEP > settled);
}

static uint64_t count_settled(const struct scoreboard *sb)
{
	return scoreboard_sum(sb, COUNTER_JOBS_COMPLETED) + scoreboard_sum(sb, COUNTER_JOBS_FAILED) +
	       scoreboard_sum(sb, COUNTER_JOBS_RETRIED) + scoreboard_sum(sb, COUNTER_JOBS_RELEASED);
}

void heralds_heed(struct heralds *h, int64_t claims, int64_t cursors)
{
	struct scoreboard *sb = h->m->sb;
	uint64_t claimed = scoreboard_sum(sb, COUNTER_JOBS_CLAIMED), settled = count_settled(sb);

	/* What moved before the first look nobody has seen. */
	if (!h->seen ||
	    heralds_others_moved(claims - h->claims, cursors - h->cursors, claimed - h->claimed,
				 settled - h->settled)) {
		atomic_fetch_add(&sb->news_desk.elsewhere, 1);
		wake_slot(SLOT_PUBLISHER);
	}
	h->seen = true;
	h->claims = claims;
	h->cursors = cursors;
	h->claimed = claimed;
	h->settled = settled;
}
