/*
 * The host's limits: requests and tokens a minute (pace.c), open calls (window.c), and what a call
 * usually takes. Workers take and settle, the supervisor sets and shows. It sends nothing and never
 * waits.
 */
#include "scoreboard/throttle.h"

#include <limits.h>

#include "base/saturate.h"

#define FIRST_TOKENS 500		/* of a call, before any was answered */
#define FIRST_PER_MIB (INT64_C(1) << 18)	/* four bytes a token, and no guess at the reply */
#define MIB (INT64_C(1) << 20)
#define TOKENS_MAX 100000000		/* of one call, that are believed */
#define LEARN 8				/* each call moves a running mean by so small a part */
#define WINDOW_LOOK_MS 50		/* others' calls end without telling us */

/* ---- what a call takes ---- */

static int64_t usual_tokens(const struct throttle *t)
{
	int64_t usual = atomic_load_explicit(&t->usual_tokens, memory_order_relaxed);

	return usual > 0 ? usual : FIRST_TOKENS;
}

int64_t throttle_estimate(const struct throttle *t, size_t bytes)
{
	int64_t per_mib = atomic_load_explicit(&t->tokens_per_mib, memory_order_relaxed);
	int64_t known = bytes < TOKENS_MAX ? (int64_t)bytes : TOKENS_MAX;

	return sat_mul(known, per_mib > 0 ? per_mib : FIRST_PER_MIB) / MIB + 1;
}

/* Two workers at a time: one call is not learnt from. */
static void learn(_Atomic int64_t *mean, int64_t value)
{
	int64_t was = atomic_load_explicit(mean, memory_order_relaxed);
	int64_t moved = sat_add(was, sat_sub(value, was) / LEARN);

	if (moved == was && value != was)
		moved += value > was ? 1 : -1;
	atomic_store_explicit(mean, was > 0 ? moved : value, memory_order_relaxed);
}

static void learn_from(struct throttle *t, int64_t tokens, size_t bytes)
{
	learn(&t->usual_tokens, tokens);
	if (bytes > 0)
		learn(&t->tokens_per_mib, tokens * MIB / (int64_t)bytes + 1);
}

/* ---- permits ---- */

static uint32_t setting(const struct throttle *t)
{
	return atomic_load(&t->setting);
}

/* Of 6,000 a minute and given back to 1 a minute, a permit would be worth a hundred minutes. */
static bool is_share(const struct throttle *t, const struct permit *permit)
{
	return permit->held && permit->setting == setting(t);
}

void throttle_set(struct throttle *t, int64_t requests, int64_t tokens, int64_t now_ms)
{
	atomic_fetch_add(&t->setting, 1);
	pace_set(&t->requests, requests, now_ms);
	pace_set(&t->tokens, tokens, now_ms);
}

bool throttle_active(const struct throttle *t)
{
	return pace_is_set(&t->requests) || pace_is_set(&t->tokens) || window_size(&t->window) > 0;
}

int throttle_calls_open(const struct throttle *t)
{
	int64_t open = 0;

	for (int i = SLOT_FIRST_WORKER; i < SLOT_PUBLISHER; i++)
		open += atomic_load(&t->calls_open[i]);
	return open < INT_MAX ? (int)open : INT_MAX - 1;	/* one more is still a number */
}

void throttle_leave(struct throttle *t, int slot)
{
	atomic_store(&t->calls_open[slot], 0);
}

bool throttle_has_room(const struct throttle *t)
{
	int size = window_size(&t->window);

	return size == 0 || throttle_calls_open(t) < size;
}

/*
 * Counted first, looked at then: of two workers that take at the same time at least one sees the
 * other, and what is too much is put down again.
 */
static int enter_window(struct throttle *t, int slot, int wanted)
{
	int size = window_size(&t->window), over;

	atomic_fetch_add(&t->calls_open[slot], (uint32_t)wanted);
	if (size == 0)
		return wanted;
	over = throttle_calls_open(t) - size;
	if (over <= 0)
		return wanted;
	over = over < wanted ? over : wanted;
	atomic_fetch_sub(&t->calls_open[slot], (uint32_t)over);
	return wanted - over;
}

/* As many as both have. */
static int take(struct throttle *t, int wanted, int64_t tokens, int64_t now_ms, int64_t *wait_ms)
{
	int n = pace_take(&t->requests, wanted, 1, 0, now_ms, wait_ms), less;

	if (n == 0)
		return 0;
	less = pace_take(&t->tokens, n, tokens, tokens, now_ms, wait_ms);
	pace_correct(&t->requests, n - less, 1, 0, 0);
	return less;
}

int throttle_reserve(struct throttle *t, int slot, int wanted, bool any_window, int64_t now_ms,
		   struct permit *permit, int64_t *wait_ms)
{
	int places = wanted, n;

