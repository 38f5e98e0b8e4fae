/*
 * The janitor's chores: who is looked for, and when a statement goes out. All of them share one
 * connection, so the urgent one, putting back the jobs of dead workers, goes before the others.
 */
#include "sweep.h"

#include <string.h>

#include "base/clock.h"

#define MAKE_WAY_MS 20

static void turn(void *arg);

static int send_act(void *arg, struct chore_row *const *rows, int n, pg_answer_fn *answer,
		    void *answer_arg)
{
	struct sweep *s = arg;

	s->kind->put(s->arg, statement_begin(s->m), rows, n);
	return statement_send(s->m, s->kind->act, answer, answer_arg) ? 0 : -1;
}

static void on_done(void *arg, int n, int nfailed)
{
	struct sweep *s = arg;

	s->progress = true;
	s->kind->done(s->arg, n, nfailed);
}

static void turn_later(struct sweep *s, int64_t ms)
{
	statement_timer(s->m, &s->turn_timer, ms, turn, s);
}

/* A look that came to nothing, with the connection perhaps, or that nobody could be asked for. */
static void look_with_the_next_poll(struct sweep *s)
{
	statement_timer(s->m, &s->look_timer, s->m->config->queue.poll_ms, sweep_look, s);
}

/* What was refused has kept nobody, and is to be found out soon. */
static void go_on(void *arg)
{
	struct sweep *s = arg;

	if (s->progress && s->kind->pause_ms > 0)
		turn_later(s, s->kind->pause_ms);
	else
		turn(s);
	s->progress = false;
}

static void on_found(void *arg, const PGresult *result, const struct err *err)
{
	struct sweep *s = arg;

	s->finding = s->more = false;
	if (!statement_answered(err)) {
		look_with_the_next_poll(s);
		return;
	}
	s->more = s->kind->found(s->arg, result);
	s->progress = s->chore.n == 0;
	go_on(s);
}

static void find(struct sweep *s)
{
	bool wanted = s->wanted;

	s->wanted = s->more && wanted;
	s->more = false;
	s->kind->ask(s->arg, statement_begin(s->m));
	s->finding = statement_send(s->m, s->kind->find, on_found, s);
	if (!s->finding) {
		s->wanted = wanted;
		look_with_the_next_poll(s);
	}
}

static bool makes_way(const struct sweep *s)
{
	return s->m->urgent && s->m->urgent != s && sweep_is_busy(s->m->urgent);
}

static void turn(void *arg)
{
	struct sweep *s = arg;
	int64_t wait = -1;

	if (!pg_is_ready(s->m->pg)) {
		look_with_the_next_poll(s);	/* what was found stays so */
		return;
	}
	if (makes_way(s)) {
		turn_later(s, MAKE_WAY_MS);
		return;
	}
	if (!s->more || !chore_wants_company(&s->chore))
		wait = chore_turn(&s->chore);
	if (s->finding || s->chore.nsent > 0)
		return;
	if (s->more || s->wanted) {
		find(s);
		return;
	}
	if (wait > 0)
		turn_later(s, wait);
	wait = chore_look_again_ms(&s->chore);
	if (wait > 0)
		statement_timer(s->m, &s->look_timer, wait, sweep_look, s);
}

void sweep_look(void *arg)
{
	struct sweep *s = arg;

	s->wanted = true;
	if (!s->finding && s->chore.nsent == 0 &&
	    (s->kind->pause_ms == 0 || !loop_timer_is_set(&s->turn_timer)))
		turn(s);
}

bool sweep_is_busy(struct sweep *s)
{
	return s->finding || s->more || chore_is_busy(&s->chore);
}

void sweep_init(struct sweep *s, struct maintenance *m, const struct sweep_kind *kind, void *arg)
{
	*s = (struct sweep){ .m = m, .kind = kind, .arg = arg };
	s->chore_kind = (struct chore_kind){
		.statement = statements[kind->act].name, .what = kind->what, .doing = kind->doing,
		.row_size = kind->row_size, .batch = kind->batch,
		.send = send_act, .done = on_done, .go_on = go_on,
	};
	chore_init(&s->chore, &s->chore_kind, s, m->slot);
}

void sweep_free(struct sweep *s)
{
	chore_free(&s->chore);
}

/* ---- looks that go by ids ---- */

void sweep_place_put(const struct sweep_place *place, struct buf *p)
{
	buf_add(p, (const char *)place->id, sizeof(place->id));
}

bool sweep_place_move(struct sweep_place *place, const PGresult *result, int column)
{
	int last = PQntuples(result) - 1;
	bool more = last + 1 == SWEEP_PAGE;

	memset(place, 0, sizeof(*place));
	if (more)
		memcpy(place->id, PQgetvalue(result, last, column), sizeof(place->id));
	return more;
}
