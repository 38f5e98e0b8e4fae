/*
 * The word that was meant by an unknown one, found by counting slips of the pen. Any process; pure.
 */
#include "base/hint.h"

#include <string.h>

#define WORD_CAP 64		/* longer than any word of ours */

/*
 * Letters to insert, drop or change between two words; HINT_TOO_FAR when one is longer than ours
 * are.
 */
static size_t distance(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t row[WORD_CAP + 1];

	if (alen > WORD_CAP || blen > WORD_CAP)
		return HINT_TOO_FAR;
	for (size_t j = 0; j <= blen; j++)
		row[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = change < gap ? change : gap;
		}
	}
	return row[blen];
}

void hint_consider(struct hint *hint, const char *word, size_t len, const void *meaning)
{
	size_t d = distance(hint->text, strlen(hint->text), word, len);

	if (d >= hint->distance)
		return;
	hint->distance = d;
	hint->meaning = meaning;
}

const char *hint_word(const char *const *words, const char *text)
{
	struct hint hint = hint_for(text);

	for (; *words; words++)
		hint_consider(&hint, *words, strlen(*words), *words);
	return hint.meaning;
}
