/*
 * Where claiming stands, and what each event makes of it: one enum, its transitions in one table.
 * Pure.
 */
#ifndef WORKER_CLAIM_STATE_H
#define WORKER_CLAIM_STATE_H

enum claim_state {
	CLAIM_READY,		/* the next claim may go out when there is room */
	CLAIM_SENT,		/* a claim is on its way */
	CLAIM_SENT_STALE,	/* the same, and something was inserted that it may not have seen */
	CLAIM_EXHAUSTED,	/* the queue is empty; wait for a wake */
	CLAIM_STEP,		/* a step is on its way that concerns jobs which are refused */
	CLAIM_STEP_EXHAUSTED,	/* the same, and the queue was empty before it */
	CLAIM_STATE_COUNT
};

enum claim_event {
	CLAIM_ON_SEND,		/* a claim goes out */
	CLAIM_ON_ANSWER,	/* it brought jobs, or there is reason to look again at once */
	CLAIM_ON_EMPTY,		/* it brought less than asked, from the queue's beginning */
	CLAIM_ON_FAILURE,	/* the database did not carry it out, or the connection went away */
	CLAIM_ON_STEP,		/* a step of passing or walking goes out (walk.h) */
	CLAIM_ON_STEPPED,	/* that was answered, or went away */
	CLAIM_ON_WAKE,		/* something was inserted, is due, or went back; or a reconnect */
	CLAIM_EVENT_COUNT
};

/*
 * The state after the event. An event that cannot happen in a state is a broken invariant there,
 * and ignored.
 */
enum claim_state claim_state_after(enum claim_state state, enum claim_event event);

/* For logs and tests: "ready", "sent", ... */
const char *claim_state_name(enum claim_state state);

#endif
