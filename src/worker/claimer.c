/*
 * A worker's claims: when, how many, and what to do with an answer that never came. One claim is on its
 * way at a time; it asks for no more than there is room for.
 */
#include "worker.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "process/wake.h"
#include "scoreboard/breaker.h"
#include "scoreboard/trouble.h"

#define DISOWN_EVERY_MS 5000
#define DISOWN_FOR_MS 120000
#define FLOORS_LAST_POLLS 3	/* without a look by the janitor; then workers look by themselves */
#define LATE_COMMIT_MS 10000	/* a queue that seems empty is looked through from so long ago */
#define AHEAD_SHARE 16		/* of pool.in_flight, */
#define AHEAD_FROM 64		/* from which on it pays: with few calls a job ahead may wait for long, beside idle workers */
#define BATCHES_BEHIND 1	/* of answered jobs that may wait to be settled while more are claimed */
#define CROWD_PER_CPU 2		/* workers with a rater that answers at once, */
#define CROWD_LOOK_MS 50	/* how soon one more looks whether there is room for it, */
#define CROWD_STUCK_MS 1000	/* and after how long without a job completed it takes the others for held up */
#define QUARANTINE_MS 60000		/* for so long a job that cannot be claimed is left alone */
#define TROUBLE_MS 1000		/* pause after a claim that the database refused */
#define CLAIM_BYTES (16 << 20)	/* of job_data in one claim, going by what came before */
#define GROWN_BYTES (4 << 20)	/* of one claim: the memory for it goes back when the queue is empty */
#define CLAIM_BYTES_FORGET 8	/* and smaller jobs make it forget a larger one by so small a part each time */
#define CLAIM_FACTOR_MIN_BATCH 16	/* who sets pool.claim_batch lower means it literally */
#define CLAIM_FACTOR_JOB_BYTES 16384	/* jobs larger than this on average are not taken by more than the batch */

/* Of --max-jobs: how many of `wanted` are left, taken off. */
static int64_t take_budget(struct scoreboard *sb, int64_t wanted)
{
	int64_t left = atomic_load(&sb->job_budget), take;

	do {
		take = left < wanted ? left : wanted;
		if (take <= 0)
			return 0;
	} while (!atomic_compare_exchange_weak(&sb->job_budget, &left, left - take));
	return take;
}

void worker_give_back_budget(struct worker *w, int n)
{
	atomic_fetch_add(&w->c->sb->job_budget, n);
}

bool worker_pays_to_cache(const struct worker *w)
{
	return w->config->cache.ttl_ms > 0 && !(w->rater->instant && w->claim_factor >= CLAIM_FACTOR_PAST_CACHE);
}

void worker_count_claimed(struct worker *w, int n)
{
	worker_count(w, COUNTER_JOBS_CLAIMED, (uint64_t)n);
	w->claimed += n;
}

/* Returns the bytes of all their job_data. */
static int64_t take_rows(struct worker *w, const PGresult *result)
{
	size_t n = (size_t)PQntuples(result);
	struct grading **gradings = xcalloc(n, sizeof(*gradings));
	bool through_cache = worker_pays_to_cache(w);
	int64_t bytes = 0;
	size_t taken = 0;

	for (size_t i = 0; i < n; i++) {
		struct claimed_row row;
		struct grading *g;

		queue_claimed_row(result, (int)i, &row);
		floors_raise(&w->floors, &row.place);
		if (w->holding && !worker_can_complete_held(&row))
			continue;
		/* Keys are the first rater's: what it has rated is good for a fallback, not the other way. */
		g = gradings[taken++] = grading_new(&row, w->rater, through_cache);
		g->rater = w->claim_for;
		g->held = w->holding;
		bytes += g->bytes;
		g->permit = w->permit;
		worker_add(w, g);
	}
	floors_publish(w->c->slot, &w->floors);
	if (taken < n)
		worker_leave_held(w, (int)(n - taken));
	if (!w->holding)
		worker_count_claimed(w, (int)taken);
	if (taken > 0)
		worker_rate(w, gradings, taken);
	free(gradings);
	return bytes;
}

