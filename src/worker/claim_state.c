/*
 * The transitions of claiming. Pure.
 *
 * The race that CLAIM_SENT_STALE is for: a claim looks at the queue and finds nothing; a job is
 * inserted and its NOTIFY wakes this worker before the claim's answer has come. Taking that answer
 * for "empty" would leave the job waiting for the next poll.
 */
#include "claim_state.h"

#include "base/invariant.h"

#define NEVER CLAIM_STATE_COUNT

static const enum claim_state after[CLAIM_STATE_COUNT][CLAIM_EVENT_COUNT] = {
	[CLAIM_READY] = {
		[CLAIM_ON_SEND] = CLAIM_SENT, [CLAIM_ON_ANSWER] = NEVER,
		[CLAIM_ON_EMPTY] = NEVER, [CLAIM_ON_FAILURE] = NEVER,
		[CLAIM_ON_STEP] = CLAIM_STEP, [CLAIM_ON_STEPPED] = NEVER,
		[CLAIM_ON_WAKE] = CLAIM_READY,
	},
	[CLAIM_SENT] = {
		[CLAIM_ON_SEND] = NEVER, [CLAIM_ON_ANSWER] = CLAIM_READY,
		[CLAIM_ON_EMPTY] = CLAIM_EXHAUSTED, [CLAIM_ON_FAILURE] = CLAIM_READY,
		[CLAIM_ON_STEP] = NEVER, [CLAIM_ON_STEPPED] = NEVER,
		[CLAIM_ON_WAKE] = CLAIM_SENT_STALE,
	},
	[CLAIM_SENT_STALE] = {
		[CLAIM_ON_SEND] = NEVER, [CLAIM_ON_ANSWER] = CLAIM_READY,
		[CLAIM_ON_EMPTY] = CLAIM_READY, [CLAIM_ON_FAILURE] = CLAIM_READY,
		[CLAIM_ON_STEP] = NEVER, [CLAIM_ON_STEPPED] = NEVER,
		[CLAIM_ON_WAKE] = CLAIM_SENT_STALE,
	},
	[CLAIM_EXHAUSTED] = {
		[CLAIM_ON_SEND] = NEVER, [CLAIM_ON_ANSWER] = NEVER, [CLAIM_ON_EMPTY] = NEVER,
		[CLAIM_ON_FAILURE] = NEVER, [CLAIM_ON_STEP] = CLAIM_STEP_EXHAUSTED,
		[CLAIM_ON_STEPPED] = NEVER, [CLAIM_ON_WAKE] = CLAIM_READY,
	},
	[CLAIM_STEP] = {
		[CLAIM_ON_SEND] = NEVER, [CLAIM_ON_ANSWER] = NEVER, [CLAIM_ON_EMPTY] = NEVER,
		[CLAIM_ON_FAILURE] = NEVER, [CLAIM_ON_STEP] = NEVER,
		[CLAIM_ON_STEPPED] = CLAIM_READY, [CLAIM_ON_WAKE] = CLAIM_STEP,
	},
	[CLAIM_STEP_EXHAUSTED] = {
		[CLAIM_ON_SEND] = NEVER, [CLAIM_ON_ANSWER] = NEVER, [CLAIM_ON_EMPTY] = NEVER,
		[CLAIM_ON_FAILURE] = NEVER, [CLAIM_ON_STEP] = NEVER,
		[CLAIM_ON_STEPPED] = CLAIM_EXHAUSTED, [CLAIM_ON_WAKE] = CLAIM_STEP,
	},
};

enum claim_state claim_state_after(enum claim_state state, enum claim_event event)
{
	enum claim_state next = after[state][event];

	INVARIANT(next != NEVER);
	return next == NEVER ? state : next;
}

const char *claim_state_name(enum claim_state state)
{
	static const char *const names[CLAIM_STATE_COUNT] = {
		[CLAIM_READY] = "ready", [CLAIM_SENT] = "sent", [CLAIM_SENT_STALE] = "sent, stale",
		[CLAIM_EXHAUSTED] = "exhausted", [CLAIM_STEP] = "step",
		[CLAIM_STEP_EXHAUSTED] = "step, exhausted",
	};

	return state < CLAIM_STATE_COUNT ? names[state] : "?";
}
