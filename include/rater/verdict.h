/*
 * The one place where bytes from a rater become grades. There is no default grade: a line has a
 * rating of the scale, or an outcome that says why not. Pure; fuzzed.
 */
#ifndef VERDICT_H
#define VERDICT_H

#include <stddef.h>

#include "base/arena.h"
#include "config/config.h"
#include "queue/job.h"
#include "scoreboard/outcome.h"

#define ALTERNATIVE_CAP_BYTES 2000	/* longer alternatives are cut at a character */
#define ALTERNATIVES_CAP 10
#define REASON_CAP_BYTES 2000

struct session_grade;

struct verdict {
	enum outcome outcome;
	/* One of the scale's strings, a whole session's score; NULL unless OUTCOME_RATED. */
	const char *rating;
	const char **alternatives;	/* never NULL when nalternatives > 0; no empty strings */
	size_t nalternatives;
	const char *reason;		/* "": none; of a refusal, the provider's words */
	const struct session_grade *grade;	/* of a session as a whole (session_verdict.h) */
};

/*
 * Reads a rater's reply ({"ratings": [{"line", "rating", "alternatives", "reason"}...]}) for n
 * lines, in one leading <think> block's and one Markdown fence's wrapping or none. Every verdict of
 * the n is set: RATED, or MISSING, UNKNOWN_RATING, DUPLICATE for one line,
 * or NOT_JSON, NOT_SCHEMA, EMPTY, UNKNOWN_LINE for all. Strings are copied into arena. Returns how
 * many ratings the reply held for lines nobody asked about; when lines are missing as well, nobody
 * knows which rating is whose, and all lines are UNKNOWN_LINE.
 */
size_t verdict_read(const char *reply, size_t len, const struct config *config,
		    const struct line *const *lines, size_t n, struct arena *arena,
		    struct verdict *verdicts);

/*
 * Where the JSON of a reply begins that was cut off, without the wrappings that verdict_read()
 * takes off: one leading block of thoughts, one fence. Sets *start and returns its length; 0 when
 * there is none.
 */
size_t verdict_find_cut(const char *reply, size_t len, const char **start);

/* Gives all n lines the same outcome (not RATED). */
void verdict_all(struct verdict *verdicts, size_t n, enum outcome outcome);

/* All n lines REFUSED, in these words of the provider. */
void verdict_refused(struct verdict *verdicts, size_t n, struct arena *arena, const char *words);

/*
 * One rating from a rater within this process, held to the same rules. alternatives[0..n) may be
 * any strings. Sets *v: RATED, or UNKNOWN_RATING when the scale does not have it.
 */
void verdict_give(struct verdict *v, const struct config *config, struct arena *arena,
		  const char *rating, const char *const *alternatives, size_t n,
		  const char *reason);

#endif
