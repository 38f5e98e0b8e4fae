/*
 * A worker: claims jobs up to its free capacity, has them rated, settles them; drains when told to.
 * One connection, one rater or two, one loop. It holds no transaction while a rater works, waits
 * nowhere but in the loop, and may be killed at any instruction: its jobs are found by claimed_by.
 *
 * It is made of parts, each with a struct, a header and state of its own; this file alone sees all
 * of them: it makes them, gives each its collaborators, and calls them once a turn in the order in
 * which they depend on each other.
 */
#include "worker/worker_role.h"

#include <malloc.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/invariant.h"
#include "base/log.h"
#include "process/child.h"
#include "queue/statements.h"
#include "rater/backends.h"
#include "scoreboard/breaker.h"
#include "scoreboard/trouble.h"
#include "claim_size.h"
#include "claim_txn.h"
#include "claimer.h"
#include "context.h"
#include "dispatch.h"
#include "fault.h"
#include "flight_lease.h"
#include "joblist.h"
#include "lookup.h"
#include "permits.h"
#include "reclaim.h"
#include "session_end.h"
#include "settler.h"
#include "single_flight.h"

#define AT_ONCE_MS 700		/* to give jobs back when stopped at once */
#define KEEP_BYTES (32 << 20)	/* glibc takes no larger threshold for mmap */
#define STOP_LOOK_MS 100	/* while stopping: how often the end is looked for */

struct worker {
	struct context ctx;
	struct queue queue;
	struct joblist jobs;
	struct claim_size size;
	struct flights flights;
	struct permits permits;
	struct flight_lease lease;
	struct dispatch dispatch;
	struct session_end ends;
	struct settler settler;
	struct claim_txn txn;
	struct reclaim reclaim;
	struct claimer claimer;
	struct pg_counts counted;	/* of the connection, already in the slot's counters */
	bool connected_before;
	bool waits_for_session;		/* --once: a job that is to look soon whether one is over */
	int64_t stop_by_ms;
	int exit_status;		/* -1 while it lives */
};

/* ---- the connection ---- */

static void on_wake(void *arg)
{
	struct worker *w = arg;

	claimer_wake(&w->claimer);
}

static void on_ready(void *arg)
{
	struct worker *w = arg;

	child_database_up(w->ctx.child);
	queue_connected(&w->queue);
	claimer_wake(&w->claimer);
	if (w->connected_before)
		reclaim_begin(&w->reclaim);
	w->connected_before = true;
}

static void on_down(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct worker *w = arg;

	claim_txn_lose(&w->txn);
	claimer_pass_wake_on(&w->claimer);
	w->exit_status = child_database_down(w->ctx.child, trouble == PG_REFUSED, err->text);
}

static struct pg *connect_worker(struct worker *w)
{
	static const struct pg_events events = { on_ready, on_down, NULL };
	const struct config *config = w->ctx.config;
	struct pg_options options = {
		.conninfo = config->database.conninfo,
		.application_name = "gradingd worker",
		.session = config->database.pool_mode == POOL_MODE_SESSION,
		.statements = statements, .nstatements = STATEMENT_TICK,
		.schema_version = SCHEMA_VERSION,
	};

	return pg_new(w->ctx.child->loop, &options, &events, w);
}

/* ---- stopping ---- */

static void release_all(struct worker *w)
{
	for (struct grading *g = w->jobs.head; g; g = g->next) {
		if (grading_is_decided(g) || g->held)
			continue;
		dispatch_cancel(&w->dispatch, g);
		grading_release(g, NULL, 0);
	}
	rater_stop(w->ctx.rater, true);
	rater_stop(w->ctx.fallback, true);
}

static void on_stop(void *arg, bool at_once)
{
	struct worker *w = arg;
	int64_t by = now_ms() + (at_once ? AT_ONCE_MS : w->ctx.config->pool.drain_ms);

	if (!w->ctx.stopping && w->jobs.n > 0)
		log_info("stopping with %d jobs in hand", w->jobs.n);
	if (!w->ctx.stopping || by < w->stop_by_ms)
		w->stop_by_ms = by;
	w->ctx.stopping = true;
	w->ctx.at_once |= at_once;
	atomic_store(&w->ctx.child->slot->demand, DEMAND_NONE);
}

/* Nothing is in hand, and the database has been told all that it is to know of what was. */
static bool is_done(const struct worker *w)
{
	return w->jobs.n == 0 && claimer_is_quiet(&w->claimer) && !w->reclaim.under_way &&
	       lease_all_told(&w->lease) && session_end_is_quiet(&w->ends);
}

/*
 * Past the drain time jobs go back; past that and a little more we go without: the janitor finds
 * them.
 */
