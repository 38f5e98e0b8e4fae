/*
 * A worker's state, shared by the files it is made of: worker.c (its turn, connection and end),
 * claimer.c (claiming), dispatch.c (looking up, asking, answers), fault.c (calls that failed),
 * single_flight.c (lines that wait for the answers of others) and flight_lease.c (of other workers), permits.c
 * (the host's limits), settler.c (settling), claim_txn.c (claiming and settling in one).
 */
#ifndef WORKER_H
#define WORKER_H

#include "grading/grading.h"
#include "pg/pg.h"
#include "process/child.h"
#include "rater/rater.h"

#define WORKER_BATCH_MAX 1000	/* jobs in one claim or settlement; pool.claim_batch goes no higher */
#define QUARANTINE_PLACES 32
#define WORKER_SETTLE_BYTES (16 << 20)	/* of job_data in one settlement; one job may be larger */

TAILQ_HEAD(flight_list, flight);

/* single_flight.c's and flight_lease.c's: what this worker asks about for others too, or waits for. */
struct flights {
	void *by_key;			/* tsearch(3) */
	struct flight_list list, over;	/* those in by_key; those that the database is to be told of */
	size_t nwaiting;		/* lines */
	size_t nothers;			/* flights that are not ours, or not known to be */
	bool looking, landing;		/* a statement is on its way */
	bool ready;			/* gradings are: see there */
	bool fresh;			/* some flights were not looked at yet */
	int64_t look_at_ms, interval_ms;
	int64_t sent_ms;		/* the look under way */
	int64_t renew_at_ms;		/* 0: none of ours is aloft */
};

struct worker {
	struct child *c;
	const struct config *config;
	struct rater *rater, *fallback;	/* fallback: NULL without one */
	struct pg *pg;
	struct queue queue;		/* of pg */
	struct pg_counts counted;	/* of pg, already in the slot's counters */
	struct grading *head, *tail;	/* in hand, oldest first */
	int in_hand;

	/* claimer.c's */
	bool claiming;			/* a claim is on its way */
	int claim_asked;		/* for so many jobs, */
	struct rater *claim_for;	/* which this one is to rate */
	bool look_again;		/* woken meanwhile */
	struct floors floors;		/* where the claim under way began to look, */
	bool from_floors;		/* from the very floors, not from some time before */
	uint64_t behind_epoch;		/* whose floors fell short of what there is; 0: none did */
	bool deep;			/* the last claim was full: there is more, */
	int claim_factor, claim_factor_max;		/* and a rater that answers at once takes so many batches at a time */
	int claim_most;			/* jobs in one, after one that was refused because of one of them; 0: any number */
	bool finding_culprit;			/* it is being looked which one that is */
	struct err claim_err;		/* why */
	struct floor quarantined[QUARANTINE_PLACES];	/* those found so, left alone */
	int nquarantined;
	int64_t quarantine_until_ms;
	int64_t job_bytes;		/* of a job, going by what it claimed: not too much is taken at a time */
	bool took_some;			/* since it was exhausted */
	bool exhausted;			/* the last claim brought less than asked: wait to be woken, */
	int64_t exhausted_since_ms;		/* since then */
	bool releasing_lost;			/* a claim whose answer was lost is being given back */
	int64_t lost_claim_at_ms;		/* again then (0: no more), */
	int64_t lost_claim_until_ms;	/* and so on until then: the lost claim may still be carried out */
	uint64_t done_before;		/* what the workers before it had completed */
	int64_t got_on_ms;		/* when that last grew */
	bool probing;			/* this worker's next call decides about the breaker */
	int64_t claim_not_before_ms;
	int64_t claimed;		/* jobs in its life */

	/* dispatch.c's */
	bool provider_away;		/* its last call found nobody who answers */
	int64_t fallback_not_before_ms;	/* the fallback is not available either */

