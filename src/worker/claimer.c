/*
 * A worker's claims. Runs in workers; it rates and settles nothing, and asks for no more than there
 * is room for. Where claiming stands is claim_state.c's, how much is claimed at a time
 * claim_size.c's, and claim_txn.c sends claims that are held by locks alone.
 */
#include "claimer.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/saturate.h"
#include "process/wake.h"
#include "scoreboard/breaker.h"
#include "scoreboard/pass.h"
#include "scoreboard/shares.h"
#include "scoreboard/trouble.h"
#include "lookup.h"
#include "refusal.h"

#define FLOORS_LAST_POLLS 3	/* without a look by the janitor; then workers look by themselves */
#define LATE_COMMIT_MS 10000	/* a queue that seems empty is looked through from so long ago */
#define CROWD_LOOK_MS 50	/* how soon a worker too many looks whether there is room for it */
#define TROUBLE_MS 1000		/* pause after trouble of the database's own */
#define LOSSES_MAX 3		/* of claims in a row to others; from then on it is a row's doing */
#define CLAIM_HANGS_MS 2000	/* so long unanswered: its worker is nobody to wake */

static struct scoreboard *board(const struct claimer *c)
{
	return context_scoreboard(c->ctx);
}

static void advance(struct claimer *c, enum claim_event event)
{
	c->state = claim_state_after(c->state, event);
}

static void set_demand(const struct claimer *c, enum demand demand)
{
	atomic_store(&context_slot(c->ctx)->demand, demand);
}

void claimer_pass_wake_on(struct claimer *c)
{
	if (atomic_exchange(&context_slot(c->ctx)->demand, DEMAND_NONE) != DEMAND_NONE)
		wake_one_waiting(board(c), c->ctx->child->index);
}

/*
 * A claim that hangs, behind a commit that waits for a standby perhaps, may do so until the
 * connection is given up, and each wake would be this worker's until then.
 */
void claimer_wake(struct claimer *c)
{
	advance(c, CLAIM_ON_WAKE);
	if (claimer_is_claiming(c) && now_ms() - c->sent_ms > CLAIM_HANGS_MS)
		claimer_pass_wake_on(c);
}

bool claimer_is_claiming(const struct claimer *c)
{
	return c->state != CLAIM_READY && c->state != CLAIM_EXHAUSTED;
}

bool claimer_is_quiet(const struct claimer *c)
{
	return !claimer_is_claiming(c) && !c->with.txn->open;
}

bool claimer_is_exhausted(const struct claimer *c)
{
	return c->state == CLAIM_EXHAUSTED;
}

bool claimer_is_through(const struct claimer *c)
{
	return claimer_is_exhausted(c) && pass_is_walked(board(c));
}

/* ---- a claim that was refused ---- */

/* A claim of so many jobs, from where the one under way begins. */
static struct claim claim_for(const struct claimer *c, int jobs)
{
	return (struct claim){
		.jobs = jobs, .identity = c->ctx->child->identity,
		.briefly = c->ctx->rater->instant, .floors = &c->floors, .passes = &c->passes,
		.turns = &c->turns,
		.slack_ms = c->from_floors ? 0 : LATE_COMMIT_MS,
	};
}

static void pause_claims(struct claimer *c, int64_t ms)
{
	c->not_before_ms = now_ms() + ms;
}

static void on_peeked(void *arg, const PGresult *result, const struct err *err)
{
	struct claimer *c = arg;

	advance(c, CLAIM_ON_STEPPED);
	if (err)
		pause_claims(c, TROUBLE_MS);
	else
		claim_pass_peeked(&c->pass, result);
}

static void pass_refused(struct claimer *c, const struct err *err)
{
	struct claim claim = claim_for(c, claim_pass_refused(&c->pass, c->asked, err));

	if (claim_pass_is_enough(&c->pass))
		pause_claims(c, TROUBLE_MS);
	if (queue_peek(c->ctx->queue, &claim, on_peeked, c) == 0)
		advance(c, CLAIM_ON_STEP);
}

/* It is neither of a row nor of the connection, whose loss was said already. */
static void say_trouble(struct claimer *c, const struct err *err)
{
	if (err->kind == ERR_LOST)
		return;		/* reclaim_begin() follows when the connection is back */
	log_error("%s; claiming again in %d ms", err->text, TROUBLE_MS);
	trouble_say(err->text);
	pause_claims(c, TROUBLE_MS);
}

