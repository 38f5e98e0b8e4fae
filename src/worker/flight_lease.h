/*
 * Single flight between workers and hosts: who asks about which phrase stands in the table
 * phrase_flights, under a lease. One statement of a kind is on its way at a time.
 */
#ifndef WORKER_FLIGHT_LEASE_H
#define WORKER_FLIGHT_LEASE_H

#include "permits.h"
#include "single_flight.h"

struct flight_lease {
	const struct context *ctx;
	struct joblist *jobs;
	struct flights *flights;
	struct permits *permits;
	bool looking;			/* a look is on its way */
	bool telling;			/* the database is being told what is over */
	int64_t sent_ms;		/* when the look under way was sent */
	int64_t look_at_ms;		/* not before, when nothing is fresh */
	int64_t interval_ms;		/* from one look to the next */
	int64_t renew_at_ms;		/* 0: we lead none */
};

void lease_init(struct flight_lease *l, const struct context *ctx, struct joblist *jobs,
		struct flights *flights, struct permits *permits);

/*
 * Takes what nobody asks about, looks what others have brought to the phrase cache, renews, and
 * tells what is over, as it is due. Returns how long until there is something to do again, -1:
 * until something else happens.
 */
int64_t lease_turn(struct flight_lease *l);

/* The database has been told of all that is over, or cannot be told: then the leases run out. */
bool lease_all_told(const struct flight_lease *l);

void lease_check(const struct flight_lease *l);

#endif
