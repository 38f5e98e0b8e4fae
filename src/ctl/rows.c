/*
 * Texts from the database: others have written them, so all that is printed of them goes through
 * here.
 */
#include "rows.h"

#include <stdio.h>

#include "base/buf.h"
#include "ctl/term.h"

#define TEXT_CAP_BYTES (64 << 20)

void rows_print_json(const PGresult *result, int n)
{
	struct buf line;

	buf_init(&line, TEXT_CAP_BYTES);
	for (int row = 0; row < n && !PQgetisnull(result, row, 0); row++) {
		buf_reset(&line);
		term_json(&line, PQgetvalue(result, row, 0));
		puts(buf_text(&line));
	}
	buf_free(&line);
}

/* For people a text is made harmless here, for programs when all of the JSON is printed. */
void rows_cell(struct table *t, const PGresult *result, int row, int column, bool json)
{
	struct buf clean;

	if (PQgetisnull(result, row, column)) {
		table_null(t);
		return;
	}
	buf_init(&clean, TEXT_CAP_BYTES);
	term_escape(&clean, PQgetvalue(result, row, column));
	table_text(t, json ? PQgetvalue(result, row, column) : buf_text(&clean));
	buf_free(&clean);
}
