/*
 * A line of a job under way, and where it stands between the row and the database. graded_line.c
 * alone moves it, and keeps the struct grading_flight that follows from it.
 */
#ifndef GRADED_LINE_H
#define GRADED_LINE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "grading/cache_key.h"
#include "queue/queue.h"
#include "rater/verdict.h"

struct flight;		/* the worker's single flight's */
struct grading;

enum line_state {
	LINE_OPEN,		/* to be asked about */
	LINE_WAITING,		/* for the call about an equal line: not to be asked about */
	LINE_ASKED,		/* part of a call without an answer, which may have been given up */
	LINE_UNRATED,		/* answered or put off without a rating */
	LINE_RATED,		/* its rating is still to be stored */
	LINE_IN_DOUBT,		/* the same, but it may be stored: a settlement with it got lost */
	LINE_SENT,		/* part of the settlement under way */
	LINE_STORED,		/* in line_ratings */
	LINE_STATES,
};

struct graded_line {
	struct grading *owner;
	const struct line *line;
	char key[PHRASE_KEY_SIZE];
	bool hopeless;			/* refused when asked alone: asking is no use. calls.c's */
	bool repeated;			/* an equal line of the claim is the cached one. Worker's */
	enum line_state state;
	enum outcome outcome;		/* PENDING below LINE_UNRATED, RATED above it */
	const char *why;		/* what else is known where it has no rating, or NULL */
	struct flight *flight;		/* where it waits, or is asked about for others, or NULL */
	TAILQ_ENTRY(graded_line) waits;	/* the flight's list of those who wait */
	struct settle_line store;	/* filled where this claim has given the rating */
};

static inline bool line_is_open(const struct graded_line *gl)
{
	return gl->state == LINE_OPEN;
}

static inline bool line_is_waiting(const struct graded_line *gl)
{
	return gl->state == LINE_WAITING;
}

/* Neither a rating nor the reason why it has none has come yet. */
static inline bool line_is_pending(const struct graded_line *gl)
{
	return gl->state < LINE_UNRATED;
}

static inline bool line_is_rated(const struct graded_line *gl)
{
	return gl->state > LINE_UNRATED;
}

static inline bool line_is_to_be_stored(const struct graded_line *gl)
{
	return gl->state == LINE_RATED || gl->state == LINE_IN_DOUBT;
}

static inline bool line_is_stored(const struct graded_line *gl)
{
	return gl->state == LINE_STORED;
}

/*
 * Each moves the line, or returns false and leaves everything as it was where that cannot follow on
 * what it is. A line that ceases to wait makes its job ready (struct grading_flight).
 */
bool line_ask(struct graded_line *gl);
bool line_rate(struct graded_line *gl, const struct settle_line *store);
/* outcome: neither PENDING nor RATED. why: in the job's arena, or NULL. */
bool line_leave_unrated(struct graded_line *gl, enum outcome outcome, const char *why);
/* Whatever it was asked has come to nothing: open again, for another rater. */
bool line_reopen(struct graded_line *gl);
bool line_send(struct graded_line *gl);
/* The settlement was answered: stored, or nobody knows. */
bool line_end_sending(struct graded_line *gl, bool stored);
/* An earlier attempt has stored it. */
bool line_find_stored(struct graded_line *gl);

/* While it is pending: why it is. why: in the job's arena. */
bool line_explain(struct graded_line *gl, const char *why);

/* ---- for the worker's single flight ---- */

/* It waits in f; it waits no more, but is still f's; it is f's no more. */
bool line_wait(struct graded_line *gl, struct flight *f);
bool line_stop_waiting(struct graded_line *gl);
void line_leave_flight(struct graded_line *gl);
/* Some of its job's time went by in waiting, in vain. */
void grading_note_wait(struct grading *g);
/* Whether a line of it was set free since this was asked last. */
bool grading_take_ready(struct grading *g);

#endif
