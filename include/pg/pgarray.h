/*
 * Array literals of Postgres ('{"a","b",NULL}'), for parameters of gradingctl that carry a column
 * of many rows.
 */
#ifndef PGARRAY_H
#define PGARRAY_H

#include "base/buf.h"

void pgarray_begin(struct buf *b);
void pgarray_text(struct buf *b, const char *text);	/* NULL becomes SQL null */
void pgarray_end(struct buf *b);

#endif
