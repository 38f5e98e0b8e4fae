/*
 * Rows and columns, collected as typed cells and rendered once, for people or for programs. Any
 * process; never exits when memory runs out, since the supervisor answers with it.
 */
#include "base/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define TEXT_CAP_BYTES (4 << 20)
#define GAP 2			/* blanks between columns */
#define SCRATCH 384		/* the longest double has 309 digits before its point */

enum cell_kind { CELL_NULL, CELL_TEXT, CELL_BOOL, CELL_INT, CELL_REAL, CELL_MS };

struct cell {
	enum cell_kind kind;
	int decimals;
	int64_t integer;	/* or where a text starts in texts */
	double real;
};

struct table {
	const char *const *columns;
	size_t ncolumns;
	bool record, failed;
	struct cell *cells;	/* row after row, ncolumns each */
	size_t ncells, room, nrows;
	struct buf texts;	/* all text cells, each with its NUL */
};

struct table *table_new(const char *const *columns, bool record)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->columns = columns;
	t->record = record;
	while (columns[t->ncolumns])
		t->ncolumns++;
	buf_init(&t->texts, TEXT_CAP_BYTES);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	buf_free(&t->texts);
	free(t->cells);
	free(t);
}

static void add_cell(struct table *t, struct cell cell)
{
	if (!t || t->failed)
		return;
	if (t->ncells == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		struct cell *cells = realloc(t->cells, room * sizeof(*cells));

		if (!cells) {
			t->failed = true;
			return;
		}
		t->cells = cells;
		t->room = room;
	}
	t->cells[t->ncells++] = cell;
	/* A cell too many would shift all that follow: better no answer than a wrong one. */
	if (t->ncells > t->nrows * t->ncolumns)
		t->failed = true;
}

void table_row(struct table *t)
{
	while (t && !t->failed && t->ncells < t->nrows * t->ncolumns)
		table_null(t);
	if (t)
		t->nrows++;
}

void table_text(struct table *t, const char *text)
{
	if (!t)
		return;
	add_cell(t, (struct cell){ .kind = CELL_TEXT, .integer = (int64_t)t->texts.len });
	buf_add(&t->texts, text, strlen(text) + 1);
}

void table_int(struct table *t, int64_t value)
{
	add_cell(t, (struct cell){ .kind = CELL_INT, .integer = value });
}

void table_real(struct table *t, double value, int decimals)
{
	if (!isfinite(value))
		table_null(t);		/* JSON has no word for it */
	else
		add_cell(t, (struct cell){ .kind = CELL_REAL, .real = value,
					   .decimals = decimals });
}

void table_bool(struct table *t, bool value)
{
	add_cell(t, (struct cell){ .kind = CELL_BOOL, .integer = value });
}

void table_null(struct table *t)
{
	add_cell(t, (struct cell){ .kind = CELL_NULL });
}

void table_ms(struct table *t, int64_t ms)
{
	add_cell(t, (struct cell){ .kind = CELL_MS, .integer = ms });
}

/* The last row may have been left short. */
static const struct cell *cell_at(const struct table *t, size_t row, size_t column)
{
	static const struct cell null_cell = { .kind = CELL_NULL };
	size_t i = row * t->ncolumns + column;

	return i < t->ncells ? &t->cells[i] : &null_cell;
}

/* The cell as people read it: its own text, or made in scratch. */
static const char *cell_human(const struct table *t, const struct cell *cell, char scratch[SCRATCH])
{
	switch (cell->kind) {
	case CELL_TEXT:
		return t->texts.data[cell->integer] ? t->texts.data + cell->integer : "\"\"";
	case CELL_BOOL:
		return cell->integer ? "yes" : "no";
	case CELL_INT:
		snprintf(scratch, SCRATCH, "%" PRId64, cell->integer);
		return scratch;
	case CELL_REAL:
		snprintf(scratch, SCRATCH, "%.*f", cell->decimals, cell->real);
		return scratch;
	case CELL_MS:
		return duration_human(cell->integer, scratch, SCRATCH);
	case CELL_NULL:
		break;
	}
	return "-";
}

static void cell_json(const struct table *t, const struct cell *cell, struct buf *out)
{
	struct cell ms = { .kind = CELL_INT, .integer = cell->integer };
	char scratch[SCRATCH];

	if (cell->kind == CELL_NULL)
		buf_str(out, "null");
	else if (cell->kind == CELL_TEXT)
		buf_json(out, t->texts.data + cell->integer);
	else if (cell->kind == CELL_BOOL)
		buf_str(out, cell->integer ? "true" : "false");
	else
		buf_str(out, cell_human(t, cell->kind == CELL_MS ? &ms : cell, scratch));
}

