/* A number of a text, to find it by: equal for equal texts. FNV-1a (Fowler, Noll, Vo). */
#ifndef TEXT_HASH_H
#define TEXT_HASH_H

#include <stdint.h>

static inline uint32_t text_hash(const char *text)
{
	uint32_t hash = 2166136261u;

	while (*text)
		hash = (hash ^ (unsigned char)*text++) * 16777619u;
	return hash ^ hash >> 16;
}

#endif
