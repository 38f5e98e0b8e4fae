/* Lines out of a stream, with a cap. Any process; pure, and never exits. */
#include "base/lines.h"

#include <string.h>

#define KEEP_BYTES (16u << 10)	/* between lines a larger buffer is given back */

void lines_init(struct lines *lines, size_t cap_bytes)
{
	*lines = (struct lines){ .cut = false };
	buf_init(&lines->line, cap_bytes);
}

void lines_free(struct lines *lines)
{
	buf_free(&lines->line);
}

/* Without memory for it a line is cut like one that is too long. */
static void add(struct lines *lines, const char *bytes, size_t len)
{
	size_t room = lines->line.cap_bytes - lines->line.len;

	lines->cut |= len > room;
	buf_add(&lines->line, bytes, len < room ? len : room);
	lines->cut |= !buf_ok(&lines->line);
}

size_t lines_feed(struct lines *lines, const char *bytes, size_t len)
{
	const char *newline = len > 0 ? memchr(bytes, '\n', len) : NULL;
	size_t n = newline ? (size_t)(newline - bytes) : len;

	add(lines, bytes, n);
	lines->whole = newline != NULL;
	return newline ? n + 1 : n;
}

void lines_next(struct lines *lines)
{
	if (lines->line.size > KEEP_BYTES)
		buf_free(&lines->line);
	buf_reset(&lines->line);
	lines->cut = lines->whole = false;
}
