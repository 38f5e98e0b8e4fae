/*
 * The one shared mapping, made before the first fork. A slot is written by its child alone, except
 * where a field says otherwise; the head by the supervisor alone, except the breaker, the limits
 * and the job budget, which any worker moves with single atomic operations. No locks and no
 * pointers, so a killed process leaves nothing held. Readers take what they read as hearsay.
 */
#ifndef SCOREBOARD_H
#define SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/uuid.h"
#include "scoreboard/aside.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/breaker.h"
#include "scoreboard/deaths.h"
#include "scoreboard/kept_deaths.h"
#include "scoreboard/latency.h"
#include "scoreboard/learnt.h"
#include "scoreboard/metrics.h"
#include "scoreboard/news.h"
#include "scoreboard/refused.h"
#include "scoreboard/shared_text.h"
#include "scoreboard/shares.h"
#include "scoreboard/slots.h"
#include "scoreboard/throttle.h"

enum slot_state {
	SLOT_EMPTY,		/* no child, none due */
	SLOT_STARTING,		/* forked, not heard of yet */
	SLOT_CONNECTING,	/* waiting for the database */
	SLOT_IDLE,		/* at work, nothing in hand */
	SLOT_BUSY,		/* at work, jobs in flight */
	SLOT_DRAINING,		/* finishing what it has */
	SLOT_WAITING,		/* dead; the supervisor, who says so, starts it again later */
	SLOT_STATE_COUNT
};

enum demand {
	DEMAND_NONE,		/* last claim full, or no more claims */
	DEMAND_CLAIMING,	/* claim on its way: jobs inserted behind it want another look */
	DEMAND_WAITING,		/* room left, and the last claim brought less than asked */
};

/*
 * A place in the order of claims: priority and turn, which make its class (queue/turns.h), then
 * available_at, then id.
 */
struct floor {
	int32_t priority;
	int32_t turn;			/* 0 or less */
	int64_t available_at;		/* us since 2000-01-01, as in the database */
	unsigned char id[UUID_BYTES];
};
#define FLOORS_MAX 32
#define PASSES_MAX 32		/* of passes, which are kept in the same way (pass.h) */

/* pass.c's. */
struct passing {
	_Atomic uint64_t epoch;		/* odd: some places are passed */
	_Atomic uint64_t raised;	/* how often a pass was raised */
	_Atomic uint64_t walked;	/* `raised` as of the last walk through what is passed */
	_Atomic uint64_t walker;	/* slot and pid of who walks; 0: nobody */
};

/* floor.c's; in the janitor's slot those it found, in a worker's as raised by its claims. */
struct shared_floors {
	_Atomic uint32_t seq;
	uint64_t epoch;
	int64_t renewed_ms;
	int32_t n;
	struct floor at[PASSES_MAX];
};

/* Written by its child, except for what says otherwise. */
struct slot {
	_Alignas(64)
	_Atomic int32_t pid;		/* the supervisor's; 0: no child */
	_Atomic uint32_t state;		/* enum slot_state */
	_Atomic int64_t started_ms;	/* the supervisor's: now_ms() at fork */
	_Atomic int64_t beat_ms;	/* now_ms() of the child's last loop turn */
	_Atomic uint32_t generation;	/* the supervisor's: children this slot has had */
	_Atomic uint32_t in_flight;	/* jobs in hand */
	_Atomic uint32_t demand;	/* enum demand */
	_Atomic uint32_t woken;		/* set by who wakes it, so that one wake is sent, not ten */
	_Atomic uint32_t ever_ready;	/* this child has been at work */
	_Atomic uint64_t counters[COUNTER_COUNT];
	struct shared_text identity;	/* what the child writes into claimed_by */
	struct breadcrumb in_hand;	/* the job the CPU is in; unset between jobs */
	struct shared_text error;	/* last error worth an operator's eye */
	struct shared_floors floors;
	struct shared_floors passes;	/* pass.h */
	struct shared_refused refused;	/* rows that the database refuses it */
	struct news news;		/* sessions that moved under its hands; news.h */

	/* Of its calls, outliving the child as counters do. */
	_Atomic uint64_t latency[LATENCY_BUCKETS];	/* how many took how long */
	_Atomic uint64_t cost_nanos;	/* in billionths of the currency of the configured prices */
	struct log_loss log_loss;	/* lines of the log that it could not write */
};

