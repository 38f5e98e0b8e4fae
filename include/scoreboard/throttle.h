/*
 * What all workers of a host may ask of the openai rater together: requests and tokens a minute,
 * and calls open at a time. It lives in the scoreboard's head; workers take from it by single
 * atomic operations.
 *
 * A job is claimed with a permit for one call, which is taken before and reserves as many tokens as
 * a call usually takes; a further call of the same job takes one of its own. Nobody holds the list
 * of permits: one that dies with its worker has taken its time and no more.
 */
#ifndef THROTTLE_H
#define THROTTLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scoreboard/pace.h"
#include "scoreboard/slots.h"
#include "scoreboard/tally.h"
#include "scoreboard/window.h"

/* So long a claimed job waits for a further call, at most. */
#define THROTTLE_PATIENCE_MS 5000

/* Zeroed: no limit, nothing learnt. */
struct throttle {
	_Atomic uint32_t setting;	/* counts the times that limits were set */
	struct pace requests, tokens;
	struct window window;
	_Atomic int64_t usual_tokens;	/* of a call, a running mean; 0: none was answered yet */
	_Atomic int64_t tokens_per_mib;	/* of question, with its reply; a mean; 0: as above */
	struct tally requests_sent, tokens_used;
	/* Of each slot: calls open, those included that a permit is held for. Its worker's. */
	_Atomic uint32_t calls_open[SLOT_COUNT];
};

struct permit {
	bool held;
	bool ahead;		/* taken ahead of its time: not to be given back */
	uint32_t setting;	/* whose limits it was taken under; of others' it is no share */
	int64_t at_ms;		/* good from here on, for PACE_FRESH_MS */
	int64_t tokens;		/* reserved */
};

/* Supervisor, before the workers and with each reload; 0: no limit. */
void throttle_set(struct throttle *t, int64_t requests, int64_t tokens, int64_t now_ms);

/* Anything to keep to, now. */
bool throttle_active(const struct throttle *t);

/*
 * Permits for up to `wanted` jobs; returns for how many, all alike. With 0, *wait_ms is when to ask
 * again. Counted in calls_open of the worker's slot. any_window: as if
 * there were no window.
 */
int throttle_reserve(struct throttle *t, int slot, int wanted, bool any_window, int64_t now_ms,
		   struct permit *permit, int64_t *wait_ms);
/* n of these were not used; what is no longer fresh is gone. */
void throttle_give_back(struct throttle *t, const struct permit *permit, int n, int64_t now_ms);
bool throttle_is_fresh(const struct permit *permit, int64_t now_ms);

/*
 * One permit for a job in hand, at_ms within THROTTLE_PATIENCE_MS. False when it would come later:
 * then *wait_ms is until there may be one.
 */
bool throttle_reserve_ahead(struct throttle *t, struct permit *permit, int64_t now_ms,
			    int64_t *wait_ms);
/* The same for a permit that is no longer fresh; false: it is gone. */
bool throttle_renew(struct throttle *t, struct permit *permit, int64_t now_ms);
/* Whether the window has room for a call more. */
bool throttle_has_room(const struct throttle *t);

/* Tokens that a call will take whose question has so many bytes, the reply's included. */
int64_t throttle_estimate(const struct throttle *t, size_t bytes);
/*
 * The call goes out with this permit (or without one, when there was nothing to keep to): the
 * estimate for its question takes the place of what was reserved for it.
 */
void throttle_sent(struct throttle *t, struct permit *permit, size_t bytes, int64_t now_ms);

/* A call that has ended. */
struct call_end {
	struct permit permit;		/* as throttle_sent() left it */
	int64_t sent_ms;
	size_t bytes;			/* of the question */
	int64_t tokens;			/* as the provider reported; 0: it did not */
	bool never_sent;		/* the provider cannot have counted it */
	bool limited, answered;		/* a limit of our rate; an answer */
	int most;			/* calls that all workers could have open */
};
void throttle_settle(struct throttle *t, const struct call_end *end, int64_t now_ms);

/* Calls open or reserved, all workers. */
int throttle_calls_open(const struct throttle *t);
/* Supervisor: the worker of this slot is dead, and its calls are nobody's. */
void throttle_leave(struct throttle *t, int slot);
/* The time that a usual call takes up of what is allowed a minute. */
int64_t throttle_share_ms(const struct throttle *t);
/* Until a job may be claimed, as far as requests and tokens go; 0: now. */
int64_t throttle_wait_ms(const struct throttle *t, int64_t now_ms);

#endif
