/*
 * Which tenants have a share of their own, and what it weighs (tenants in gradingd.conf(5)): by the
 * number that the database has of them. Written by the janitor, which asks for the numbers; read by
 * workers before each claim. No locks: each share is one word.
 */
#ifndef SHARES_H
#define SHARES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHARES_MAX 8

struct shares {
	_Atomic uint64_t of[SHARES_MAX];	/* number and weight; 0: none */
};

/* The janitor: number 0 for none. */
void shares_set(struct shares *s, int place, int32_t number, int32_t weight);
/* False when there is none in this place. */
bool shares_get(const struct shares *s, int place, int32_t *number, int32_t *weight);

#endif
