/*
 * When two phrases count as equal: when they differ in nothing but letter case, folded letter by
 * letter, and white space (Unicode's; runs of it are one blank, and at the ends none). "Hello,
 * Ann" and "hello, ann" are equal, "hello ann" is another phrase, and so are a composed and a
 * decomposed letter, and letters of which one folds to two (eszett and ss). Holding equal phrases
 * apart costs a call to the rater; taking others for equal would give a line the rating of another
 * one.
 */
#ifndef NORMALISE_H
#define NORMALISE_H

#include <stddef.h>

#include "base/arena.h"

/* How many bytes normalise_into() needs at most for a text of len bytes, its NUL included. */
size_t normalise_size(size_t len);

/*
 * Writes the normal form of text (len bytes) and a NUL to copy; returns its length. Bytes that are
 * not UTF-8 stay.
 */
size_t normalise_into(char *copy, const char *text, size_t len);

/* The normal form of text, in arena. */
char *normalise_dup(struct arena *arena, const char *text);

#endif