	/* permits.c's */
	struct rater *metered;		/* which of the two the host's limits are for; NULL: neither */
	struct permit permit;		/* of each job of the claim under way */
	int permits;			/* held, for those jobs and by jobs in hand */
	bool pacing;			/* a job in hand waits for its next call's time */

	struct flights flights;

	/* settler.c's */
	const struct settlement *gathered[WORKER_BATCH_MAX];	/* to be sent this turn */
	int ngathered;
	int settling;			/* jobs whose settlement is gathered or on its way, */
	enum settle_form settle_form;	/* and how it was asked for */
	int64_t settle_not_before_ms;
	int settle_max;			/* jobs in one: fewer after one that failed, */
	int64_t retry_pause_ms, retry_not_before_ms;	/* of jobs whose settlement failed, behind those of others */
	bool retry_last;		/* the last one was of such */

	/* worker.c's */
	/* claim_txn.c's */
	bool holding;			/* a transaction is open that claims by locks: nothing else may be sent */
	bool committing;		/* and one before it is to be committed: no other settlement meanwhile */
	bool write_next;		/* the next claim is to be an ordinary one */
	int64_t held_since_ms, committing_since_ms;
	bool held_settled[WORKER_BATCH_MAX];
	struct err hold_err;		/* why what it was to complete is not */

	bool connected_before;
	bool grown;			/* it has memory of a deep queue */
	bool stopping, at_once;
	int64_t stop_by_ms;
	int exit_status;		/* -1 while it lives */
};

void worker_count(struct worker *w, enum counter c, uint64_t n);
/* Jobs that one statement claims or settles, at most. Where calls take time small ones will do, in less memory. */
int worker_batch(const struct worker *w, const struct rater *rater);
void worker_add(struct worker *w, struct grading *g);
void worker_drop(struct worker *w, struct grading *g);	/* frees g, whatever it waits for */
/* Of two waits in ms, -1 being for ever. */
int64_t worker_sooner(int64_t a, int64_t b);

/*
 * Claims when there is room and reason to. Returns how long to wait before asking again, -1: until
 * something else happens.
 */
int64_t worker_claim(struct worker *w);
/*
 * The cache spares calls. A rater that answers at once has none to spare, and rates a line for a small part of what
 * looking it up and entering it costs: it keeps the cache only while there is time for that.
 */
bool worker_pays_to_cache(const struct worker *w);
/* n jobs are this worker's: written down as such, or, of a claim that is held, completed. */
void worker_count_claimed(struct worker *w, int n);
/* n jobs of --max-jobs were not taken after all. */
void worker_give_back_budget(struct worker *w, int n);
#define CLAIM_FACTOR_MAX 8	/* measured with claims of 64: 4, 8 and 16 are the same; more keeps ratings back for longer */
#define CLAIM_FACTOR_PAST_CACHE 4	/* two claims in a row came back full */

/* Whether the next claim should be held by locks alone; of what it brings only such jobs can be completed so. */
bool worker_may_hold(const struct worker *w);
bool worker_can_complete_held(const struct claimed_row *row);
/* Claims so. -1 as pg_send(). */
int worker_hold(struct worker *w, const struct claim *claim, pg_answer_fn *answer);
/* n jobs that it brought are for an ordinary claim, the next one. */
void worker_leave_held(struct worker *w, int n);
/* Completes and commits what the answer to it brought; nothing without one. */
void worker_end_hold(struct worker *w);
/* The connection is gone, and with it what it held. */
void worker_lose_hold(struct worker *w);

/*
 * After a reconnect: what this worker holds in the database but not in hand goes back, now and for a
 * while, since a backend that was stuck may carry out a claim long after we gave it up.
 */
void worker_release_lost_claim(struct worker *w);
/* Does it again when it is time. Returns as worker_claim(). */
int64_t worker_release_lost_again(struct worker *w);

/*
 * Says by ask->err->kind whose fault it is that a call failed, tells the breaker what the answer says of the rater,
 * and may take an answer of no use for a failure of it.
 */
void worker_find_blame(struct worker *w, const struct rater *rater, struct ask *ask);