static bool is_of_a_row(struct claimer *c, const struct err *err)
{
	if (!refusal_lost_to_others(err))
		return refusal_of_row(err);
	c->losses += c->losses <= LOSSES_MAX;
	return c->losses > LOSSES_MAX;
}

static void claim_failed(struct claimer *c, const struct err *err)
{
	advance(c, CLAIM_ON_FAILURE);
	if (!is_of_a_row(c, err))
		say_trouble(c, err);
	else if (c->with.txn->open)
		claim_txn_write_next(c->with.txn);	/* which will be refused as well */
	else
		pass_refused(c, err);
}

/* ---- a claim that was answered ---- */

static struct grading *take_row(struct claimer *c, const struct claimed_row *row,
				bool through_cache)
{
	/*
	 * Keys are the first rater's: what it has rated is good for a fallback, not the other way.
	 */
	struct grading *g = grading_new(row, c->ctx->rater, through_cache);

	g->rater = c->asked_for;
	g->held = c->with.txn->open;
	permits_give(c->with.permits, g);
	joblist_add(c->with.jobs, g);
	return g;
}

/* A class that nobody knew was looked through from its start: what was claimed is its floor. */
static void note_place(struct claimer *c, const struct floor *place)
{
	if (!floors_has(&c->floors, place))
		floors_add(&c->seen, place);
	floors_raise(&c->floors, place);
	floors_raise(&c->seen, place);
}

/* Returns how many of the rows were taken, and adds the bytes of their job_data. */
static size_t take_rows(struct claimer *c, const PGresult *result, struct grading **gradings,
			int64_t *bytes)
{
	const struct config *config = c->ctx->config;
	bool instant = c->ctx->rater->instant;
	bool through_cache = claim_size_pays_to_cache(c->with.size, config->cache.ttl_ms, instant);
	size_t taken = 0;

	for (int i = 0; i < PQntuples(result); i++) {
		struct claimed_row row;

		queue_claimed_row(result, i, &row);
		if (row.passed_over)
			continue;
		note_place(c, &row.place);
		turns_brought(&c->turns, &row.place);
		if (c->with.txn->open && !claim_txn_can_complete(&row))
			continue;
		gradings[taken] = take_row(c, &row, through_cache);
		*bytes += gradings[taken++]->bytes;
	}
	return taken;
}

/* Returns the bytes of all their job_data. */
static int64_t take(struct claimer *c, const PGresult *result)
{
	size_t n = (size_t)PQntuples(result), taken;
	struct grading **gradings = xcalloc(n, sizeof(struct grading *));
	int64_t bytes = 0;

	taken = take_rows(c, result, gradings, &bytes);
	floors_publish(context_slot(c->ctx), &c->floors);
	if (c->with.txn->open) {
		claim_txn_leave(c->with.txn, (int)(n - taken));
	} else {
		context_count(c->ctx, COUNTER_JOBS_CLAIMED, taken);
		c->claimed += taken;
	}
	joblist_leave_word(c->with.jobs);
	if (taken > 0)
		lookup_begin(c->ctx, gradings, taken, dispatch_looked_up, c->with.dispatch);
	free(gradings);
	return bytes;
}

/* Nothing more to be had for now. The janitor sees to it that somebody listens, and counts anew. */
static void queue_empty(struct claimer *c, int got)
{
	c->exhausted_since_ms = now_ms();
	set_demand(c, DEMAND_WAITING);
	if (got > 0 || c->took_some || !atomic_load(&board(c)->listening))
		wake_slot(SLOT_JANITOR);
	c->took_some = false;
}

/*
 * There is more for others. The janitor need notify nobody while all are at work, and looks for new
 * floors.
 */
static void queue_deep(struct claimer *c)
{
	set_demand(c, DEMAND_NONE);
	wake_one_waiting(board(c), c->ctx->child->index);
	if (!c->deep || !c->from_floors)
		wake_slot(SLOT_JANITOR);
}

static void retire_when_due(const struct claimer *c)
{
	uint64_t max = (uint64_t)c->ctx->config->pool.max_jobs;
	struct child *child = c->ctx->child;

	if (max == 0 || c->claimed + c->with.txn->completed < max || c->ctx->stopping ||
	    child->once)
		return;
	log_info("pool.max_jobs reached; making room for a fresh worker");
	child->on_stop(child->arg, false);
}