static void row_json(const struct table *t, size_t row, struct buf *out)
{
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_char(out, i ? ',' : '{');
		buf_json(out, t->columns[i]);
		buf_char(out, ':');
		cell_json(t, cell_at(t, row, i), out);
	}
	buf_char(out, '}');
}

static void render_json(const struct table *t, struct buf *out)
{
	if (t->record) {
		row_json(t, 0, out);
	} else {
		buf_char(out, '[');
		for (size_t row = 0; row < t->nrows; row++) {
			if (row)
				buf_str(out, ",\n ");
			row_json(t, row, out);
		}
		buf_char(out, ']');
	}
	buf_char(out, '\n');
}

/* Characters, near enough: every byte that does not continue one. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* A line of ours stays one line, and no text plays with the terminal. */
static void add_flat(struct buf *out, const char *text)
{
	while (*text) {
		size_t n = 0;

		while ((unsigned char)text[n] >= 0x20 && text[n] != 0x7f)
			n++;
		buf_add(out, text, n);
		text += n;
		if (*text) {
			buf_char(out, ' ');
			text++;
		}
	}
}

/* For people a heading drops the unit, since the values carry one. */
static size_t heading_width(const struct table *t, size_t column)
{
	size_t len = strlen(t->columns[column]);

	return len > 3 && strcmp(t->columns[column] + len - 3, "_ms") == 0 ? len - 3 : len;
}

static void pad(struct buf *out, size_t n)
{
	while (n-- > 0)
		buf_char(out, ' ');
}

static void render_record(const struct table *t, struct buf *out)
{
	char scratch[SCRATCH];
	size_t widest = 0;

	for (size_t i = 0; i < t->ncolumns; i++)
		if (heading_width(t, i) > widest)
			widest = heading_width(t, i);
	for (size_t i = 0; i < t->ncolumns; i++) {
		size_t len = heading_width(t, i);

		for (size_t k = 0; k < len; k++)
			buf_char(out, t->columns[i][k] == '_' ? ' ' : t->columns[i][k]);
		buf_char(out, ':');
		pad(out, widest - len + 1);
		add_flat(out, cell_human(t, cell_at(t, 0, i), scratch));
		buf_char(out, '\n');
	}
}

struct layout {
	size_t width;
	bool right;		/* only numbers in this column */
};

static struct layout lay_out(const struct table *t, size_t column)
{
	struct layout l = { heading_width(t, column), true };
	char scratch[SCRATCH];

	for (size_t row = 0; row < t->nrows; row++) {
		const struct cell *cell = cell_at(t, row, column);
		size_t width = width_of(cell_human(t, cell, scratch));

		if (width > l.width)
			l.width = width;
		if (cell->kind == CELL_TEXT || cell->kind == CELL_BOOL)
			l.right = false;
	}
	return l;
}

static void add_padded(const struct table *t, size_t column, struct layout l, const char *text,
		       struct buf *out)
{
	size_t missing = l.width - width_of(text);

	if (column)
		pad(out, GAP);
	if (l.right)
		pad(out, missing);
	add_flat(out, text);
	if (!l.right && column + 1 < t->ncolumns)
		pad(out, missing);
}

static void render_columns(const struct table *t, const struct layout *layouts, struct buf *out)
{
	char scratch[SCRATCH];

	for (size_t i = 0; i < t->ncolumns; i++) {
		snprintf(scratch, sizeof(scratch), "%.*s", (int)heading_width(t, i), t->columns[i]);
		add_padded(t, i, layouts[i], scratch, out);
	}
	buf_char(out, '\n');
	for (size_t row = 0; row < t->nrows; row++) {
		for (size_t i = 0; i < t->ncolumns; i++)
			add_padded(t, i, layouts[i], cell_human(t, cell_at(t, row, i), scratch),
				   out);
		buf_char(out, '\n');
	}
}

static void render_human(const struct table *t, struct buf *out)
{
	struct layout *layouts = calloc(t->ncolumns + 1, sizeof(*layouts));

	if (!layouts) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < t->ncolumns; i++)
		layouts[i] = lay_out(t, i);
	render_columns(t, layouts, out);
	free(layouts);
}

void table_render(const struct table *t, bool json, struct buf *out)
{
	if (!t || t->failed || !buf_ok(&t->texts))
		out->failed = true;
	else if (json)
		render_json(t, out);
	else if (t->record)
		render_record(t, out);
	else if (t->nrows == 0)
		buf_str(out, "none\n");
	else
		render_human(t, out);
}
