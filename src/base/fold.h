/*
 * Letter case, by Unicode's simple folding: one letter becomes one letter, and letters of which one
 * capital has two small forms (final sigma) become one. A letter whose capital is ASCII stays as it
 * is, for i without a dot is another letter than i.
 */
#ifndef FOLD_H
#define FOLD_H

#include <stdint.h>

/* As fold(), for what is not ASCII. */
uint32_t fold_beyond_ascii(uint32_t code);

static inline uint32_t fold(uint32_t code)
{
	if (code >= 0x80)
		return fold_beyond_ascii(code);
	return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
}

#endif