/* Whether its lines are to be preceded by a control: see grading_ask_control(). */
bool worker_needs_control(const struct worker *w, const struct grading *g);

/* Not when its last settlement failed so short a while ago that others go first. */
bool worker_may_settle(const struct worker *w, const struct grading *g, int64_t now);

/* Fills err for a job whose queue.job_deadline has come. */
void worker_past_deadline(const struct worker *w, const struct grading *g, struct err *err);

/* Has freshly claimed jobs looked up, then asked about. */
void worker_rate(struct worker *w, struct grading *const *gradings, size_t n);
/* Gives up its calls; they have gone out and count. */
void worker_cancel(struct worker *w, struct grading *g);
/* Takes what the rater has answered; goes on with jobs whose lines waited; decides those that are complete. */
void worker_take_answers(struct worker *w);

/* Once the raters are open: finds out which of them is metered. */
void worker_meter(struct worker *w);
/*
 * Permits for a claim of up to `wanted` jobs. Returns for how many (without limits: for all); with 0,
 * *wait is how long to wait, claiming nothing. Unreserve: n of them brought no job.
 */
int worker_reserve(struct worker *w, int wanted, int64_t now, int64_t *wait);
void worker_unreserve(struct worker *w, int n);
/* The job needs no call, after all. */
void worker_drop_permit(struct worker *w, struct grading *g);
/*
 * After some of its calls were to be started: a job without any gives its permit back, and one that cannot
 * have its next call within THROTTLE_PATIENCE_MS goes back to the queue, with what it has.
 */
void worker_keep_pace(struct worker *w, struct grading *g);
/* Whether it was the limits that kept some of its calls in, while others brought ratings; fills err then. */
bool worker_was_paced(const struct worker *w, const struct grading *g, struct err *err);
/* Starts the calls whose time has come. Returns as worker_claim(). */
int64_t worker_ask_paced(struct worker *w);
/* How many calls are open, for all to see. */
void worker_publish_calls(struct worker *w);
/* A call has ended. */
void worker_settle_call(struct worker *w, const struct rater *rater, const struct ask *ask);

/*
 * Single flight: of equal lines, whoever claimed them, one is asked about while the others wait for its rating
 * to reach the cache.
 */
void worker_flights_init(struct worker *w);
void worker_flights_free(struct worker *w);
/* Has all open lines wait until it is known whose call they are; those that are ours are then free to be asked. */
void flights_join(struct worker *w, struct grading *g);
/* Of some line that waits it is not known yet whose call it is. */
bool flights_undecided(const struct grading *g);
/* A call of g was answered, or failed (err): who waited for its lines has their ratings, or is free to ask. */
void flights_answered(struct worker *w, struct grading *g, const struct err *err);
/* Half of its job's time is gone. */
bool worker_is_impatient(const struct grading *g, int64_t now);
/* What g has had stored is in the cache. */
void worker_flights_stored(struct worker *w, struct grading *g);
/*
 * Its lines wait no more, and nobody waits for those of them that have no rating. dropped: nor for the others,
 * since they will not be stored.
 */
void flights_leave(struct worker *w, struct grading *g, bool dropped);
/* Looks what others brought, keeps what is ours, tells what is over, as it is due. Returns as worker_claim(). */
int64_t lease_turn(struct worker *w);
/* The database has been told of all that is over, or cannot be told: then the leases run out. */
bool flights_are_told(const struct worker *w);

/* Gathers all jobs that are ready to be settled, unless some are on their way. Returns as worker_claim(). */
int64_t worker_gather(struct worker *w);
/* Sends the settlement of those gathered. */
void worker_settle(struct worker *w);
/* A job's settlement was answered: it was settled, or it had moved on. */
void worker_finish(struct worker *w, struct grading *g, bool settled);
/* Of a settlement in this form: said where an operator can do something about it, and a pause before the next. */
void worker_say_trouble(struct worker *w, const struct err *err, enum settle_form form);

#endif
