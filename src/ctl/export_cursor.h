/*
 * Where an export stands, as a text that its lines carry. Pure; gradingctl only.
 *
 * What is exported is told by the numbers of transactions: a pass brings the ratings that were
 * stored by transactions from `from` on and below `to`, all of which are over, in the order of their
 * keys. So none is missed that was committed late, and none comes twice, wherever a pass is
 * interrupted; the next pass begins at `to`.
 */
#ifndef EXPORT_CURSOR_H
#define EXPORT_CURSOR_H

#include <stdint.h>

#include "base/uuid.h"

#define EXPORT_CURSOR_SIZE 160		/* as text, with its NUL */
#define EXPORT_EVER INT64_MIN		/* since_us: whenever rated */

struct export_cursor {
	int64_t cluster;		/* the database cluster's identifier: numbers are its own */
	int64_t from, to;		/* transactions of the pass */
	char session[UUID_SIZE];	/* the last line that was written, */
	int64_t line;			/* -1: none of that session yet */
	int64_t since_us;		/* only what was rated since, in us of the epoch */
};

void export_cursor_text(const struct export_cursor *cursor, char text[EXPORT_CURSOR_SIZE]);

/* Reads what export_cursor_text() wrote. Returns 0, or -1 for any other text. */
int export_cursor_read(const char *text, struct export_cursor *cursor);

#endif
