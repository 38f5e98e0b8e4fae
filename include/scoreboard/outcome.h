/*
 * What a reply brings for one line, written once: raters give outcomes, workers count and store
 * them, `show status` names them. Pure.
 */
#ifndef OUTCOME_H
#define OUTCOME_H

#include "scoreboard/metrics.h"

/* X(id, name for `result`, counter or COUNTER_COUNT, words for `error`) */
#define OUTCOMES(X) \
	X(PENDING,        "pending",        COUNTER_COUNT,              "not asked yet") \
	X(RATED,          "rated",          COUNTER_OUTCOME_RATED,      "rated") \
	X(MISSING,        "missing",        COUNTER_OUTCOME_MISSING, \
	  "the reply left the line out") \
	X(UNKNOWN_RATING, "unknown_rating", COUNTER_OUTCOME_UNKNOWN, \
	  "the reply used a rating outside the scale") \
	X(TRUNCATED,      "truncated",      COUNTER_OUTCOME_TRUNCATED, \
	  "the reply was cut off at its length limit") \
	X(REFUSED,        "refused",        COUNTER_OUTCOME_REFUSED, \
	  "the model or a content filter refused") \
	X(NOT_JSON,       "not_json",       COUNTER_OUTCOME_NOT_JSON,   "the reply is not JSON") \
	X(NOT_SCHEMA,     "not_schema",     COUNTER_OUTCOME_NOT_SCHEMA, \
	  "the reply is JSON of another shape") \
	X(EMPTY,          "empty",          COUNTER_OUTCOME_EMPTY,      "the reply is empty") \
	X(OVERSIZED,      "oversized",      COUNTER_OUTCOME_OVERSIZED, \
	  "the reply is larger than its cap") \
	X(DUPLICATE,      "duplicate",      COUNTER_OUTCOME_DUPLICATE, \
	  "the reply rated the line more than once") \
	X(UNKNOWN_LINE,   "unknown_line",   COUNTER_OUTCOME_UNKNOWN_LINE, \
	  "the reply numbered lines in its own way") \
	X(FAILED,         "failed",         COUNTER_OUTCOME_FAILED, \
	  "the call for the line failed")

#define X(id, name, counter, words) OUTCOME_##id,
enum outcome { OUTCOMES(X) OUTCOME_COUNT };
#undef X

const char *outcome_name(enum outcome o);	/* "unknown_rating" */
const char *outcome_words(enum outcome o);
enum counter outcome_counter(enum outcome o);	/* COUNTER_COUNT when it is not counted */

#endif
