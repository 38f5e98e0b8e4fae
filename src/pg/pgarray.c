/*
 * Writes array literals; pure. See the PostgreSQL manual, 8.15.6 "Array Input and Output Syntax".
 */
#include "pg/pgarray.h"

#include <string.h>

void pgarray_begin(struct buf *b)
{
	buf_char(b, '{');
}

static void separate(struct buf *b)
{
	if (b->len > 0 && b->data[b->len - 1] != '{')
		buf_char(b, ',');
}

void pgarray_text(struct buf *b, const char *text)
{
	separate(b);
	if (!text) {
		buf_str(b, "NULL");
		return;
	}
	buf_char(b, '"');
	while (*text) {
		size_t plain = strcspn(text, "\"\\");

		buf_add(b, text, plain);
		text += plain;
		if (*text) {
			buf_char(b, '\\');
			buf_char(b, *text++);
		}
	}
	buf_char(b, '"');
}

void pgarray_end(struct buf *b)
{
	buf_char(b, '}');
}
