/* Rows of an answer of the database, made harmless and printed for people or for programs. */
#ifndef ROWS_H
#define ROWS_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/table.h"

/* Prints the JSON in the first column of at most n rows, a line each, up to a null. */
void rows_print_json(const PGresult *result, int n);

/* Adds a text of the answer to a table that is to be rendered as JSON or for people. */
void rows_cell(struct table *t, const PGresult *result, int row, int column, bool json);

#endif
