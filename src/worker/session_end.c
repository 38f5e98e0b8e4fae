/*
 * Jobs that grade a session as a whole wait until it is over. Runs in workers; it tells such jobs
 * when the last batch has ended, so that they need not look again and again, and decides nothing
 * about them: whoever claims one looks whether its session is over.
 *
 * The telling is a statement of its own, after the settlement: what the database refuses to have
 * changed of the waiting job is no fault of the batch, and holds it up neither. Where it is not
 * told (the batch ended by another host, or by hand) the job looks by itself, later and later.
 */
#include "session_end.h"

#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/saturate.h"

#define CLAIM_MS 500		/* from when such a job is due until it is claimed */
#define SOON_MS 2000		/* --once waits for no job that is to look later than that */

static _Atomic int64_t *waits_until(const struct session_end *e)
{
	return &context_scoreboard(e->ctx)->sessions_wait_until_ms;
}

void session_end_waits(const struct session_end *e, int64_t delay_ms)
{
	int64_t until = now_ms() + delay_ms + CLAIM_MS, known = atomic_load(waits_until(e));

	while (known < until && !atomic_compare_exchange_weak(waits_until(e), &known, until))
		;
}

static bool is_noted(const struct session_end *e, const char *session_id)
{
	for (int i = 0; i < e->n; i++)
		if (strcmp(e->sessions[i], session_id) == 0)
			return true;
	return false;
}

void session_end_note(struct session_end *e, const char *session_id)
{
	int64_t until = atomic_load_explicit(waits_until(e), memory_order_relaxed);

	if (until == 0 || until < now_ms() || e->n == SESSION_ENDS_MAX || is_noted(e, session_id))
		return;
	strcpy(e->sessions[e->n++], session_id);
}

static void on_released(void *arg, const PGresult *result, const struct err *err)
{
	struct session_end *e = arg;

	e->under_way = false;
	if (err && err->kind != ERR_LOST)
		log_warn("%s; jobs that grade a session as a whole look by themselves", err->text);
	if (result && PQntuples(result) > 0)
		e->on_due(e->arg);
}

void session_end_turn(struct session_end *e)
{
	const char *sessions[SESSION_ENDS_MAX];

	if (e->n == 0 || e->under_way || !pg_is_ready(e->ctx->pg))
		return;
	for (int i = 0; i < e->n; i++)
		sessions[i] = e->sessions[i];
	e->under_way = queue_release_waiting(e->ctx->queue, sessions, (size_t)e->n, on_released,
					     e) == 0;
	e->n = 0;
}

bool session_end_is_quiet(const struct session_end *e)
{
	return e->n == 0 && !e->under_way;
}

int64_t session_end_soon_ms(const struct session_end *e, int64_t now_ms)
{
	int64_t wait = sat_sub(atomic_load(waits_until(e)), now_ms);

	return wait > 0 && wait <= SOON_MS ? wait : 0;
}

void session_end_init(struct session_end *e, const struct context *ctx,
		      void (*on_due)(void *arg), void *arg)
{
	*e = (struct session_end){ .ctx = ctx, .on_due = on_due, .arg = arg };
}

void session_end_check(const struct session_end *e)
{
	INVARIANT(e->n >= 0 && e->n <= SESSION_ENDS_MAX);
	for (int i = 0; i < e->n; i++)
		INVARIANT(strlen(e->sessions[i]) == UUID_SIZE - 1);
}