	*permit = (struct permit){ .held = true, .setting = setting(t), .at_ms = now_ms,
				   .tokens = usual_tokens(t) };
	*wait_ms = WINDOW_LOOK_MS;
	if (any_window)
		atomic_fetch_add(&t->calls_open[slot], (uint32_t)places);
	else
		places = enter_window(t, slot, wanted);
	if (places == 0)
		return 0;
	n = take(t, places, permit->tokens, now_ms, wait_ms);
	atomic_fetch_sub(&t->calls_open[slot], (uint32_t)(places - n));
	return n;
}

bool throttle_is_fresh(const struct permit *permit, int64_t now_ms)
{
	return now_ms - permit->at_ms <= PACE_FRESH_MS;
}

void throttle_give_back(struct throttle *t, const struct permit *permit, int n, int64_t now_ms)
{
	if (n <= 0 || permit->ahead || !is_share(t, permit) || !throttle_is_fresh(permit, now_ms))
		return;
	pace_correct(&t->requests, n, 1, 0, 0);
	pace_correct(&t->tokens, n, permit->tokens, 0, usual_tokens(t));
}

bool throttle_reserve_ahead(struct throttle *t, struct permit *permit, int64_t now_ms,
			    int64_t *wait_ms)
{
	int64_t tokens = usual_tokens(t), request_at, tokens_at;

	request_at = pace_take_ahead(&t->requests, 1, 0, THROTTLE_PATIENCE_MS, now_ms, wait_ms);
	if (request_at < 0)
		return false;
	tokens_at = pace_take_ahead(&t->tokens, tokens, tokens, THROTTLE_PATIENCE_MS, now_ms,
				    wait_ms);
	if (tokens_at < 0) {
		pace_correct(&t->requests, 1, 1, 0, 0);
		return false;
	}
	*permit = (struct permit){ .held = true, .setting = setting(t), .tokens = tokens,
				   .at_ms = request_at > tokens_at ? request_at : tokens_at };
	permit->ahead = permit->at_ms > now_ms;
	return true;
}

bool throttle_renew(struct throttle *t, struct permit *permit, int64_t now_ms)
{
	int64_t late = now_ms - permit->at_ms - PACE_FRESH_MS, request_at, tokens_at, wait_ms;

	if (!is_share(t, permit)) {
		permit->held = throttle_reserve_ahead(t, permit, now_ms, &wait_ms);
		return permit->held;
	}
	request_at = pace_renew(&t->requests, 1, 0, late, THROTTLE_PATIENCE_MS, now_ms, &wait_ms);
	tokens_at = request_at < 0 ? -1 :
		    pace_renew(&t->tokens, permit->tokens, usual_tokens(t), late,
			       THROTTLE_PATIENCE_MS, now_ms, &wait_ms);
	if (request_at >= 0 && tokens_at < 0)
		pace_correct(&t->requests, 1, 1, 0, 0);
	permit->held = tokens_at >= 0;
	permit->at_ms = request_at > tokens_at ? request_at : tokens_at;
	permit->ahead = true;
	return permit->held;
}

/* ---- calls ---- */

void throttle_sent(struct throttle *t, struct permit *permit, size_t bytes, int64_t now_ms)
{
	int64_t estimate = throttle_estimate(t, bytes);

	if (is_share(t, permit))
		pace_correct(&t->tokens, 1, permit->tokens, estimate, usual_tokens(t));
	permit->tokens = estimate;
	tally_add(&t->requests_sent, 1, now_ms);
}

static void never_sent(struct throttle *t, const struct call_end *end, int64_t now_ms)
{
	tally_add(&t->requests_sent, -1, end->sent_ms);
	throttle_give_back(t, &end->permit, 1, now_ms);
}

void throttle_settle(struct throttle *t, const struct call_end *end, int64_t now_ms)
{
	int64_t tokens = end->tokens < TOKENS_MAX ? end->tokens : TOKENS_MAX;

	if (end->never_sent) {
		never_sent(t, end, now_ms);
		return;
	}
	if (tokens > 0) {
		if (is_share(t, &end->permit))
			pace_correct(&t->tokens, 1, end->permit.tokens, tokens, usual_tokens(t));
		tally_add(&t->tokens_used, tokens, now_ms);
		learn_from(t, tokens, end->bytes);
	}
	if (end->limited)
		window_limited(&t->window, throttle_calls_open(t) + 1, end->sent_ms, now_ms);
	else if (end->answered && window_size(&t->window) > 0)
		window_answered(&t->window, throttle_calls_open(t) + 1, end->most);
}

int64_t throttle_wait_ms(const struct throttle *t, int64_t now_ms)
{
	int64_t requests = pace_wait_ms(&t->requests, now_ms);
	int64_t tokens = pace_wait_ms(&t->tokens, now_ms);

	return requests > tokens ? requests : tokens;
}

int64_t throttle_share_ms(const struct throttle *t)
{
	int64_t request = pace_share_ms(&t->requests, 1);
	int64_t tokens = pace_share_ms(&t->tokens, usual_tokens(t));

	return request > tokens ? request : tokens;
}
