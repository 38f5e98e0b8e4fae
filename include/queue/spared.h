/*
 * Rows that are left alone for a while, known by a hash of their names. A memory of fixed size: it
 * forgets a row only when more are left alone in one part of it than there is room for, and a row
 * that is forgotten is tried again too early. Pure but for its memory, which it takes when the
 * first row comes.
 */
#ifndef SPARED_H
#define SPARED_H

#include <stdbool.h>
#include <stdint.h>

struct spared_row {
	uint64_t name;
	int64_t until_ms;
	int64_t pause_ms;		/* 0: no row */
	bool alone;			/* when it is tried again, then apart from others */
	bool said;
};

/* Zeroed: empty. */
struct spared { struct spared_row *rows; };

uint64_t spared_name(const char *text);

/* What is known of the row: it is left alone, or was until lately. NULL: nothing. */
struct spared_row *spared_find(const struct spared *a, uint64_t name, int64_t now_ms);
static inline bool spared_waits(const struct spared_row *row, int64_t now_ms)
{
	return row && now_ms < row->until_ms;
}

/* Leaves it alone from now on, for first_ms, and twice as long each further time up to most_ms. */
struct spared_row *spared_put(struct spared *a, uint64_t name, int64_t first_ms, int64_t most_ms,
			    int64_t now_ms);
void spared_drop(struct spared *a, uint64_t name, int64_t now_ms);

/* How long until the next of them is to be tried again; -1: none waits. */
int64_t spared_next_ms(const struct spared *a, int64_t now_ms);
void spared_free(struct spared *a);

#endif
