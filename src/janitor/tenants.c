/*
 * The janitor's part in the tenants' shares: it writes their names down, and tells the workers of
 * this host which numbers they have and what they weigh. Who comes next is not its business
 * (queue/turns.c).
 */
#include "tenants.h"

#include <string.h>

#include "config/config_share.h"
#include "pg/pgbinary.h"
#include "scoreboard/shares.h"

_Static_assert(CONFIG_SHARES_MAX == SHARES_MAX, "each share that is configured has its place");

/* Columns of sql/tenants.sql, in its order. */
enum { TENANT_PLACE, TENANT_NUMBER };

static const struct string_list *shares_of(const struct tenants *t)
{
	return &t->m->config->tenants.shares;
}

static void ask_again(void *arg)
{
	tenants_ask(arg);
}

/* What the configuration no longer has is no share any more. */
static int publish(struct tenants *t, const PGresult *result)
{
	const struct string_list *shares = shares_of(t);
	int32_t numbers[SHARES_MAX] = { 0 };
	int known = 0;

	for (int i = 0; i < PQntuples(result); i++) {
		int64_t place = pgvalue_int8(result, i, TENANT_PLACE);

		if (place >= 1 && place <= (int64_t)shares->n && place <= SHARES_MAX)
			numbers[place - 1] = pgvalue_int4(result, i, TENANT_NUMBER);
	}
	for (int i = 0; i < SHARES_MAX; i++) {
		size_t len;
		int weight = 0;

		if (numbers[i] > 0)
			weight = config_share_weight(shares->items[i], &len);
		shares_set(&t->m->sb->shares, i, numbers[i], weight);
		known += numbers[i] > 0;
	}
	return known;
}

static void on_numbered(void *arg, const PGresult *result, const struct err *err)
{
	struct tenants *t = arg;
	bool all = false;

	t->asking = false;
	if (statement_answered(err))
		all = publish(t, result) == (int)shares_of(t)->n;
	if (!all)
		statement_timer(t->m, &t->timer, t->m->config->queue.poll_ms, ask_again, t);
}

static void put_names(struct buf *p, const struct string_list *shares)
{
	pgitems_begin(p, PG_TEXT);
	for (size_t i = 0; i < shares->n; i++) {
		char name[CONFIG_SHARE_NAME_CAP + 1];
		size_t len;

		config_share_weight(shares->items[i], &len);
		memcpy(name, shares->items[i], len);
		name[len] = '\0';
		pgitem_text(p, name);
	}
}

void tenants_ask(struct tenants *t)
{
	if (t->asking)
		return;
	if (shares_of(t)->n == 0) {
		for (int i = 0; i < SHARES_MAX; i++)
			shares_set(&t->m->sb->shares, i, 0, 0);
		return;
	}
	put_names(&statement_begin(t->m)[0], shares_of(t));
	t->asking = statement_send(t->m, STATEMENT_TENANTS, on_numbered, t);
}

void tenants_init(struct tenants *t, struct maintenance *m)
{
	*t = (struct tenants){ .m = m };
}
