/*
 * A worker: claims jobs up to its free capacity, has them rated, settles them; drains when told to.
 * One connection, one rater, one loop. It holds no transaction while a rater works, waits nowhere but
 * in the loop, and may be killed at any instruction: its jobs are found by claimed_by.
 */
#include "worker.h"

#include <malloc.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "process/wake.h"
#include "queue/statements.h"
#include "rater/backends.h"
#include "scoreboard/breaker.h"
#include "scoreboard/trouble.h"

#define AT_ONCE_MS 700		/* to give jobs back when stopped at once */
#define KEEP_BYTES (32 << 20)	/* glibc takes no larger threshold for mmap */
#define SLOW_BATCH 12		/* jobs: see worker_batch() */
#define STOP_LOOK_MS 100	/* while stopping: how often the end is looked for */

void worker_count(struct worker *w, enum counter c, uint64_t n)
{
	if (n)
		slot_count(w->c->slot, c, n);
}

int worker_batch(const struct worker *w, const struct rater *rater)
{
	int batch = (int)w->config->pool.claim_batch;

	return rater->instant || batch < SLOW_BATCH ? batch : SLOW_BATCH;
}

void worker_add(struct worker *w, struct grading *g)
{
	g->prev = w->tail;
	*(w->tail ? &w->tail->next : &w->head) = g;
	w->tail = g;
	w->in_hand++;
}

void worker_drop(struct worker *w, struct grading *g)
{
	worker_cancel(w, g);
	worker_drop_permit(w, g);
	flights_leave(w, g, true);
	*(g->prev ? &g->prev->next : &w->head) = g->next;
	*(g->next ? &g->next->prev : &w->tail) = g->prev;
	w->in_hand--;
	grading_free(g);
}

int64_t worker_sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static void on_wake(void *arg)
{
	struct worker *w = arg;

	w->exhausted = false;
	w->look_again = w->claiming;
}

/* ---- the connection ---- */

static void on_ready(void *arg)
{
	struct worker *w = arg;

	child_database_up(w->c);
	w->exhausted = false;
	if (w->connected_before)
		worker_release_lost_claim(w);
	w->connected_before = true;
}

static void on_down(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct worker *w = arg;

	/* It can claim nothing: a wake it may have taken, and those to come, are for others. */
	worker_lose_hold(w);
	if (atomic_exchange(&w->c->slot->demand, DEMAND_NONE) != DEMAND_NONE)
		wake_one_waiting(w->c->sb, w->c->index);
	w->exit_status = child_database_down(w->c, trouble == PG_REFUSED, err->text);
}

static struct pg *connect_worker(struct worker *w)
{
	static const struct pg_events events = { on_ready, on_down, NULL };
	struct pg_options options = {
		.conninfo = w->config->database.conninfo,
		.application_name = "gradingd worker",
		.session = w->config->database.pool_mode == POOL_MODE_SESSION,
		.statements = statements, .nstatements = STATEMENT_TICK,
		.schema_version = SCHEMA_VERSION,
	};

	return pg_new(w->c->loop, &options, &events, w);
}

/* ---- stopping ---- */

static void release_all(struct worker *w)
{
	for (struct grading *g = w->head; g; g = g->next) {
		if (grading_is_decided(g) || g->held)
			continue;
		worker_cancel(w, g);
		flights_leave(w, g, false);
		grading_release(g, NULL, 0);
	}
	rater_stop(w->rater, true);
	rater_stop(w->fallback, true);
}

static void on_stop(void *arg, bool at_once)
{
	struct worker *w = arg;
	int64_t by = now_ms() + (at_once ? AT_ONCE_MS : w->config->pool.drain_ms);

	if (!w->stopping && w->in_hand > 0)
		log_info("stopping with %d jobs in hand", w->in_hand);
	if (!w->stopping || by < w->stop_by_ms)
		w->stop_by_ms = by;
	w->stopping = true;
	w->at_once |= at_once;
	atomic_store(&w->c->slot->demand, DEMAND_NONE);
}

/* Past the drain time jobs go back; past that and a little more we go without: the janitor finds them. */
static void check_stop(struct worker *w)
{
	int64_t late = now_ms() - w->stop_by_ms;

	if (w->in_hand == 0 && !w->claiming && !w->holding && !w->releasing_lost && flights_are_told(w)) {
		w->exit_status = EXIT_STOPPED;
		return;
	}
	if (w->at_once || late >= 0)
		release_all(w);
	if (late >= (w->at_once ? 0 : AT_ONCE_MS)) {
		log_warn("%d jobs could not be given back in time", w->in_hand);
		w->exit_status = EXIT_STOPPED;
	}
}

/* --once: nothing claimable is left, or nothing may be claimed any more. */
static void check_once(struct worker *w)
{
	struct scoreboard *sb = w->c->sb;

	if (w->in_hand > 0 || w->claiming || w->finding_culprit || w->holding || w->releasing_lost || !flights_are_told(w) || !pg_is_ready(w->pg))
		return;
	if (w->exhausted || atomic_load(&sb->job_budget) <= 0)
		w->exit_status = w->provider_away ? EXIT_TRY_LATER : EXIT_STOPPED;
	else if (!w->fallback && breaker_state(&sb->breaker, now_ms()) != BREAKER_CLOSED)
		w->exit_status = EXIT_TRY_LATER;
}

/* ---- the turn ---- */

