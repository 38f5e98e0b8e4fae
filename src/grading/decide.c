/*
 * What becomes of a job under way: completed, failed, or back to the queue, when, and at whose
 * charge. Runs in workers; it fills the settlement and sends nothing. No line gets or loses a
 * rating by it.
 */
#include "grading/decide.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "grading/calls.h"
#include "grading/graded_line.h"
#include "grading/grading_settle.h"
#include "result.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS 300000
#define FREE_DELAY_MS 1000	/* when it was not the job's fault: just out of step with others */
#define RETRY_AFTER_CAP_MS 120000
#define SPREAD_MIN_MS 1000
#define WAIT_FIRST_MS 250	/* between looks whether a session is over */
#define WAIT_MAX_MS 10000

/*
 * Decided: the job gets this status ("pending" again delay_ms from now), counting an attempt or
 * not. status and error (NULL: none) outlive the settlement.
 */
static void end(struct grading *g, const char *status, bool attempt, int64_t delay_ms,
		const char *error)
{
	grading_end_asking(g);
	g->settlement.status = status;
	g->settlement.attempt = attempt;
	g->settlement.delay_ms = delay_ms;
	g->settlement.error = error;
}

/* Exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). */
static int64_t backoff_ms(int attempts)
{
	int64_t limit = BACKOFF_FIRST_MS;

	for (int i = 0; i < attempts && limit < BACKOFF_MAX_MS; i++)
		limit *= 2;
	if (limit > BACKOFF_MAX_MS)
		limit = BACKOFF_MAX_MS;
	return 1 + (int64_t)(random() % limit);
}

/* Never before what the provider asked for, spread over half as much again, at least a second. */
static int64_t retry_delay_ms(const struct err *err, int failures)
{
	int64_t asked = err ? err->after_ms : 0;
	int64_t after = asked < RETRY_AFTER_CAP_MS ? asked : RETRY_AFTER_CAP_MS;
	int64_t spread = after / 2 > SPREAD_MIN_MS ? after / 2 : SPREAD_MIN_MS;

	return after > 0 ? after + (int64_t)(random() % spread) : backoff_ms(failures);
}

/* Free of charge. What nobody can explain backs off further each time; an outage just ends. */
static void put_back(struct grading *g)
{
	int64_t delay_ms = random() % FREE_DELAY_MS;

	if (g->err->kind == ERR_UNCLEAR)
		delay_ms = retry_delay_ms(g->err, g->free_retries + g->used_free_retry);
	else if (g->err->after_ms > 0)
		delay_ms = retry_delay_ms(g->err, 0);
	end(g, "pending", false, delay_ms,
	    arena_printf(&g->job.arena, "%s; put back, no attempt counted", g->err->text));
}

static int64_t attempt_number(const struct grading *g)
{
	return (int64_t)g->job.attempts + 1;
}

static void try_again(struct grading *g, const char *names)
{
	end(g, "pending", true, retry_delay_ms(g->err, g->job.attempts),
	    arena_printf(&g->job.arena, "%s; attempt %" PRId64 " of %d, it will be tried again",
			 names, attempt_number(g), g->job.max_attempts));
}

/* The lines without a rating end as they are; those that have one are not lost with them. */
static void give_up(struct grading *g, const char *names, bool any_rated)
{
	const char *error = names;

	if (grading_is_last_attempt(g))
		error = arena_printf(&g->job.arena, "%s; that was attempt %" PRId64 " of %d", names,
				     attempt_number(g), g->job.max_attempts);
	end(g, any_rated ? "completed" : "failed", true, 0, error);
}

static size_t count_unrated(const struct grading *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->job.nrated; i++)
		n += !line_is_rated(&g->lines[i]);
	return n;
}

/* Of a refusal that may be everybody's nobody knows yet. */
static bool is_hopeless(const struct grading *g, const struct graded_line *gl)
{
	return !line_is_rated(gl) && gl->hopeless &&
	       !(g->calls.in_doubt && gl->outcome == OUTCOME_FAILED);
}

static size_t count_hopeless(const struct grading *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->job.nrated; i++)
		n += is_hopeless(g, &g->lines[i]);
	return n;
}

void grading_decide(struct grading *g, const struct rater *rater)
{
	enum err_kind kind = err_kind(g->err);
	size_t unrated = count_unrated(g), hopeless = count_hopeless(g);
	const char *names = unrated ? result_name_unrated(g, unrated) : NULL;
	bool pending;

	if (unrated == 0)
		end(g, "completed", false, 0, NULL);
	else if (unrated > hopeless && (err_is_outside(kind) || kind == ERR_UNCLEAR))
		put_back(g);
	else if (unrated > hopeless && !grading_is_last_attempt(g))
		try_again(g, names);
	else
		give_up(g, names, unrated < g->job.nrated);
	pending = strcmp(g->settlement.status, "pending") == 0;
	if (!pending)
		g->nfailed = g->job.whole ? 0 : unrated;
	if (!pending || g->calls.answered)	/* else it stays as earlier attempts left it */
		g->settlement.result = result_write(g, rater, unrated);
}

void grading_decide_for(struct grading *g, const struct err *err, const struct rater *rater)
{
	const char *why = arena_printf(&g->job.arena, "%s", err->text);

	for (size_t i = 0; i < g->job.nrated; i++)
		line_explain(&g->lines[i], why);
	grading_note_failure(g, err);
	grading_decide(g, rater);
}

void grading_release(struct grading *g, const char *why, int64_t delay_ms)
{
	end(g, "pending", false, delay_ms, why);
	if (g->calls.answered)
		g->settlement.result = result_write(g, g->rater, count_unrated(g));
}

void grading_end_unreadable(struct grading *g, const char *why)
{
	end(g, "failed", true, 0, arena_printf(&g->job.arena, "%s", why));
}

void grading_wait_for_others(struct grading *g, const char *earlier, int64_t delay_ms,
			     const char *why)
{
	end(g, "pending", false, delay_ms,
	    arena_printf(&g->job.arena, "%s; it waits for them once", why));
	g->settlement.result = result_mark_waited(g, earlier);
}

/* Twice as long each time: sessions take from milliseconds to days. */
static int64_t wait_ms(int waits)
{
	int64_t delay = WAIT_FIRST_MS;

	for (int i = 0; i < waits && delay < WAIT_MAX_MS; i++)
		delay *= 2;
	return delay < WAIT_MAX_MS ? delay : WAIT_MAX_MS;
}

void grading_wait_for_session(struct grading *g, const char *earlier, const char *why)
{
	int64_t delay_ms = wait_ms(g->whole.waits);

	end(g, "pending", false, delay_ms + random() % (delay_ms / 4),
	    arena_printf(&g->job.arena, "%s", why));
	g->whole.waiting = true;
	g->settlement.result = result_mark_waits(g, earlier, ++g->whole.waits);
}

void grading_end_unstorable(struct grading *g, const char *why)
{
	grading_keep_lines_back(g);
	g->settlement.result = NULL;
	grading_end_unreadable(g, why);
}

void grading_use_free_retry(struct grading *g)
{
	g->used_free_retry = true;
}