/* What a claim that was carried out says of the queue's depth. */
static void learn(struct claimer *c, int got, bool full, int64_t bytes)
{
	if (got > 0)
		claim_size_learn(c->with.size, got, bytes);
	if (!full)
		c->short_epoch = c->from_floors ? c->floors.epoch : 0;
	if (full || !c->from_floors) {
		c->deep = full;
		claim_size_adapt(c->with.size, full, c->asked, bytes,
				 c->ctx->config->pool.claim_batch);
	}
}

/* What was asked for and did not come. */
static void give_back(struct claimer *c, int n)
{
	context_give_back_budget(c->ctx, n);
	permits_unreserve(c->with.permits, n);
}

/* Where some were passed over there may be others behind them. */
static void claim_brought(struct claimer *c, const PGresult *result, int passed_over)
{
	int locked = PQntuples(result), got = locked - passed_over;
	bool full = locked == c->asked;
	int64_t bytes = 0;

	if (full)
		queue_deep(c);
	if (got > 0) {
		bytes = take(c, result);
		claim_pass_brought(&c->pass);
		c->losses = 0;
	}
	turns_told(&c->turns, full);
	c->brought = got > 0;
	c->took_some |= got > 0;
	learn(c, got, full, bytes);
	advance(c, full || c->from_floors || passed_over ? CLAIM_ON_ANSWER : CLAIM_ON_EMPTY);
	if (c->state == CLAIM_EXHAUSTED)
		queue_empty(c, got);
}

static void on_claimed(void *arg, const PGresult *result, const struct err *err)
{
	struct claimer *c = arg;
	int passed_over;

	if (err) {
		give_back(c, c->asked);
		claim_failed(c, err);
		return;
	}
	passed_over = claim_pass_over(&c->pass, result);
	give_back(c, c->asked - PQntuples(result) + passed_over);
	claim_brought(c, result, passed_over);
	retire_when_due(c);
}

/* ---- the walk ---- */

static void on_looked(void *arg, const PGresult *result, const struct err *err)
{
	struct claimer *c = arg;

	walk_looked(&c->walk, result);
	advance(c, CLAIM_ON_STEPPED);
	if (err)
		say_trouble(c, err);
}

static int count_claimed(const PGresult *result)
{
	struct claimed_row row;
	int n = 0;

	for (int i = 0; i < PQntuples(result); i++) {
		queue_claimed_row(result, i, &row);
		n += !row.passed_over;
	}
	return n;
}

static void on_tried(void *arg, const PGresult *result, const struct err *err)
{
	struct claimer *c = arg;
	int got = result ? count_claimed(result) : 0;

	give_back(c, c->asked - got);
	walk_tried(&c->walk, result, err, now_ms(), c->brought);
	advance(c, CLAIM_ON_STEPPED);
	if (err && !refusal_of_row(err) && !refusal_lost_to_others(err))
		say_trouble(c, err);
	if (got > 0)
		claim_size_learn(c->with.size, got, take(c, result));
	turns_charge(&c->turns);
	c->took_some |= got > 0;
	retire_when_due(c);
}

/* ---- the turn ---- */

/* Jobs that the next claim for this rater may bring. */
static int room_for(const struct claimer *c, const struct rater *rater)
{
	return claim_room(c->ctx, &c->with, rater, c->deep);
}

/*
 * Sets who the next claim is for. The fallback takes what the breaker keeps from the first rater.
 */
static int allowed(struct claimer *c, int64_t now, int64_t *wait)
{
	struct breaker *breaker = &board(c)->breaker;
	const struct context *ctx = c->ctx;
	int n = room_for(c, ctx->rater);
	int64_t fallback_wait;

	*wait = -1;
	c->asked_for = ctx->rater;
	if (n > 0)
		n = breaker_allow(breaker, n, now, wait);
	if (n > 0 || !ctx->fallback || breaker_state(breaker, now) == BREAKER_CLOSED)
		return n;
	fallback_wait = dispatch_fallback_wait(c->with.dispatch, now);
	if (fallback_wait > 0) {
		*wait = wait_sooner(*wait, fallback_wait);
		return 0;
	}
	c->asked_for = ctx->fallback;
	return room_for(c, ctx->fallback);
}

/*
 * Nobody has looked at the queue for so long that the janitor must be away: this worker does it by
 * itself.
 */