static void check_stop(struct worker *w)
{
	int64_t late = now_ms() - w->stop_by_ms;

	if (is_done(w)) {
		w->exit_status = EXIT_STOPPED;
		return;
	}
	if (w->ctx.at_once || late >= 0)
		release_all(w);
	if (late >= (w->ctx.at_once ? 0 : AT_ONCE_MS)) {
		log_warn("%d jobs could not be given back in time", w->jobs.n);
		w->exit_status = EXIT_STOPPED;
	}
}

/*
 * --once: nothing claimable is left, or nothing may be claimed any more. Returns how long to wait
 * for a job that is to look soon whether its session is over, else -1.
 */
static int64_t check_once(struct worker *w)
{
	struct scoreboard *sb = w->ctx.child->sb;
	int64_t soon = session_end_soon_ms(&w->ends, now_ms());

	if (!is_done(w) || !pg_is_ready(w->ctx.pg))
		return -1;
	if (soon > 0 && atomic_load(&sb->job_budget) > 0) {
		w->waits_for_session = true;
		return soon;
	}
	if (w->waits_for_session) {	/* it is due now, and the janitor may look later */
		w->waits_for_session = false;
		claimer_wake(&w->claimer);
		return 0;
	}
	if (claimer_is_through(&w->claimer) || atomic_load(&sb->job_budget) <= 0)
		w->exit_status = w->dispatch.provider_away ? EXIT_TRY_LATER : EXIT_STOPPED;
	else if (!w->ctx.fallback && breaker_state(&sb->breaker, now_ms()) != BREAKER_CLOSED)
		w->exit_status = EXIT_TRY_LATER;
	return -1;
}

/* ---- deadlines ---- */

/* Its deadline is still to be kept. */
static bool has_deadline(const struct grading *g)
{
	return !grading_is_decided(g) && !grading_in_lookup(g);
}

static void check_deadlines(struct worker *w)
{
	int64_t now = now_ms();
	struct err err;

	for (struct grading *g = w->jobs.head; g && g->deadline_ms <= now; g = g->next) {
		if (!has_deadline(g))
			continue;
		if (!permits_kept_calls_in(&w->permits, g, &err))
			fault_past_deadline(w->ctx.config, g, &err);
		dispatch_cancel(&w->dispatch, g);
		grading_decide_for(g, &err, g->rater);
	}
}

/* Until the first deadline of a job in hand, -1 without one. */
static int64_t deadline_wait(const struct worker *w)
{
	int64_t now = now_ms();

	for (const struct grading *g = w->jobs.head; g; g = g->next)
		if (has_deadline(g))
			return g->deadline_ms > now ? g->deadline_ms - now : 0;
	return -1;
}

/* ---- the turn ---- */

static enum slot_state state_of(const struct worker *w)
{
	if (w->ctx.stopping)
		return SLOT_DRAINING;
	if (!pg_is_ready(w->ctx.pg))
		return SLOT_CONNECTING;
	return w->jobs.n > 0 ? SLOT_BUSY : SLOT_IDLE;
}

static void publish(struct worker *w)
{
	struct pg_counts now = pg_counts(w->ctx.pg);
	struct slot *slot = w->ctx.child->slot;

	child_state(w->ctx.child, state_of(w));
	atomic_store_explicit(&slot->in_flight, (uint32_t)w->jobs.n, memory_order_relaxed);
	permits_publish(&w->permits);
	joblist_leave_word(&w->jobs);
	context_count(&w->ctx, COUNTER_STATEMENTS, now.statements - w->counted.statements);
	context_count(&w->ctx, COUNTER_CONNECTS, now.connects - w->counted.connects);
	context_count(&w->ctx, COUNTER_CONNECTIONS_LOST, now.lost - w->counted.lost);
	w->counted = now;
}

/*
 * A deep queue takes and gives back the same memory with each claim. Kept in between it is not
 * mapped and cleared again each time, which took a sixth of a worker's time; it goes back to the
 * system when the queue is empty.
 */
static void keep_memory(void)
{
	mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
	mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
}

static void give_memory_back(struct worker *w)
{
	if (!w->claimer.deep && w->jobs.n == 0 && claim_size_shrink(&w->size))
		malloc_trim(0);
}

/* Between two turns; in builds with sanitizers. */
static void check_invariants(const struct worker *w)
{
	if (!CHECKS_INVARIANTS)
		return;		/* each of them walks over all jobs in hand */
	joblist_check(&w->jobs);
	for (const struct grading *g = w->jobs.head; g; g = g->next)
		grading_check(g);
	claim_size_check(&w->size);
	flights_check(&w->flights);
	permits_check(&w->permits);
	lease_check(&w->lease);
	dispatch_check(&w->dispatch);
	session_end_check(&w->ends);
	settler_check(&w->settler);
	claim_txn_check(&w->txn);
	reclaim_check(&w->reclaim);
	claimer_check(&w->claimer);
}

