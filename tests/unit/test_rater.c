/*
 * rater.c: done-list, fingerprint and what a backend may leave out, with backends of the test's
 * own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rater/rater.h"

static int opened, closed, cancelled;

static int open_fine(struct rater *rater, struct err *err)
{
	(void)err;
	opened++;
	rater_set_fingerprint(rater, NULL, 0);
	return 0;
}

static int open_fails(struct rater *rater, struct err *err)
{
	(void)rater;
	return err_set(err, ERR_CONFIG, "no key");
}

static void start_at_once(struct rater *rater, struct ask *ask)
{
	verdict_all(ask->verdicts, ask->nlines, OUTCOME_EMPTY);
	rater_done(rater, ask);
}

static void cancel_it(struct rater *rater, struct ask *ask)
{
	(void)rater;
	(void)ask;
	cancelled++;
}

static void close_it(struct rater *rater)
{
	(void)rater;
	closed++;
}

static const struct rater_ops fine = {
	.name = "fine", .open = open_fine, .start = start_at_once,
	.cancel = cancel_it, .close = close_it,
};
static const struct rater_ops broken = {
	.name = "broken", .open = open_fails, .start = start_at_once,
	.cancel = cancel_it, .close = close_it,
};

static int check_fails(const struct rater *rater, struct err *err)
{
	(void)rater;
	return err_set(err, ERR_CONFIG, "no program");
}

static bool stop_at_once(struct rater *rater, bool at_once)
{
	(void)rater;
	return at_once;
}

static const struct rater_ops outside = {
	.name = "outside", .open = open_fine, .start = start_at_once,
	.cancel = cancel_it, .close = close_it, .check = check_fails, .stop = stop_at_once,
};

static char *scale[] = { "good", "poor" };

static struct config make_config(void)
{
	return (struct config){ .rater = { .scale = { scale, 2 }, .alternatives = 3 } };
}

static void test_a_backend_is_opened_and_closed(void **state)
{
	struct config config = make_config();
	struct err err = { 0 };
	struct rater *rater = rater_new(&fine, false, &config, NULL, &err);

	(void)state;
	assert_non_null(rater);
	assert_ptr_equal(rater->ops, &fine);
	assert_ptr_equal(rater->config, &config);
	assert_int_equal(opened, 1);
	rater_cancel(rater, &(struct ask){ 0 });
	assert_int_equal(cancelled, 1);
	rater_free(rater);
	assert_int_equal(closed, 1);
	rater_free(NULL);
}

static void test_a_cancelled_answer_is_taken_off_the_list(void **state)
{
	struct config config = make_config();
	struct ask asks[4] = { 0 };
	struct err err = { 0 };
	struct rater *rater = rater_new(&fine, false, &config, NULL, &err);

	(void)state;
	cancelled = 0;
	for (int i = 0; i < 4; i++)
		rater_start(rater, &asks[i]);
	rater_cancel(rater, &asks[3]);		/* the last: the list's end must move */
	rater_cancel(rater, &asks[1]);
	assert_int_equal(cancelled, 0);		/* the backend was done with them */
	asks[1].done = false;
	rater_done(rater, &asks[1]);
	assert_ptr_equal(rater_next_done(rater), &asks[0]);
	assert_ptr_equal(rater_next_done(rater), &asks[2]);
	assert_ptr_equal(rater_next_done(rater), &asks[1]);
	assert_null(rater_next_done(rater));
	rater_cancel(rater, &asks[0]);		/* taken already */
	rater_free(rater);
}