static bool janitor_missing(const struct claimer *c, int64_t now)
{
	int64_t patience = FLOORS_LAST_POLLS * c->ctx->config->queue.poll_ms;

	return now - c->exhausted_since_ms > patience &&
	       sat_sub(now, atomic_load(&board(c)->gauges_ms)) > patience;
}

/* What has changed since the last turn. */
static void look_around(struct claimer *c, int64_t now)
{
	if (!claimer_is_claiming(c))
		dispatch_check_probe(c->with.dispatch);
	if (claim_txn_take_left(c->with.txn) > 0 ||
	    (claimer_is_exhausted(c) && janitor_missing(c, now)))
		claimer_wake(c);
	if (c->ctx->stopping)
		walk_leave(&c->walk);
}

static bool may_claim(const struct claimer *c)
{
	return !claimer_is_claiming(c) && !c->ctx->stopping && !c->with.txn->open &&
	       !c->with.reclaim->under_way && pg_is_ready(c->ctx->pg) &&
	       !atomic_load(&board(c)->paused);
}

/*
 * For now, and it looks again by itself: a wake that it may have taken, and those to come, are for
 * others.
 */
static int64_t let_others_claim(struct claimer *c, int64_t wait)
{
	claimer_pass_wake_on(c);
	return wait;
}

/*
 * Takes what a claim of up to n jobs needs of the host's limits and of --max-jobs; 0 with a *wait.
 */
static int reserve(struct claimer *c, int n, int64_t now, int64_t *wait)
{
	struct dispatch *dispatch = c->with.dispatch;
	bool first = c->asked_for == c->ctx->rater, probe;
	int budget;

	if (first && breaker_state(&board(c)->breaker, now) == BREAKER_PROBING)
		dispatch_begin_probe(dispatch);
	probe = first && dispatch->probing;
	n = permits_reserve(c->with.permits, c->asked_for, n, probe, now, wait);
	if (n == 0) {
		if (probe)
			dispatch_end_probe(dispatch);
		return 0;
	}
	*wait = -1;
	budget = context_take_budget(c->ctx, n);
	permits_unreserve(c->with.permits, n - budget);
	return budget;
}

static int send_claim(struct claimer *c, const struct claim *claim)
{
	if (claim_txn_fits(c->with.txn, c->deep))
		return claim_txn_begin(c->with.txn, claim, on_claimed, c);
	claim_txn_written(c->with.txn);
	return queue_claim(c->ctx->queue, claim, on_claimed, c);
}

/*
 * A class that this worker met has its turns at once, not only when the janitor has seen it; as
 * long as other floors last, and no longer.
 */
static void add_seen(struct claimer *c)
{
	if (c->floors.n == 0 || c->seen.epoch != c->floors.epoch)
		c->seen.n = 0;
	c->seen.epoch = c->floors.epoch;
	for (int i = 0; i < c->seen.n; i++)
		floors_add(&c->floors, &c->seen.at[i]);
}

/* What tenants weigh may have changed, and which classes there are. */
static void set_turns(struct claimer *c)
{
	int32_t number, weight;

	for (int i = 0; i < SHARES_MAX; i++)
		if (shares_get(&board(c)->shares, i, &number, &weight))
			turns_weigh(&c->turns, number, weight);
	turns_know(&c->turns, &c->floors);
}

/*
 * With a backlog the floors are taken at their word; a job whose insert committed late waits for
 * its turn behind it. When that brings less than asked, the same is asked again from a while
 * before, and only then is the queue taken for empty. While that brings all that was asked for (a
 * large insert, say, that committed late), claims go on so until the floors are looked for anew.
 *
 * Demand is published before the claim goes out: whoever inserts after the claim looked finds a
 * worker to wake, and what was inserted before is claimed.
 */
static void claim_up_to(struct claimer *c, int n, int64_t now)
{
	int64_t max_age = FLOORS_LAST_POLLS * c->ctx->config->queue.poll_ms;
	struct claim claim;

	set_demand(c, DEMAND_CLAIMING);
	c->asked = n;
	c->sent_ms = now;
	advance(c, CLAIM_ON_SEND);
	floors_read(board(c), now, max_age, &c->floors);
	add_seen(c);
	pass_read(board(c), &c->passes);
	set_turns(c);
	c->from_floors = c->deep && c->floors.n > 0 && c->floors.epoch != c->short_epoch;
	claim = claim_for(c, n);
	if (send_claim(c, &claim) == -1)
		on_claimed(c, NULL, &(struct err){ .kind = ERR_LOST });
}

