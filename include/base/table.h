/* Rows and columns of an answer, rendered for people (aligned text) or for programs (JSON). */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct table;

/*
 * columns: NULL-terminated names (JSON keys, text headings). A table with one row and `record` set
 * is shown as "name: value" lines and as one JSON object, others as columns and as an array of
 * objects. The names must outlive the table. Out of memory shows once, at the end: every function
 * takes the NULL that table_new() then returns, and table_render() of such a table fails its
 * buffer.
 */
struct table *table_new(const char *const *columns, bool record);
void table_free(struct table *t);

/* Cells of the current row, in the order of the columns; table_row() starts a row. */
void table_row(struct table *t);
void table_text(struct table *t, const char *text);
void table_int(struct table *t, int64_t value);
void table_real(struct table *t, double value, int decimals);
void table_bool(struct table *t, bool value);
void table_null(struct table *t);		/* JSON null, "-" for people */
/* A duration: a number in JSON, a short form for people, whose heading drops the column's "_ms". */
void table_ms(struct table *t, int64_t ms);

void table_render(const struct table *t, bool json, struct buf *out);

#endif
