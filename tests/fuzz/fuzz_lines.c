/*
 * Any bytes as what a program writes. The first byte is the size of the pieces they come in, the
 * second the cap. The lines must be those that a plain split gives, each cut at the cap.
 */
#include "fuzz.h"

#include "base/lines.h"

static void check_line(const struct lines *lines, const uint8_t *line, size_t len, size_t cap)
{
	size_t kept = len < cap ? len : cap;

	CHECK(lines->line.len == kept);
	CHECK(kept == 0 || memcmp(lines->line.data, line, kept) == 0);
	CHECK(lines->cut == (len > cap));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = data + 2, *end = data + size;
	struct lines lines;
	size_t piece, cap;

	if (size < 2)
		return 0;
	piece = data[0] + 1u;
	cap = data[1];
	lines_init(&lines, cap);
	for (const uint8_t *p = line; p < end; ) {
		size_t left = (size_t)(end - p) < piece ? (size_t)(end - p) : piece;

		while (left > 0) {
			size_t took = lines_feed(&lines, (const char *)p, left);

			CHECK(took > 0 && took <= left);
			CHECK(lines.whole == (p[took - 1] == '\n'));
			p += took;
			left -= took;
			check_line(&lines, line, (size_t)(p - line) - lines.whole, cap);
			if (!lines.whole)
				continue;
			line = p;
			lines_next(&lines);
		}
	}
	lines_free(&lines);
	return 0;
}