/*
 * Settlement and claim travel in one pipeline, the claim first: the next batch is at hand while the
 * server still flushes this one. So settlements are gathered before the claim, which looks at what
 * is in hand, and sent after it.
 */
static int64_t exchange_jobs(struct worker *w)
{
	bool claiming = claimer_is_claiming(&w->claimer);
	int64_t wait = -1;

	if (!claiming)
		claim_txn_end(&w->txn);
	if (!w->txn.open && !w->txn.committing) {
		session_end_turn(&w->ends);
		wait = settler_gather(&w->settler);
	}
	if (!claiming && !w->txn.open)
		wait = wait_sooner(wait, reclaim_turn(&w->reclaim));
	wait = wait_sooner(wait, claimer_turn(&w->claimer));
	settler_send(&w->settler);
	return wait;
}

static void turn(struct worker *w)
{
	int64_t wait = w->ctx.stopping ? STOP_LOOK_MS : -1;

	dispatch_take_answers(&w->dispatch);
	wait = wait_sooner(wait, permits_ask_due(&w->permits));
	check_deadlines(w);
	if (w->ctx.stopping)
		check_stop(w);
	wait = wait_sooner(wait, exchange_jobs(w));
	wait = wait_sooner(wait, lease_turn(&w->lease));
	publish(w);
	give_memory_back(w);
	check_invariants(w);
	if (w->ctx.child->once && w->exit_status == -1)
		wait = wait_sooner(wait, check_once(w));
	if (w->exit_status == -1)
		child_turn(w->ctx.child, wait_sooner(wait, deadline_wait(w)));
}

/* ---- life ---- */

static int open_raters(struct context *ctx)
{
	struct err err = { .kind = ERR_NONE };

	ctx->rater = backends_open(ctx->config, ctx->child->loop, &err);
	if (ctx->rater)
		ctx->fallback = backends_open_fallback(ctx->config, ctx->child->loop, &err);
	if (ctx->rater && err.kind == ERR_NONE) {
		if (ctx->rater->instant)
			keep_memory();
		return 0;
	}
	log_error("the rater cannot be used: %s", err.text);
	trouble_say(err.text);
	rater_free(ctx->rater);
	return -1;
}

/* What a rater runs outside of this process ends before it does. */
static void close_raters(const struct context *ctx)
{
	for (bool one = false, other = false; !one || !other; ) {
		one = rater_stop(ctx->rater, ctx->at_once);
		other = rater_stop(ctx->fallback, ctx->at_once);
		if (!one || !other)
			child_turn(ctx->child, -1);
	}
	rater_free(ctx->rater);
	rater_free(ctx->fallback);
}

/* From the bottom up: each part is given those below it. */
static void make_parts(struct worker *w)
{
	const struct context *ctx = &w->ctx;
	struct joblist *jobs = &w->jobs;
	struct claimer_parts parts = {
		.jobs = jobs, .txn = &w->txn, .settler = &w->settler, .dispatch = &w->dispatch,
		.permits = &w->permits, .reclaim = &w->reclaim, .size = &w->size,
	};

	claim_size_init(&w->size);
	flights_init(&w->flights, ctx, jobs);
	permits_init(&w->permits, ctx, jobs, &w->flights);
	lease_init(&w->lease, ctx, jobs, &w->flights, &w->permits);
	dispatch_init(&w->dispatch, ctx, jobs, &w->permits, &w->flights);
	session_end_init(&w->ends, ctx, on_wake, w);
	settler_init(&w->settler, ctx, jobs, &w->dispatch, &w->flights, &w->ends);
	claim_txn_init(&w->txn, ctx, jobs, &w->dispatch, &w->settler, &w->size);
	reclaim_init(&w->reclaim, ctx, jobs);
	claimer_init(&w->claimer, ctx, &parts);
}

static void free_parts(struct worker *w)
{
	while (w->jobs.head)
		dispatch_drop(&w->dispatch, w->jobs.head);
	flights_free(&w->flights);
	walk_leave(&w->claimer.walk);
	reclaim_free(&w->reclaim);
	queue_free(&w->queue);
	pg_free(w->ctx.pg);
	lookup_forget_all();
}

int worker_main(struct child *c)
{
	struct worker w = {
		.ctx = { .child = c, .config = c->config, .queue = &w.queue }, .exit_status = -1,
	};

	c->on_wake = on_wake;
	c->on_stop = on_stop;
	c->arg = &w;
	if (open_raters(&w.ctx) == -1)
		return EXIT_BAD_CONFIG;
	make_parts(&w);
	w.ctx.pg = connect_worker(&w);
	queue_init(&w.queue, w.ctx.pg);
	while (w.exit_status == -1)
		turn(&w);
	publish(&w);
	free_parts(&w);
	close_raters(&w.ctx);
	return w.exit_status;
}