/* An ordinary claim. */
static int64_t claim_turn(struct claimer *c, int64_t now)
{
	int64_t wait;
	int n;

	if (c->state != CLAIM_READY)
		return -1;
	if (now < c->not_before_ms)
		return let_others_claim(c, c->not_before_ms - now);
	if (claim_txn_fits(c->with.txn, c->deep) && settler_has_any(c->with.settler, now))
		return -1;	/* it goes out first: it could not while claims are held */
	if (claim_room_crowded(c->ctx, c->with.size, now)) {
		set_demand(c, DEMAND_NONE);	/* it looks again by itself */
		return CROWD_LOOK_MS;
	}
	n = allowed(c, now, &wait);
	if (n <= 0)
		return let_others_claim(c, wait);
	n = reserve(c, n, now, &wait);
	if (n == 0)
		return wait;
	claim_up_to(c, n, now);
	return -1;
}

/* Claims by name what the walk has chosen, as many as there is room for. */
static int64_t try_these(struct claimer *c, int64_t now)
{
	struct claim claim;
	int64_t wait;
	int room = allowed(c, now, &wait);

	if (room <= 0)
		return wait;
	room = reserve(c, room < WALK_TRY_MAX ? room : WALK_TRY_MAX, now, &wait);
	if (room == 0)
		return wait;
	c->asked = walk_gather(&c->walk, room, now);
	give_back(c, room - c->asked);
	if (c->asked == 0)
		return TROUBLE_MS;
	claim = claim_for(c, c->asked);
	claim.these = c->walk.these;
	claim.patience_ms = c->walk.patience_ms;
	c->tried_last = true;
	advance(c, CLAIM_ON_STEP);
	if (queue_claim(c->ctx->queue, &claim, on_tried, c) == -1)
		on_tried(c, NULL, &(struct err){ .kind = ERR_LOST });
	return -1;
}

/*
 * A step of the walk. Nothing else is on its way meanwhile, lest the time that others take seems to
 * be that of who is refused; *held_up: it waits for a commit, and no other claim is to come before.
 */
static int64_t walk_turn(struct claimer *c, int64_t now, bool *held_up)
{
	int64_t wait;

	enum walk_step step = walk_next(&c->walk, now, &wait);

	if (step == WALK_REST)
		return wait;
	if (now < c->not_before_ms)
		return c->not_before_ms - now;
	*held_up = c->with.txn->committing;
	if (*held_up)
		return -1;
	if (step == WALK_TRY)
		return try_these(c, now);
	advance(c, CLAIM_ON_STEP);
	if (walk_look(&c->walk, on_looked, c) == -1)
		on_looked(c, NULL, &(struct err){ .kind = ERR_LOST });
	return -1;
}

/* The walk and other claims take turns, as far as both have anything to do. */
int64_t claimer_turn(struct claimer *c)
{
	bool others_first = c->tried_last, held_up = false;
	int64_t now = now_ms(), wait = -1;

	look_around(c, now);
	if (!may_claim(c))
		return -1;
	c->tried_last = false;
	if (others_first)
		wait = claim_turn(c, now);
	if (!claimer_is_claiming(c))
		wait = wait_sooner(wait, walk_turn(c, now, &held_up));
	if (!claimer_is_claiming(c) && !others_first && !held_up)
		wait = wait_sooner(wait, claim_turn(c, now));
	return claimer_is_claiming(c) ? -1 : wait;
}

/* ---- life ---- */

void claimer_init(struct claimer *c, const struct context *ctx, const struct claimer_parts *parts)
{
	*c = (struct claimer){ .ctx = ctx, .with = *parts, .state = CLAIM_READY };
	turns_init(&c->turns);
	claim_pass_init(&c->pass, ctx);
	walk_init(&c->walk, ctx);
}

void claimer_check(const struct claimer *c)
{
	INVARIANT(c->state < CLAIM_STATE_COUNT);
	INVARIANT((c->state != CLAIM_SENT && c->state != CLAIM_SENT_STALE) || c->asked > 0);
	INVARIANT(!claimer_is_claiming(c) || !c->with.reclaim->under_way);
	turns_check(&c->turns);
	claim_pass_check(&c->pass);
	walk_check(&c->walk);
}
