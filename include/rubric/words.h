/*
 * The words of a line of talk: lower case, apostrophes alike, with what the punctuation said about
 * them. Pure; never fails: text beyond the caps is left out.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fnv.h"

#define WORDS_CAP 1000		/* words looked at in one line */
#define WORD_CAP_BYTES 27	/* longer words are cut */

enum word_kind { WORD_PLAIN, WORD_NUMBER, WORD_MONEY, WORD_PERCENT };

struct word {
	char text[WORD_CAP_BYTES + 1];
	uint8_t len;
	uint8_t kind;		/* enum word_kind */
	bool opens;		/* first of a sentence, or after a comma, colon or dash */
	bool asks;		/* its sentence ends with a question mark */
	uint16_t sentence;
	uint32_t hash;		/* of text, by word_hash() */
};

/* The hash of each beginning of a word is a step to that of the whole. */
#define WORD_HASH_BEGIN FNV32_BEGIN
static inline uint32_t word_hash(uint32_t hash, char byte)
{
	return fnv32_step(hash, (unsigned char)byte);
}

/* Fills words with the words of text[0..len) and returns how many. */
size_t words_read(const char *text, size_t len, struct word words[WORDS_CAP]);

#endif
