/*
 * What somebody meant who wrote a word that is not known: the nearest one, at most two letters
 * away. Pure.
 */
#ifndef HINT_H
#define HINT_H

#include <stddef.h>

#define HINT_TOO_FAR 3		/* so many slips of the pen make it another word */

struct hint {
	const char *text;		/* the word as written */
	size_t distance;		/* letters between it and the best word so far */
	const void *meaning;		/* what that word stands for; NULL when none is near */
};

static inline struct hint hint_for(const char *text)
{
	return (struct hint){ .text = text, .distance = HINT_TOO_FAR };
}

/*
 * Takes the word (len bytes of it) as the best when it is nearer than those before; of equally near
 * ones the first stays. meaning is the caller's.
 */
void hint_consider(struct hint *hint, const char *word, size_t len, const void *meaning);

/* The one of words (NULL-terminated) that was meant by text; NULL when none is near. */
const char *hint_word(const char *const *words, const char *text);

#endif
