/*
 * Cuts a stream of bytes into lines, holding no more than a cap of any one: what a program writes
 * may have no end. Pure; fuzzed.
 */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct lines {
	struct buf line;	/* first bytes of the line under way, without its newline */
	bool cut;		/* the line was longer than the cap */
	bool whole;		/* the newline has come: now lines_next(), then lines_feed() */
};

void lines_init(struct lines *lines, size_t cap_bytes);
void lines_free(struct lines *lines);

/*
 * Takes bytes up to and including the first newline, all of them when there is none. Returns how
 * many it took; then look at whole and cut, and come again with the rest.
 */
size_t lines_feed(struct lines *lines, const char *bytes, size_t len);
/* Forgets the line and begins a new one. */
void lines_next(struct lines *lines);

#endif
