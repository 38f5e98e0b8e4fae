/* Puts back the jobs of lost hosts and of workers that hang. Runs in the janitor. */
#include "reap.h"

#include "base/log.h"
#include "pg/pgbinary.h"
#include "process/identity.h"
#include "scoreboard/floor.h"

/* Columns of sql/stuck.sql. */
enum { STUCK_ID, STUCK_SESSION, STUCK_CLAIM };

struct stuck_row {
	struct chore_row chore;
	int64_t claim;
};

static void ask(void *arg, struct buf *p)
{
	const struct reap *r = arg;

	pgbinary_int8(&p[0], r->m->config->queue.stuck_after_ms);
	sweep_place_put(&r->place, &p[1]);
	pgbinary_int4(&p[2], SWEEP_PAGE);
}

static bool found(void *arg, const PGresult *result)
{
	struct reap *r = arg;
	char id[UUID_SIZE], session[UUID_SIZE];

	for (int i = 0; i < PQntuples(result); i++) {
		struct stuck_row *row;

		pgvalue_uuid(result, i, STUCK_ID, id);
		pgvalue_uuid(result, i, STUCK_SESSION, session);
		row = (struct stuck_row *)chore_add(&r->sweep.chore, id, session);
		if (row)
			row->claim = pgvalue_int8(result, i, STUCK_CLAIM);
	}
	return sweep_place_move(&r->place, result, STUCK_ID);
}

static void put(void *arg, struct buf *p, struct chore_row *const *rows, int n)
{
	const struct reap *r = arg;
	char prefix[IDENTITY_SIZE];

	pgbinary_int8(&p[0], r->m->config->queue.stuck_after_ms);
	identity_host_prefix(prefix, sizeof(prefix));
	buf_str(&p[1], prefix);
	pgitems_begin(&p[2], PG_UUID);
	pgitems_begin(&p[3], PG_INT8);
	for (int i = 0; i < n; i++) {
		pgitem_uuid(&p[2], rows[i]->id);
		pgitem_int8(&p[3], ((const struct stuck_row *)rows[i])->claim);
	}
}

static void done(void *arg, int n, int nfailed)
{
	struct reap *r = arg;

	log_warn("the reaper put %d stuck jobs back, %d of them as failed", n, nfailed);
	statement_put_back(r->m, COUNTER_JOBS_REAPED, n, nfailed);
}

void reap_stuck(struct reap *r)
{
	sweep_look(&r->sweep);
}

void reap_init(struct reap *r, struct maintenance *m)
{
	static const struct sweep_kind kind = {
		.find = STATEMENT_STUCK, .act = STATEMENT_REAP, .what = "job", .doing = "put back",
		.row_size = sizeof(struct stuck_row), .batch = 200,
		.ask = ask, .found = found, .put = put, .done = done,
	};

	*r = (struct reap){ .m = m };
	sweep_init(&r->sweep, m, &kind, r);
}

void reap_free(struct reap *r)
{
	sweep_free(&r->sweep);
}
