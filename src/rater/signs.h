/*
 * What a provider's error means: whose it is, and what an operator can do. One table of signs, from
 * what providers document and really say. Pure.
 */
#ifndef SIGNS_H
#define SIGNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "complaint.h"

struct sign {
	enum err_kind kind;	/* ERR_NONE: what the lines say was refused, an outcome of theirs */
	const char *advice;	/* NULL: the provider's words will do */
	int from, to;		/* its statuses */
	const char *name;	/* NULL, or one of the complaint's names */
	const char *words;	/* NULL, or how one of its messages begins; "*": any one word */
	bool unplaced;		/* it may be about these lines, or about every request */
	bool filters;		/* what stands before the provider answers so about some lines */
};

/* The first that fits; there is one for everything. */
const struct sign *sign_of(const struct complaint *c);

/* It is about these lines, and others need not meet with it. */
bool sign_is_about_lines(const struct sign *sign);

/*
 * Which of n optional fields of the request the provider refuses by name; n when it refuses none of
 * them.
 */
size_t sign_refused_field(const struct complaint *c, const char *const *fields, size_t n);

#endif
