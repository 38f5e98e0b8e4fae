/* A short list of hashes that only grows, until all of it is forgotten. It never waits. */
#include "scoreboard/learnt.h"

#include <stddef.h>

#include "base/fnv.h"

static struct learnt *ours;

void learnt_begin(struct learnt *where)
{
	ours = where;
}

/* Over both, NUL included; never 0. */
uint64_t learnt_hash(const char *about, const char *what)
{
	const char *const texts[] = { about, what };
	uint64_t hash = FNV64_BEGIN;

	for (int i = 0; i < 2; i++) {
		const char *p = texts[i];

		do
			hash = fnv64_step(hash, (unsigned char)*p);
		while (*p++);
	}
	return hash ? hash : 1;
}

bool learnt_is_known(uint64_t hash)
{
	for (int i = 0; ours && i < LEARNT_CAP; i++) {
		uint64_t known = atomic_load(&ours->hashes[i]);

		if (known == hash || known == 0)
			return known == hash;
	}
	return false;
}

bool learnt_add(uint64_t hash)
{
	for (int i = 0; ours && i < LEARNT_CAP; i++) {
		uint64_t known = 0;

		if (atomic_compare_exchange_strong(&ours->hashes[i], &known, hash))
			return true;
		if (known == hash)
			return false;
	}
	return true;
}

void learnt_forget(struct learnt *l)
{
	for (int i = LEARNT_CAP - 1; i >= 0; i--)
		atomic_store(&l->hashes[i], 0);
}