static void test_a_backend_that_cannot_open_is_reported(void **state)
{
	struct config config = make_config();
	struct err err = { 0 };

	(void)state;
	closed = 0;
	assert_null(rater_new(&broken, false, &config, NULL, &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_string_equal(err.text, "no key");
	assert_int_equal(closed, 0);
}

static void test_a_backend_says_what_it_runs_outside(void **state)
{
	struct config config = make_config();
	struct err err;
	struct rater *rater = rater_new(&fine, false, &config, NULL, &err);
	struct rater *other = rater_new(&outside, true, &config, NULL, &err);

	(void)state;
	assert_string_not_equal(rater->fingerprint, other->fingerprint);
	assert_int_equal(rater_check(rater, &err), 0);		/* has nothing to check or stop */
	assert_true(rater_stop(rater, false));
	assert_int_equal(rater_check(other, &err), -1);
	assert_string_equal(err.text, "no program");
	assert_false(rater_stop(other, false));
	assert_true(rater_stop(other, true));
	assert_int_equal(rater_check(NULL, &err), 0);
	assert_true(rater_stop(NULL, false));
	rater_free(rater);
	rater_free(other);
}

static void test_done_asks_come_in_order(void **state)
{
	struct config config = make_config();
	struct rater *rater = rater_new(&fine, false, &config, NULL, NULL);
	struct verdict v[3];
	struct ask asks[3] = {
		{ .verdicts = &v[0], .nlines = 1 }, { .verdicts = &v[1], .nlines = 1 },
		{ .verdicts = &v[2], .nlines = 1 },
	};

	(void)state;
	assert_null(rater_next_done(rater));
	rater_start(rater, &asks[0]);
	rater_start(rater, &asks[1]);
	assert_ptr_equal(rater_next_done(rater), &asks[0]);
	rater_start(rater, &asks[2]);
	assert_ptr_equal(rater_next_done(rater), &asks[1]);
	assert_ptr_equal(rater_next_done(rater), &asks[2]);
	assert_null(rater_next_done(rater));
	assert_int_equal(rater->in_flight, 0);
	rater_start(rater, &asks[0]);			/* an emptied list takes more */
	assert_ptr_equal(rater_next_done(rater), &asks[0]);
	assert_null(rater_next_done(rater));
	assert_int_equal(v[2].outcome, OUTCOME_EMPTY);
	rater_free(rater);
}

static void test_fingerprint_follows_every_part(void **state)
{
	static const char *const one[] = { "poor", "x" }, *const two[] = { "x", "poor" };
	struct config config = make_config();
	struct rater *rater = rater_new(&fine, false, &config, NULL, NULL);
	char seen[6][65];

	(void)state;
	rater_set_fingerprint(rater, one, 2);
	strcpy(seen[0], rater->fingerprint);
	rater_set_fingerprint(rater, two, 2);
	strcpy(seen[1], rater->fingerprint);
	config.rater.alternatives = 2;
	rater_set_fingerprint(rater, one, 2);
	strcpy(seen[2], rater->fingerprint);
	config.rater.alternatives = 3;
	config.rater.scale.n = 1;	/* "good" and the part "poor" are no scale of two */
	rater_set_fingerprint(rater, one, 2);
	strcpy(seen[3], rater->fingerprint);
	config.rater.scale.n = 2;
	rater_set_fingerprint(rater, one + 1, 1);
	strcpy(seen[4], rater->fingerprint);
	rater->ops = &broken;
	rater_set_fingerprint(rater, one, 2);
	strcpy(seen[5], rater->fingerprint);
	for (int a = 0; a < 6; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(seen[a], seen[b]);
	rater->ops = &fine;
	rater_set_fingerprint(rater, one, 2);
	assert_string_equal(rater->fingerprint, seen[0]);
	rater_free(rater);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_backend_is_opened_and_closed),
		cmocka_unit_test(test_a_cancelled_answer_is_taken_off_the_list),
		cmocka_unit_test(test_a_backend_that_cannot_open_is_reported),
		cmocka_unit_test(test_a_backend_says_what_it_runs_outside),
		cmocka_unit_test(test_done_asks_come_in_order),
		cmocka_unit_test(test_fingerprint_follows_every_part),
	};

	return cmocka_run_group_tests_name("rater", tests, NULL, NULL);
}
