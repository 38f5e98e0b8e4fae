/*
 * FNV-1a (Fowler, Noll, Vo): a number of some bytes, to find them by or to tell them apart. Who may
 * choose the bytes can make two of the same number. File names are made of it, so the values stay
 * what they are. Any process; pure.
 */
#ifndef FNV_H
#define FNV_H

#include <stddef.h>
#include <stdint.h>

#define FNV32_BEGIN UINT32_C(2166136261)
#define FNV64_BEGIN UINT64_C(14695981039346656037)

/* A byte at a time: the number of what came before, and the next byte. */
static inline uint32_t fnv32_step(uint32_t hash, unsigned char byte)
{
	return (hash ^ byte) * UINT32_C(16777619);
}

static inline uint64_t fnv64_step(uint64_t hash, unsigned char byte)
{
	return (hash ^ byte) * UINT64_C(1099511628211);
}

static inline uint32_t fnv32(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint32_t hash = FNV32_BEGIN;

	for (size_t i = 0; i < n; i++)
		hash = fnv32_step(hash, p[i]);
	return hash;
}

/* Of a text, without its NUL. */
static inline uint32_t fnv32_text(const char *text)
{
	uint32_t hash = FNV32_BEGIN;

	while (*text)
		hash = fnv32_step(hash, (unsigned char)*text++);
	return hash;
}

static inline uint64_t fnv64_text(const char *text)
{
	uint64_t hash = FNV64_BEGIN;

	while (*text)
		hash = fnv64_step(hash, (unsigned char)*text++);
	return hash;
}

/* The place in a table of n: of the low bits alone some would be used too seldom. */
static inline size_t fnv32_place(uint32_t hash, size_t n)
{
	return (hash ^ hash >> 16) % n;
}

#endif