/* The deeper the queue the larger the bites, since a statement's price is mostly not that of its rows. */
static void set_claim_factor(struct worker *w, bool full, int64_t bytes)
{
	if (!full || w->config->pool.claim_batch < CLAIM_FACTOR_MIN_BATCH || bytes > (int64_t)w->claim_asked * CLAIM_FACTOR_JOB_BYTES)
		w->claim_factor = 1;
	else if (w->claim_factor * 2 <= w->claim_factor_max)
		w->claim_factor *= 2;
	else
		w->claim_factor = w->claim_factor_max;
	w->grown |= w->claim_factor > 1 || bytes > GROWN_BYTES;
}

static void learn_size(struct worker *w, int64_t mean)
{
	w->job_bytes = mean > w->job_bytes ? mean : w->job_bytes + (mean - w->job_bytes) / CLAIM_BYTES_FORGET;
}

/* Nobody has looked at the queue for so long that the janitor must be away: this worker does it by itself. */
static bool janitor_missing(const struct worker *w, int64_t now)
{
	int64_t patience = FLOORS_LAST_POLLS * w->config->queue.poll_ms;

	return now - w->exhausted_since_ms > patience && now - atomic_load(&w->c->sb->gauges_ms) > patience;
}

/* Nothing more to be had for now. The janitor sees to it that somebody listens, and counts anew. */
static void queue_empty(struct worker *w, int got)
{
	w->exhausted = true;
	w->exhausted_since_ms = now_ms();
	atomic_store(&w->c->slot->demand, DEMAND_WAITING);
	if (got > 0 || w->took_some || !atomic_load(&w->c->sb->listening))
		wake_slot(SLOT_JANITOR);
	w->took_some = false;
}

static void retire_when_due(struct worker *w)
{
	if (w->config->pool.max_jobs == 0 || w->claimed < w->config->pool.max_jobs || w->stopping || w->c->once)
		return;
	log_info("pool.max_jobs reached; making room for a fresh worker");
	w->c->on_stop(w, false);
}

/* From where the claim under way begins. */
static struct claim claim_for(const struct worker *w, int jobs)
{
	return (struct claim){
		.jobs = jobs, .identity = w->c->identity, .floors = &w->floors, .avoid = w->quarantined, .navoid = w->nquarantined,
		.slack_ms = w->from_floors ? 0 : LATE_COMMIT_MS, .briefly = w->rater->instant,
	};
}

static void on_previewed(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;
	struct claimed_row row;

	w->finding_culprit = false;
	w->claim_most = 0;
	if (!result || PQntuples(result) == 0) {
		w->claim_not_before_ms = now_ms() + (err ? TROUBLE_MS : 0);
		return;
	}
	queue_claimed_row(result, 0, &row);
	if (w->nquarantined == QUARANTINE_PLACES) {	/* it may be all of them */
		memmove(&w->quarantined[0], &w->quarantined[1], --w->nquarantined * sizeof(w->quarantined[0]));
		w->claim_not_before_ms = now_ms() + TROUBLE_MS;
	}
	w->quarantined[w->nquarantined++] = row.place;
	w->quarantine_until_ms = now_ms() + QUARANTINE_MS;
	log_error("job %s cannot be claimed, and is left alone for %d s: %s", row.id, QUARANTINE_MS / 1000, w->claim_err.text);
	trouble_say(w->claim_err.text);
}

/*
 * The database would not have one of the jobs claimed: a constraint or a trigger of theirs is against it. Fewer are
 * claimed until it is one that fails, the first of the queue, which is then left alone for a while.
 */
static void find_refused(struct worker *w, const struct err *err)
{
	struct claim first = claim_for(w, 1);

	w->claim_most = w->claim_asked / 2;
	if (w->claim_most > 0)
		return;
	w->claim_most = 1;
	w->claim_err = *err;
	w->finding_culprit = queue_preview(&w->queue, &first, on_previewed, w) == 0;
}

