/*
 * A job under way with a rater that keeps what it is asked: for the tests of room grading. `g` is
 * the job, asked[] the calls that went out. In builds that look at invariants they are looked at
 * after each step.
 */
#ifndef GRADING_FIXTURE_H
#define GRADING_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "grading/grading.h"

#define CALLS 400

static char *scale[] = { "excellent", "good" };
static char *speakers[] = { "rep", "user" };
static struct config config = {
	.rater = { .scale = { scale, 2 }, .speakers = { speakers, 2 }, .alternatives = 3,
		   .lines_per_call = 20 },
	.queue = { .job_deadline_ms = 60000 },
};
static struct ask *asked[CALLS];
static size_t nasked;

static void start(struct rater *r, struct ask *ask)
{
	(void)r;
	asked[nasked++] = ask;
}

static void cancel(struct rater *r, struct ask *ask)
{
	(void)r, (void)ask;
}

static const struct rater_ops ops = { .name = "fake", .start = start, .cancel = cancel };
static struct rater rater = { .ops = &ops, .config = &config, .model = "m", .fingerprint = "f" };
static struct grading *g;
static const char *earlier;		/* the row's result */
static bool keyed;			/* whether its lines have keys */
static struct flight *const flight = (struct flight *)&g;	/* some: nobody looks into it */

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

static inline struct claimed_row make_row(const char *data, int attempts, int max_attempts,
					  int put_back)
{
	return (struct claimed_row){
		.id = "00000000-0000-0000-0000-000000000001",
		.session_id = "00000000-0000-0000-0000-000000000002",
		.job_type = "line_rating", .claim = 4711, .attempts = attempts,
		.times_claimed = attempts + 1 + put_back,
		.max_attempts = max_attempts, .result = earlier,
		.data = data, .data_bytes = (int64_t)strlen(data),
	};
}

/*
 * A job of n lines at this attempt (the first is 0), put back so many times; it is in the look-up.
 */
static inline void make_looked_up(int n, int attempts, int max_attempts, int put_back)
{
	static char data[400000];
	char *end = data + sprintf(data, "{\"transcript\":[");
	struct claimed_row row;

	for (int i = 0; i < n; i++)
		end += sprintf(end, "%s{\"speaker\":\"rep\",\"text\":\"line %d\",\"index\":%d}",
			       i ? "," : "", i, i);
	sprintf(end, "]}");
	row = make_row(data, attempts, max_attempts, put_back);
	g = grading_new(&row, &rater, keyed);
	nasked = 0;
	assert_false(grading_is_decided(g));
	grading_check(g);
}

/* The same, to be asked about. */
static inline void make(int n, int attempts, int max_attempts, int put_back)
{
	make_looked_up(n, attempts, max_attempts, put_back);
	assert_true(grading_end_lookup(g));
	grading_check(g);
}

/* The same, its first calls started. */
static inline void begin_again(int n, int attempts, int max_attempts, int put_back)
{
	make(n, attempts, max_attempts, put_back);
	grading_ask(g, &rater);
	grading_check(g);
}

static inline void begin(int n, int attempts, int max_attempts)
{
	begin_again(n, attempts, max_attempts, 0);
}

/* A new job of n lines, of which those from `first` to `last` in steps of two wait for others. */
static inline void start_with_waiting(int n, int first, int last)
{
	keyed = true;
	make(n, 0, 3, 0);
	for (int i = first; i <= last; i += 2)
		assert_true(line_wait(&g->lines[i], flight));
	grading_ask(g, &rater);
	grading_check(g);
}

static inline int teardown(void **state)
{
	(void)state;
	if (g)
		grading_free(g);
	g = NULL;
	keyed = false;
	return 0;
}

static inline void take(struct ask *ask)
{
	grading_take_answer(g, ask, &rater, false);
	if (g->calls.nopen == 0)
		grading_decide(g, &rater);
	else
		grading_ask_more(g, &rater);
	grading_check(g);
}

static inline void answer_all(struct ask *ask, enum outcome outcome)
{
	struct arena *arena = &ask->job->arena;

	if (outcome != OUTCOME_RATED)
		verdict_all(ask->verdicts, ask->nlines, outcome);
	for (size_t i = 0; outcome == OUTCOME_RATED && i < ask->nlines; i++)
		verdict_give(&ask->verdicts[i], &config, arena, "good", NULL, 0, "");
	take(ask);
}

static inline void answer_error(struct ask *ask, enum err_kind kind, int64_t after_ms,
				const char *text)
{
	ask_fail(ask, kind, "%s", text);
	ask->err->after_ms = after_ms;
	take(ask);
}

static inline void check_end(const char *status, bool attempt, const char *error)
{
	assert_true(grading_is_decided(g));
	assert_string_equal(g->settlement.status, status);
	assert_int_equal(g->settlement.attempt, attempt);
	if (error)
		assert_string_equal(g->settlement.error, error);
	else
		assert_null(g->settlement.error);
}

#endif