enum pool_phase { POOL_STARTING, POOL_UP, POOL_DRAINING };

/* Set by who notices first. */
enum database_trouble { DATABASE_FINE, DATABASE_AWAY, DATABASE_REFUSES };

struct scoreboard {
	/* the supervisor's */
	_Atomic int64_t started_ms;
	_Atomic int64_t started_wall_ms;
	_Atomic uint32_t phase;		/* enum pool_phase */
	_Atomic uint32_t paused;	/* by an operator: nothing is claimed */
	struct log_loss log_loss;	/* its own lines, and those of a trial */
	_Atomic uint32_t workers;	/* how many are wanted */
	_Atomic uint64_t reloads;
	struct shared_text reload_error;	/* why the last one was refused; "": it was not */
	_Atomic uint64_t restarts;	/* children started again after an unexpected end */
	_Atomic uint32_t slots_used;	/* workers' slots from here on have never had a child */

	/* any process's */
	struct log_common log;

	/* any child's */
	_Atomic uint32_t database_away;	/* enum database_trouble, so that it is said once */
	/* It was once reached, or who started us was told that we wait: troubles are waited out. */
	_Atomic uint32_t ever_up;
	/* now_ms() until which jobs wait that grade a session as a whole; 0: there were none */
	_Atomic int64_t sessions_wait_until_ms;
	_Atomic int64_t job_budget;	/* --max-jobs: claims left; INT64_MAX without it */

	/* the janitor's */
	_Atomic uint32_t listening;	/* NOTIFY reaches us: sleepers are woken at once */
	_Atomic int64_t gauges[GAUGE_COUNT];
	_Atomic int64_t gauges_ms;	/* now_ms() when they were taken; 0: never */
	_Atomic uint32_t channels;	/* bits of enum channel: what there is to publish */

	/* parts with functions of their own */
	struct breaker breaker;
	struct throttle throttle;
	struct learnt learnt;
	_Atomic uint64_t floors_epoch;	/* floor.h */
	struct passing passing;		/* pass.h */
	struct asides asides;		/* aside.h */
	struct shares shares;
	struct deaths deaths;
	struct kept_deaths kept_deaths;	/* the janitor's */
	struct news_desk news_desk;	/* the publisher's; news.h */

	struct slot slots[SLOT_COUNT];
};

/* A zeroed mapping inherited by all later forks; NULL when the kernel has no memory. */
struct scoreboard *scoreboard_new(void);

const char *slot_state_name(unsigned state);

static inline void slot_count(struct slot *slot, enum counter c, uint64_t n)
{
	atomic_fetch_add_explicit(&slot->counters[c], n, memory_order_relaxed);
}
/* One call to the rater has ended, well or not. */
static inline void slot_count_call(struct slot *slot, int64_t latency_ms, int64_t cost_nanos)
{
	atomic_fetch_add_explicit(&slot->latency[latency_bucket(latency_ms)], 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&slot->cost_nanos, (uint64_t)cost_nanos, memory_order_relaxed);
}
/*
 * How many slots from the first on are the janitor's and workers'. For children, which look at all
 * of them again and again: those that are of no use stay out of their memory.
 */
static inline int scoreboard_slots(const struct scoreboard *sb)
{
	uint32_t used = atomic_load_explicit(&sb->slots_used, memory_order_relaxed);

	return used < SLOT_PUBLISHER ? (int)used : SLOT_PUBLISHER;
}
/* For sums: the slot after this one, of those above and the publisher's; SLOT_COUNT: none. */
static inline int scoreboard_next(const struct scoreboard *sb, int slot)
{
	if (slot + 1 < scoreboard_slots(sb))
		return slot + 1;
	return slot < SLOT_PUBLISHER ? SLOT_PUBLISHER : SLOT_COUNT;
}
uint64_t scoreboard_sum(const struct scoreboard *sb, enum counter c);
void scoreboard_latency(const struct scoreboard *sb, uint64_t counts[LATENCY_BUCKETS]);
uint64_t scoreboard_cost_nanos(const struct scoreboard *sb);
/* Lines of the log that were dropped, by all processes. */
uint64_t scoreboard_log_dropped(const struct scoreboard *sb);
/*
 * The ledger of who lost a line last; failing: of those who have written none since. NULL:
 * nobody's.
 */
const struct log_loss *scoreboard_log_loss(const struct scoreboard *sb, bool failing);

#endif