static void claim_failed(struct worker *w, const struct err *err)
{
	if (err->kind == ERR_LOST)
		return;		/* worker_release_lost_claim() follows when the connection is back */
	if (err->kind == ERR_PERMANENT) {
		find_refused(w, err);
		return;
	}
	log_error("%s; claiming again in %d ms", err->text, TROUBLE_MS);
	trouble_say(err->text);
	w->claim_not_before_ms = now_ms() + TROUBLE_MS;
}

static void on_claimed(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;
	int got = result ? PQntuples(result) : 0;
	bool full = got == w->claim_asked;
	int64_t bytes = 0;

	w->claiming = false;
	worker_give_back_budget(w, w->claim_asked - got);
	worker_unreserve(w, w->claim_asked - got);
	if (err) {
		claim_failed(w, err);
		return;
	}
	if (full) {
		atomic_store(&w->c->slot->demand, DEMAND_NONE);
		wake_one_waiting(w->c->sb, w->c->index);
		if (!w->deep || !w->from_floors)
			wake_slot(SLOT_JANITOR);	/* if all are at work now, nobody need be notified; and for new floors */
	}
	if (got > 0) {
		bytes = take_rows(w, result);
		learn_size(w, bytes / got);
	}
	w->took_some |= got > 0;
	if (!full)
		w->behind_epoch = w->from_floors ? w->floors.epoch : 0;
	if (full || !w->from_floors) {
		w->deep = full;
		set_claim_factor(w, full, bytes);
	}
	if (!full && !w->look_again && !w->from_floors)
		queue_empty(w, got);
	if (!full)
		w->claim_most = 0;
	w->look_again = false;
	retire_when_due(w);
}

/* Jobs in hand, not being settled yet, that this rater is asked about. */
static int held_for(const struct worker *w, const struct rater *rater)
{
	int n = 0;

	if (!w->fallback)
		return w->in_hand - w->settling;
	for (const struct grading *g = w->head; g; g = g->next)
		n += g->rater == rater && !g->settle.under_way;
	return n;
}

/* Those of them that still wait for a call. */
static int asked_of(const struct worker *w, const struct rater *rater)
{
	int n = 0;

	for (const struct grading *g = w->head; g; g = g->next)
		n += g->rater == rater && !grading_is_decided(g);
	return n;
}

/*
 * While there is a backlog a few jobs are claimed and looked up before a call is free for them, so that no call
 * slot stands empty for a round trip. So few that they wait for little longer than that; they are replaced when
 * half of them are gone, since a claim costs much the same for one job and for eight. None under limits: no job
 * is claimed then without a permit to be asked about.
 */
static int prefetch(const struct worker *w, const struct rater *rater)
{
	int calls = (int)w->config->pool.in_flight;

	if (!w->deep || rater != w->rater || calls < AHEAD_FROM || throttle_active(&w->c->sb->throttle))
		return 0;
	return calls / AHEAD_SHARE;
}

/*
 * A rater that answers at once is fed by the batch or several, others up to the calls they may have in flight:
 * a call that is answered makes room at once, unless so many jobs wait to be settled that the database must be behind.
 */
static int room(const struct worker *w, const struct rater *rater)
{
	int batch = worker_batch(w, rater), spare = rater->instant || rater->capacity ? 0 : prefetch(w, rater);
	int limit = rater->capacity ? rater->capacity : (int)w->config->pool.in_flight + spare, n;

	if (rater->instant) {
		batch *= w->claim_factor;
		n = batch - held_for(w, rater);
	} else {
		n = limit - asked_of(w, rater);
		if (n <= spare / 2)
			return 0;
		if (n > limit + BATCHES_BEHIND * batch - w->in_hand)
			n = limit + BATCHES_BEHIND * batch - w->in_hand;
	}
	n = n < batch ? n : batch;
	if (n > 1 && n * w->job_bytes > CLAIM_BYTES)
		n = (int)(CLAIM_BYTES / w->job_bytes) > 1 ? (int)(CLAIM_BYTES / w->job_bytes) : 1;
	if (w->claim_most > 0 && n > w->claim_most)
		n = w->claim_most;
	return n < WORKER_BATCH_MAX ? n : WORKER_BATCH_MAX;
}

