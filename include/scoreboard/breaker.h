/*
 * The pool's one breaker, in the scoreboard's head: it opens when the provider is down, refuses our
 * credentials or limits our rate, and then nobody claims. After a pause one worker probes with one
 * job; its success closes the breaker, its failure doubles the pause. Single atomic operations
 * only, so a worker killed in between holds nothing for longer than BREAKER_PROBE_MS.
 */
#ifndef BREAKER_H
#define BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "scoreboard/shared_text.h"
#include "scoreboard/tally.h"

#define BREAKER_AFTER_FAILURES 3	/* in a row, all workers together */
#define BREAKER_FIRST_MS 1000
/* Back at work within 5 s after the provider is, however a probe fell. */
#define BREAKER_MAX_MS 3000
#define BREAKER_PROBE_MS 60000		/* a probe not heard of for so long was lost */
#define BREAKER_UNCLEAR_IN_A_ROW 10	/* jobs: that many are not all to blame */
#define BREAKER_DOUBTS 5
#define BREAKER_DOUBTS_PER 50
#define BREAKER_RECENT_MS 3000		/* an answer so fresh shows that the provider works */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

/* Zeroed: closed, and nobody has answered yet. Written by single atomic operations alone. */
struct breaker {
	_Atomic int64_t answered_ms;	/* now_ms() of the last call with an answer; 0: none */
	_Atomic uint32_t unclear;	/* jobs whose calls brought nothing since a good answer */
	_Atomic uint64_t unclear_jobs[BREAKER_UNCLEAR_IN_A_ROW];	/* hashes of their ids */
	struct tally doubts;		/* jobs whose first call failed, nobody knows why */
	_Atomic int64_t until_ms;	/* end of the pause; 0: closed */
	_Atomic uint32_t failures;	/* in a row, all workers together */
	_Atomic int64_t asked_ms;	/* the provider asked us to stay away until then; or 0 */
	_Atomic uint32_t kind;		/* enum err_kind that opened it; ERR_NONE: an operator */
	_Atomic int64_t probe_ms;	/* now_ms() when the probe under way began; 0: none is */
	_Atomic uint32_t trips;		/* times it opened */
	_Atomic uint32_t held;		/* opened by an operator, stays so */
	struct shared_text reason;	/* why it is open */
};

enum breaker_state breaker_state(const struct breaker *b, int64_t now_ms);
const char *breaker_state_name(enum breaker_state state);
static inline bool breaker_is_closed(const struct breaker *b, int64_t now_ms)
{
	return breaker_state(b, now_ms) == BREAKER_CLOSED;
}

/*
 * How many jobs may be claimed now: all that is wanted when closed, none while open, one for the
 * single worker that gets to probe. With 0, *wait_ms is when to ask again.
 */
int breaker_allow(struct breaker *b, int wanted, int64_t now_ms, int64_t *wait_ms);

/*
 * How long a call would have to wait, 0 when it may go out; of no concern to the worker that
 * probes.
 */
int64_t breaker_wait_ms(const struct breaker *b, int64_t now_ms);

/*
 * A call brought an answer to go by: ratings, or what is wrong with the lines asked about. One that
 * was in flight already does not cut short a pause that the provider asked for.
 */
void breaker_success(struct breaker *b, int64_t now_ms);
/*
 * A call for this job failed, and nobody knows whether for the job's or the provider's sake. True
 * when it was the provider's: nobody has had an answer in the last window_ms (BREAKER_RECENT_MS at
 * least), or no good one came since the calls of BREAKER_UNCLEAR_IN_A_ROW different jobs began to
 * fail.
 */
bool breaker_unclear(struct breaker *b, const char *job, int64_t window_ms, int64_t now_ms);
/*
 * A call for this job brought an answer of no use, such as one that is not JSON. True when the
 * rater or its configuration is to blame: so far BREAKER_UNCLEAR_IN_A_ROW jobs have met nothing
 * better. Until then it counts as a sign of life, as breaker_success() does.
 */
bool breaker_useless(struct breaker *b, const char *job, int64_t now_ms);
/*
 * A call brought an answer of no use that tells nothing new: its job has met with such before. A
 * sign of life.
 */
void breaker_alive(struct breaker *b, int64_t now_ms);
/*
 * A call for this job was refused, nobody knows for whose sake. True as breaker_useless() is; until
 * then no sign of life, since everybody may meet with the same.
 */
bool breaker_refused(struct breaker *b, const char *job);
/* As breaker_unclear(), for a job that has not met with such before; of a metered rater. */
void breaker_doubt(struct breaker *b, int64_t now_ms);
/*
 * Whether the rater is known to fail now and then, in the last minute: for BREAKER_DOUBTS jobs at
 * least that it was asked about for the first time, and for one call in BREAKER_DOUBTS_PER of
 * `calls`, all that were sent in that time. Jobs that cannot be rated, which are asked about again
 * and again, do not make it so.
 */
bool breaker_is_flaky(const struct breaker *b, int64_t calls, int64_t now_ms);
/*
 * Whether any worker of the host has had an answer in the last window_ms (BREAKER_RECENT_MS at
 * least).
 */
bool breaker_answered_lately(const struct breaker *b, int64_t window_ms, int64_t now_ms);
/*
 * A call failed for a reason outside the job (err_is_outside()). One is enough when it said for how
 * long (err->after_ms), or that an operator must act (ERR_DENIED). One that was told by the
 * provider's words (told) is enough, too, when nobody has had an answer in the last
 * BREAKER_RECENT_MS; one that was concluded from silence is not.
 */
void breaker_failure(struct breaker *b, const struct err *err, bool told, int64_t now_ms);
/*
 * The configuration is another: what was held against the rater is forgotten, but for a pause that
 * a provider asked for, and what an operator opened.
 */
void breaker_forget(struct breaker *b, int64_t now_ms);
/* The probe came to nothing (no job, no call needed, its worker died), so another may try. */
void breaker_probe_unused(struct breaker *b);

/* An operator's "open breaker" and "close breaker". */
void breaker_hold(struct breaker *b, const char *reason);
void breaker_release(struct breaker *b);

#endif
