/* The mirror's way through the tables. Runs in the publisher; it writes nothing. */
#include "mirror_sweep.h"

#include <string.h>

#include "base/log.h"
#include "pg/pgbinary.h"

#define PAGE 1000
#define PAUSE_MS 50
#define RETRY_MS 1000

/* Columns of sql/moved.sql, and its kinds of rows. */
enum { MOVED_KIND, MOVED_SESSION, MOVED_AT, MOVED_RECENT };
enum { KIND_OTHER, KIND_COMPLETED, KIND_FAILED, KIND_REFUSED };

static void turn(void *arg);

static void go_on(struct mirror_sweep *s, int64_t delay_ms)
{
	publishing_timer(s->p, &s->timer, delay_ms, turn, s);
}

static void begin(struct mirror_sweep *s)
{
	s->step = SWEEP_MOVED;
	s->wanted = false;
	s->since[0] = s->since[1] = INT64_MIN;
	s->over[0] = s->over[1] = false;
}

static void tell_row(struct mirror_sweep *s, const PGresult *result, int row, int column,
		     bool recent, bool refused)
{
	if (PQgetlength(result, row, column) == UUID_BYTES)
		s->found(s->arg, (const unsigned char *)PQgetvalue(result, row, column), recent,
			 refused);
}

/*
 * The next page begins with the last moment of this one, which a settlement of many jobs shares;
 * where that leads no further, behind it.
 */
static void move_on(struct mirror_sweep *s, int which, int rows, int64_t last)
{
	s->over[which] = rows < PAGE;
	if (s->over[which])
		s->since[which] = 0;	/* whatever: no more of them are asked for */
	else
		s->since[which] = last > s->since[which] ? last : last + 1;
}

static void on_moved(void *arg, const PGresult *result, const struct err *err)
{
	struct mirror_sweep *s = arg;
	int rows[2] = { 0, 0 };
	int64_t last[2] = { 0, 0 };

	s->asked = false;
	if (err) {
		if (err->kind != ERR_LOST)
			log_error("%s; trying again", err->text);
		go_on(s, RETRY_MS);
		return;
	}
	for (int i = 0; i < PQntuples(result); i++) {
		int kind = pgvalue_int4(result, i, MOVED_KIND);

		if (kind == KIND_COMPLETED || kind == KIND_FAILED) {
			rows[kind - 1]++;
			last[kind - 1] = pgvalue_int8(result, i, MOVED_AT);
		}
		tell_row(s, result, i, MOVED_SESSION, pgvalue_bool(result, i, MOVED_RECENT),
			 kind == KIND_REFUSED);
	}
	for (int which = 0; which < 2; which++)
		if (!s->over[which])
			move_on(s, which, rows[which], last[which]);
	if (s->over[0] && s->over[1]) {
		s->step = s->whole ? SWEEP_OPEN : SWEEP_RESTS;
		s->whole = false;
		memset(s->behind, 0, UUID_BYTES);
	}
	go_on(s, PAUSE_MS);
}

static void on_open(void *arg, const PGresult *result, const struct err *err)
{
	struct mirror_sweep *s = arg;
	int n = result ? PQntuples(result) : 0;

	s->asked = false;
	if (err) {
		if (err->kind != ERR_LOST)
			log_error("%s; trying again", err->text);
		go_on(s, RETRY_MS);
		return;
	}
	for (int i = 0; i < n; i++)
		tell_row(s, result, i, 0, true, false);
	if (n < PAGE)
		s->step = SWEEP_RESTS;
	else
		memcpy(s->behind, PQgetvalue(result, n - 1, 0), UUID_BYTES);
	go_on(s, PAUSE_MS);
}

static void ask_moved(struct mirror_sweep *s)
{
	struct buf *p = publishing_begin(s->p);

	for (int which = 0; which < 2; which++) {
		pgbinary_int8(&p[which], s->since[which]);
		pgbinary_int4(&p[2 + which], s->over[which] ? 0 : PAGE);
	}
	s->asked = publishing_send(s->p, STATEMENT_MOVED, on_moved, s);
}

static void ask_open(struct mirror_sweep *s)
{
	struct buf *p = publishing_begin(s->p);

	buf_add(&p[0], (const char *)s->behind, UUID_BYTES);
	pgbinary_int4(&p[1], PAGE);
	s->asked = publishing_send(s->p, STATEMENT_OPEN_SESSIONS, on_open, s);
}

static void turn(void *arg)
{
	struct mirror_sweep *s = arg;

	if (s->asked || !pg_is_ready(s->p->pg))
		return;		/* its answer, or the connection, goes on */
	if (s->step == SWEEP_RESTS && s->wanted)
		begin(s);
	if (s->step != SWEEP_RESTS && s->is_full(s->arg))
		go_on(s, PAUSE_MS);
	else if (s->step == SWEEP_MOVED)
		ask_moved(s);
	else if (s->step == SWEEP_OPEN)
		ask_open(s);
}

void mirror_sweep_want(struct mirror_sweep *s, bool whole)
{
	s->wanted = true;
	s->whole |= whole;
	if (!loop_timer_is_set(&s->timer))
		go_on(s, 0);
}

bool mirror_sweep_rests(const struct mirror_sweep *s)
{
	return s->step == SWEEP_RESTS && !s->wanted;
}

void mirror_sweep_init(struct mirror_sweep *s, struct publishing *p)
{
	s->p = p;
}

void mirror_sweep_end(struct mirror_sweep *s)
{
	loop_timer_stop(s->p->loop, &s->timer);
}
