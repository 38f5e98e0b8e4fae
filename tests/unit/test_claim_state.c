/*
 * claim_state.c: every transition that claiming may make. What cannot happen is a broken invariant
 * in builds with sanitizers, which is not tried here, and is ignored elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/claim_state.h"

static void check(enum claim_state from, enum claim_event event, enum claim_state to)
{
	assert_string_equal(claim_state_name(claim_state_after(from, event)), claim_state_name(to));
}

static void test_a_claim_that_brings_jobs(void **state)
{
	(void)state;
	check(CLAIM_READY, CLAIM_ON_SEND, CLAIM_SENT);
	check(CLAIM_SENT, CLAIM_ON_ANSWER, CLAIM_READY);
}

static void test_an_empty_queue_waits_for_a_wake(void **state)
{
	(void)state;
	check(CLAIM_SENT, CLAIM_ON_EMPTY, CLAIM_EXHAUSTED);
	check(CLAIM_EXHAUSTED, CLAIM_ON_WAKE, CLAIM_READY);
	check(CLAIM_READY, CLAIM_ON_WAKE, CLAIM_READY);
}

static void test_woken_while_a_claim_is_on_its_way_it_looks_again(void **state)
{
	(void)state;
	check(CLAIM_SENT, CLAIM_ON_WAKE, CLAIM_SENT_STALE);
	check(CLAIM_SENT_STALE, CLAIM_ON_WAKE, CLAIM_SENT_STALE);
	check(CLAIM_SENT_STALE, CLAIM_ON_EMPTY, CLAIM_READY);
	check(CLAIM_SENT_STALE, CLAIM_ON_ANSWER, CLAIM_READY);
	check(CLAIM_SENT_STALE, CLAIM_ON_FAILURE, CLAIM_READY);
}

static void test_a_claim_that_is_refused_is_followed_by_a_step(void **state)
{
	(void)state;
	check(CLAIM_SENT, CLAIM_ON_FAILURE, CLAIM_READY);
	check(CLAIM_READY, CLAIM_ON_STEP, CLAIM_STEP);
	check(CLAIM_STEP, CLAIM_ON_WAKE, CLAIM_STEP);
	check(CLAIM_STEP, CLAIM_ON_STEPPED, CLAIM_READY);
}

/* What is refused may be the last there is: then the queue is as empty after a step as before. */
static void test_a_step_leaves_an_empty_queue_empty_unless_it_was_woken(void **state)
{
	(void)state;
	check(CLAIM_EXHAUSTED, CLAIM_ON_STEP, CLAIM_STEP_EXHAUSTED);
	check(CLAIM_STEP_EXHAUSTED, CLAIM_ON_STEPPED, CLAIM_EXHAUSTED);
	check(CLAIM_STEP_EXHAUSTED, CLAIM_ON_WAKE, CLAIM_STEP);
}

static void test_every_state_has_a_name(void **state)
{
	(void)state;
	for (int s = 0; s < CLAIM_STATE_COUNT; s++)
		assert_string_not_equal(claim_state_name((enum claim_state)s), "?");
	assert_string_equal(claim_state_name(CLAIM_STATE_COUNT), "?");
}

/* No state is a dead end: from each of them a claim can be sent again. */
static void test_every_state_leads_back_to_ready(void **state)
{
	static const enum claim_event out[CLAIM_STATE_COUNT] = {
		[CLAIM_READY] = CLAIM_ON_WAKE, [CLAIM_SENT] = CLAIM_ON_ANSWER,
		[CLAIM_SENT_STALE] = CLAIM_ON_ANSWER, [CLAIM_EXHAUSTED] = CLAIM_ON_WAKE,
		[CLAIM_STEP] = CLAIM_ON_STEPPED,
	};

	(void)state;
	for (int s = 0; s < CLAIM_STATE_COUNT; s++)
		if (s != CLAIM_STEP_EXHAUSTED)
			check((enum claim_state)s, out[s], CLAIM_READY);
	check(CLAIM_STEP_EXHAUSTED, CLAIM_ON_STEPPED, CLAIM_EXHAUSTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_claim_that_brings_jobs),
		cmocka_unit_test(test_an_empty_queue_waits_for_a_wake),
		cmocka_unit_test(test_woken_while_a_claim_is_on_its_way_it_looks_again),
		cmocka_unit_test(test_a_claim_that_is_refused_is_followed_by_a_step),
		cmocka_unit_test(test_a_step_leaves_an_empty_queue_empty_unless_it_was_woken),
		cmocka_unit_test(test_every_state_has_a_name),
		cmocka_unit_test(test_every_state_leads_back_to_ready),
	};

	return cmocka_run_group_tests_name("claim_state", tests, NULL, NULL);
}