/* A probe is one of these. */
static bool any_for_rater(const struct worker *w)
{
	for (const struct grading *g = w->head; g; g = g->next)
		if (g->rater == w->rater)
			return true;
	return false;
}

/* The fallback takes what the breaker keeps from the first rater. Sets *wait as breaker_allow() does. */
static int allowed(struct worker *w, int64_t now, int64_t *wait)
{
	int n = room(w, w->rater);

	*wait = -1;
	w->claim_for = w->rater;
	if (n > 0)
		n = breaker_allow(&w->c->sb->breaker, n, now, wait);
	if (n > 0 || !w->fallback || breaker_state(&w->c->sb->breaker, now) == BREAKER_CLOSED)
		return n;
	if (now < w->fallback_not_before_ms) {
		*wait = worker_sooner(*wait, w->fallback_not_before_ms - now);
		return 0;
	}
	w->claim_for = w->fallback;
	return room(w, w->fallback);
}

/* Workers in the slots before this one's that are busy, and what they have completed so far. */
static int busy_before(const struct worker *w, uint64_t *done)
{
	int busy = 0;

	*done = 0;
	for (int i = SLOT_FIRST_WORKER; i < w->c->index; i++) {
		const struct slot *slot = &w->c->sb->slots[i];

		busy += atomic_load(&slot->state) == SLOT_BUSY || atomic_load(&slot->demand) == DEMAND_CLAIMING;
		*done += atomic_load_explicit(&slot->counters[COUNTER_JOBS_COMPLETED], memory_order_relaxed);
	}
	return busy;
}

/*
 * With a rater that answers at once a worker keeps processors busy, its own and the server's: more of them than there
 * are processors for only walk past each other's jobs. Who is too many leaves them to those before it while they get
 * on; they may also be held up, all of them.
 */
static bool over_subscribed(struct worker *w, int64_t now)
{
	uint64_t done;

	if (!w->rater->instant || busy_before(w, &done) < CROWD_PER_CPU * sysconf(_SC_NPROCESSORS_ONLN))
		return false;
	if (done != w->done_before) {
		w->done_before = done;
		w->got_on_ms = now;
	}
	return now - w->got_on_ms < CROWD_STUCK_MS;
}

/* In hand, but for what is being settled, and what failed to be and waits behind others. */
static bool any_to_settle(const struct worker *w, int64_t now)
{
	for (const struct grading *g = w->head; g; g = g->next)
		if (!g->settle.under_way && worker_may_settle(w, g, now))
			return true;
	return false;
}

/* For now, and it looks again by itself: a wake that it may have taken, and those to come, are for others. */
static int64_t let_others_claim(struct worker *w, int64_t wait)
{
	if (atomic_exchange(&w->c->slot->demand, DEMAND_NONE) != DEMAND_NONE)
		wake_one_waiting(w->c->sb, w->c->index);
	return wait;
}

static int send_claim(struct worker *w, const struct claim *claim)
{
	if (worker_may_hold(w))
		return worker_hold(w, claim, on_claimed);
	w->write_next = false;
	return queue_claim(&w->queue, claim, on_claimed, w);
}

/*
 * With a backlog the floors are taken at their word; a job whose insert committed late waits for its turn
 * behind it. When that brings less than asked, the same is asked again from a while before, and only then
 * is the queue taken for empty. While that brings all that was asked for (a large insert, say, that committed
 * late), claims go on so until the floors are looked for anew.
 *
 * "Hungry" is published before the claim goes out: whoever inserts after the claim looked finds a worker
 * to wake, and what was inserted before is claimed.
 */