/* One that spent some of its time waiting for the calls of others, or for a free one, has a few free goes. */
void worker_past_deadline(const struct worker *w, const struct grading *g, struct err *err)
{
	bool no_charge = (g->flight.waited || g->phase == GRADING_HELD_BACK) && !grading_is_suspect(g);
	char limit[32];

	duration_format(w->config->queue.job_deadline_ms, limit, sizeof(limit));
	err_set(err, no_charge ? ERR_UNCLEAR : ERR_RETRY, "no rating arrived within %s of the claim", limit);
}

static void check_deadlines(struct worker *w)
{
	int64_t now = now_ms();
	struct err err;

	for (struct grading *g = w->head; g && g->deadline_ms <= now; g = g->next) {
		if (grading_is_decided(g) || grading_in_lookup(g))
			continue;
		if (!worker_was_paced(w, g, &err))
			worker_past_deadline(w, g, &err);
		worker_cancel(w, g);
		flights_leave(w, g, false);
		grading_fail(g, &err, g->rater);
	}
}

static void publish(struct worker *w)
{
	enum slot_state state = w->in_hand > 0 ? SLOT_BUSY : SLOT_IDLE;
	struct pg_counts now = pg_counts(w->pg);

	if (w->stopping)
		state = SLOT_DRAINING;
	else if (!pg_is_ready(w->pg))
		state = SLOT_CONNECTING;
	child_state(w->c, state);
	atomic_store_explicit(&w->c->slot->in_flight, (uint32_t)w->in_hand, memory_order_relaxed);
	worker_publish_calls(w);
	worker_count(w, COUNTER_STATEMENTS, now.statements - w->counted.statements);
	worker_count(w, COUNTER_CONNECTS, now.connects - w->counted.connects);
	worker_count(w, COUNTER_CONNECTIONS_LOST, now.lost - w->counted.lost);
	w->counted = now;
}

/* Until the first deadline of a job in hand, -1 without one. */
static int64_t deadline_wait(const struct worker *w)
{
	int64_t now = now_ms();

	for (const struct grading *g = w->head; g; g = g->next)
		if (!grading_is_decided(g) && !grading_in_lookup(g))
			return g->deadline_ms > now ? g->deadline_ms - now : 0;
	return -1;
}

/*
 * A deep queue takes and gives back the same memory with each claim. Kept in between it is not mapped and cleared
 * again each time, which took a sixth of a worker's time; it goes back to the system when the queue is empty.
 */
static void keep_memory(void)
{
	mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
	mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
}

static void give_memory_back(struct worker *w)
{
	if (!w->grown || w->deep || w->in_hand > 0)
		return;
	malloc_trim(0);
	w->grown = false;
}

static void turn(struct worker *w)
{
	int64_t wait = w->stopping ? STOP_LOOK_MS : -1;

	worker_take_answers(w);
	wait = worker_sooner(wait, worker_ask_paced(w));
	check_deadlines(w);
	if (w->stopping)
		check_stop(w);
	worker_end_hold(w);
	/* In one pipeline, the claim first: the next batch is at hand while the server still flushes this one. */
	wait = worker_sooner(wait, worker_gather(w));
	wait = worker_sooner(wait, worker_release_lost_again(w));
	wait = worker_sooner(wait, worker_claim(w));
	worker_settle(w);
	wait = worker_sooner(wait, lease_turn(w));
	publish(w);
	give_memory_back(w);
	if (w->c->once && w->exit_status == -1)
		check_once(w);
	if (w->exit_status == -1)
		child_turn(w->c, worker_sooner(wait, deadline_wait(w)));
}

static int open_raters(struct worker *w)
{
	struct err err = { .kind = ERR_NONE };

	w->rater = backends_open(w->config, w->c->loop, &err);
	if (w->rater)
		w->fallback = backends_open_fallback(w->config, w->c->loop, &err);
	if (err.kind == ERR_NONE) {
		worker_meter(w);
		if (w->rater->instant)
			keep_memory();
		return 0;
	}
	log_error("the rater cannot be used: %s", err.text);
	trouble_say(err.text);
	rater_free(w->rater);
	return -1;
}

/* What a rater runs outside of this process ends before it does. */
static void close_raters(struct worker *w)
{
	for (bool one = false, other = false; !one || !other; ) {
		one = rater_stop(w->rater, w->at_once);
		other = rater_stop(w->fallback, w->at_once);
		if (!one || !other)
			child_turn(w->c, -1);
	}
	rater_free(w->rater);
	rater_free(w->fallback);
}

int worker_main(struct child *c)
{
	struct worker w = { .c = c, .config = c->config, .claim_factor = 1, .claim_factor_max = CLAIM_FACTOR_MAX, .settle_max = WORKER_BATCH_MAX, .exit_status = -1 };

	c->on_wake = on_wake;
	c->on_stop = on_stop;
	c->arg = &w;
	if (open_raters(&w) == -1)
		return EXIT_BAD_CONFIG;
	w.pg = connect_worker(&w);
	queue_init(&w.queue, w.pg);
	worker_flights_init(&w);
	while (w.exit_status == -1)
		turn(&w);
	publish(&w);
	while (w.head)
		worker_drop(&w, w.head);
	worker_flights_free(&w);
	queue_free(&w.queue);
	pg_free(w.pg);
	close_raters(&w);
	return w.exit_status;
}
