/*
 * Where bytes from a rater become the grade of a session as a whole, beside verdict.h, which makes
 * those of lines. There is no default grade: all its parts are there and of the right kind, or an
 * outcome says why not. Pure; fuzzed.
 */
#ifndef SESSION_VERDICT_H
#define SESSION_VERDICT_H

#include "rater/verdict.h"

#define SESSION_SCORE_MAX 100
#define SESSION_POINTS_CAP 10		/* strengths, and improvements; more are left out */
#define SESSION_TEXT_CAP_BYTES 2000	/* of each, and of the summary; cut at a character */

struct session_grade {
	int score;			/* 0 to SESSION_SCORE_MAX */
	const char *summary;		/* not empty */
	const char *strengths[SESSION_POINTS_CAP];	/* none of them empty */
	size_t nstrengths;
	const char *improvements[SESSION_POINTS_CAP];
	size_t nimprovements;
};

/*
 * Reads {"score", "summary", "strengths", "improvements"}, wrapped as verdict_read() takes it;
 * other keys are left alone. Sets *v: RATED, with v->grade and the score in digits as its rating, in
 * arena; UNKNOWN_RATING for a score that is out of range; EMPTY, NOT_JSON, or NOT_SCHEMA. v->reason
 * says what was wrong.
 */
void session_verdict_read(const char *reply, size_t len, const struct config *config,
			  struct arena *arena, struct verdict *v);

/* A grade from a rater within this process, held to the same rules. Texts may be any strings. */
void session_verdict_give(struct verdict *v, const struct config *config, struct arena *arena,
			  int64_t score, const char *summary, const char *const *strengths,
			  size_t nstrengths, const char *const *improvements,
			  size_t nimprovements);

#endif