int64_t worker_claim(struct worker *w)
{
	struct scoreboard *sb = w->c->sb;
	int64_t now = now_ms(), wait;
	struct claim claim;
	int n, budget;

	if (w->probing && !w->claiming && !any_for_rater(w)) {	/* no job, or one that needed no call */
		breaker_probe_unused(&sb->breaker);
		w->probing = false;
	}
	if (w->exhausted && janitor_missing(w, now))
		w->exhausted = false;
	if (now >= w->quarantine_until_ms)
		w->nquarantined = 0;
	if (w->stopping || w->claiming || w->finding_culprit || w->holding || w->releasing_lost || w->exhausted || !pg_is_ready(w->pg) ||
	    atomic_load(&sb->paused))
		return -1;
	if (now < w->claim_not_before_ms)
		return let_others_claim(w, w->claim_not_before_ms - now);
	if (worker_may_hold(w) && any_to_settle(w, now))
		return -1;	/* it goes out first: it could not while claims are held */
	if (over_subscribed(w, now)) {
		atomic_store(&w->c->slot->demand, DEMAND_NONE);		/* it looks again by itself */
		return CROWD_LOOK_MS;
	}
	n = allowed(w, now, &wait);
	if (n <= 0)
		return let_others_claim(w, wait);
	w->probing |= w->claim_for == w->rater && breaker_state(&sb->breaker, now) == BREAKER_PROBING;
	n = worker_reserve(w, n, now, &wait);
	if (n == 0)
		return wait;
	budget = (int)take_budget(sb, n);
	worker_unreserve(w, n - budget);
	n = budget;
	if (n == 0)
		return -1;
	atomic_store(&w->c->slot->demand, DEMAND_CLAIMING);
	w->claim_asked = n;
	w->claiming = true;
	floors_read(sb, now, FLOORS_LAST_POLLS * w->config->queue.poll_ms, &w->floors);
	w->from_floors = w->deep && w->floors.n > 0 && w->floors.epoch != w->behind_epoch;
	claim = claim_for(w, n);
	if (send_claim(w, &claim) == -1)
		on_claimed(w, NULL, &(struct err){ .kind = ERR_LOST });
	return -1;
}

static void on_lost_released(void *arg, const PGresult *result, const struct err *err)
{
	struct worker *w = arg;

	w->releasing_lost = false;
	if (result && PQntuples(result) > 0) {
		log_info("%d jobs of a claim whose answer was lost are back in the queue", PQntuples(result));
		worker_count(w, COUNTER_JOBS_RELEASED, (uint64_t)PQntuples(result));
		floors_forget(w->c->sb);
	} else if (err && err->kind != ERR_LOST) {
		log_error("%s; jobs of a lost claim wait for the reaper", err->text);
	}
}

static void release_lost_claim(struct worker *w)
{
	struct job **jobs = xcalloc((size_t)w->in_hand, sizeof(*jobs));
	size_t n = 0;

	for (struct grading *g = w->head; g; g = g->next)
		jobs[n++] = &g->job;
	w->releasing_lost = queue_release_lost(&w->queue, w->c->identity, jobs, n, on_lost_released, w) == 0;
	free(jobs);
}

void worker_release_lost_claim(struct worker *w)
{
	int64_t now = now_ms();

	w->lost_claim_at_ms = now + DISOWN_EVERY_MS;
	w->lost_claim_until_ms = now + DISOWN_FOR_MS;
	release_lost_claim(w);
}

/* Never while a claim is on its way: what it brings is not in hand yet. */
int64_t worker_release_lost_again(struct worker *w)
{
	int64_t now = now_ms();

	if (!w->lost_claim_at_ms || w->claiming || w->holding || w->releasing_lost || !pg_is_ready(w->pg))
		return -1;
	if (now < w->lost_claim_at_ms)
		return w->lost_claim_at_ms - now;
	w->lost_claim_at_ms = now < w->lost_claim_until_ms ? now + DISOWN_EVERY_MS : 0;
	release_lost_claim(w);
	return -1;
}
