/* All parts of a worker, made as worker.c makes them, in the surroundings of worker_fixture.h. */
#ifndef WORKER_PARTS_H
#define WORKER_PARTS_H

#include "worker_fixture.h"

#include "worker/claim_size.h"
#include "worker/claim_txn.h"
#include "worker/claimer.h"
#include "worker/dispatch.h"
#include "worker/flight_lease.h"
#include "worker/permits.h"
#include "worker/reclaim.h"
#include "worker/session_end.h"
#include "worker/settler.h"
#include "worker/single_flight.h"

static struct claim_size size;
static struct flights flights;
static struct permits permits;
static struct flight_lease lease;
static struct dispatch dispatch;
static struct session_end ends;
static struct settler settler;
static struct claim_txn txn;
static struct reclaim reclaim;
static struct claimer claimer;

static inline void no_due(void *arg)
{
	(void)arg;
}

/* Call again after ctx got another rater. */
static inline void make_parts(void)
{
	struct claimer_parts parts = {
		.jobs = &jobs, .txn = &txn, .settler = &settler, .dispatch = &dispatch,
		.permits = &permits, .reclaim = &reclaim, .size = &size,
	};

	claim_size_init(&size);
	flights_init(&flights, &ctx, &jobs);
	permits_init(&permits, &ctx, &jobs, &flights);
	lease_init(&lease, &ctx, &jobs, &flights, &permits);
	dispatch_init(&dispatch, &ctx, &jobs, &permits, &flights);
	session_end_init(&ends, &ctx, no_due, NULL);
	settler_init(&settler, &ctx, &jobs, &dispatch, &flights, &ends);
	claim_txn_init(&txn, &ctx, &jobs, &dispatch, &settler, &size);
	reclaim_init(&reclaim, &ctx, &jobs);
	claimer_init(&claimer, &ctx, &parts);
}

static inline void check_parts(void)
{
	joblist_check(&jobs);
	claim_size_check(&size);
	flights_check(&flights);
	permits_check(&permits);
	lease_check(&lease);
	dispatch_check(&dispatch);
	session_end_check(&ends);
	settler_check(&settler);
	claim_txn_check(&txn);
	reclaim_check(&reclaim);
	claimer_check(&claimer);
	for (const struct grading *g = jobs.head; g; g = g->next)
		grading_check(g);
}

static inline int set_up_parts(void **state)
{
	if (set_up_worker(state) == -1)
		return -1;
	make_parts();
	return 0;
}

static inline int tear_down_parts(void **state)
{
	check_parts();
	walk_leave(&claimer.walk);
	fake_pg.ready = false;		/* what is still on its way is lost with the connection */
	while (fake_pg.n > 0)
		answer_error(ERR_LOST, "");
	while (jobs.head)
		dispatch_drop(&dispatch, jobs.head);
	flights_free(&flights);
	reclaim_free(&reclaim);
	return tear_down_worker(state);
}

/*
 * What is sent first is what the worker waits for; empty answers for look-ups of `lookups`
 * statements.
 */
static inline void answer_lookups(int lookups)
{
	while (lookups-- > 0)
		answer_with(rows_of(1), NULL);
}

/* A job in hand that has joined: its one line waits until it is known whose call it is. */
static inline struct grading *join(int n, const char *text)
{
	struct grading *g = add_job(n, 900 + n, text);

	grading_end_lookup(g);
	flights_join(&flights, g);
	return g;
}

static inline struct flight *flight_of(const struct grading *g)
{
	return flights_find(&flights, g->lines[0].key);
}

#define PARTS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_parts, tear_down_parts)

#endif
