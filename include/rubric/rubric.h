/*
 * The rubric's judgement of one line: the same rules, line and customer's line give the same
 * rating, reason and alternatives, always. Pure: no clock, no chance, no memory of other lines.
 */
#ifndef RUBRIC_H
#define RUBRIC_H

#include "rubric/rules.h"

#define RUBRIC_ALTERNATIVES_CAP 3	/* offered for one line */

struct rubric_rating {
	const char *rating;		/* the rules' own string */
	const char *reason;		/* in arena */
	int score;
	const char *alternatives[RUBRIC_ALTERNATIVES_CAP];	/* the rules', or in arena */
	size_t nalternatives;
};

/*
 * Rates a line. customer is what the customer said just before, or NULL where that is not known (or
 * not to be used): then signals that need it are not found.
 */
void rubric_rate(const struct rules *rules, const char *line, const char *customer,
		 struct arena *arena, struct rubric_rating *out);

#endif
