/*
 * Phrases as a coach writes them, and the lists of them that a line of talk contains. Pure. In a
 * phrase, words are separated by blanks, and
 *
 *	save*		is any word that begins with "save"
 *	call|text	is either word
 *	*		is any one word
 *	...		is up to three words, or none
 *	# $ %		are a number, an amount of money, a percentage
 *	^ first		asks that the phrase begins a sentence or clause
 *	? last		asks that its sentence is a question
 *
 * A phrase never reaches over the end of a sentence. "don't" stands for "dont" as well.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "rubric/words.h"

#define PHRASE_CAP_BYTES 400
#define PHRASE_WORDS_CAP 12	/* words, gaps and choices in one phrase */
#define CHOICES_CAP 48		/* words separated by | in one place */

struct patterns;

struct patterns *patterns_new(void);
void patterns_free(struct patterns *p);		/* NULL is fine */

/*
 * Adds a phrase to a list. Returns -1 and err when it is not well formed (a reason without place).
 */
int patterns_add(struct patterns *p, const char *phrase, unsigned list, struct err *err);

/*
 * Adds a word that does not count at the start of a sentence: with "so", "So, why?" begins at
 * "why".
 */
int patterns_add_opener(struct patterns *p, const char *word, struct err *err);

/* After the last phrase and before the first scan. */
void patterns_seal(struct patterns *p);

/* Sets found[list] for each list one of whose phrases is in the words; leaves the others alone. */
void patterns_scan(const struct patterns *p, const struct word *words, size_t n, bool *found);

#endif
