/*
 * What one worker has found out and all others of the host shall know, such as a field of a request
 * that the provider refuses; in the scoreboard's head. Single atomic operations only. It is
 * forgotten with the next configuration.
 */
#ifndef LEARNT_H
#define LEARNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LEARNT_CAP 64

/* Zeroed: nothing yet. */
struct learnt {
	_Atomic uint64_t hashes[LEARNT_CAP];	/* filled in order; 0: none */
};

/* Child, before the others: where this pool keeps it. Without that, nobody else is told. */
void learnt_begin(struct learnt *where);
/* Names what is known: about says under which circumstances. */
uint64_t learnt_hash(const char *about, const char *what);
bool learnt_is_known(uint64_t hash);
/* True for the first one who says so, who may tell an operator. */
bool learnt_add(uint64_t hash);
/* Supervisor: a configuration has come into force. */
void learnt_forget(struct learnt *l);

#endif
