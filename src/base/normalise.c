/*
 * The form of a phrase in which equal ones are the same bytes. Pure; any process. It knows no
 * locale: hosts share what is stored under it.
 */
#include "base/normalise.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "fold.h"

static char *put_utf8(char *out, uint32_t code)
{
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t k = n - 1; k > 0; k--, code >>= 6)
		out[k] = (char)(0x80 | (code & 0x3f));
	out[0] = (char)(n == 1 ? code : lead[n] | code);
	return out + n;
}

/* A folded character may be longer (U+023A: 2 bytes to 3), but never twice as long. */
size_t normalise_size(size_t len)
{
	return 2 * len + 1;
}

size_t normalise_into(char *copy, const char *text, size_t len)
{
	char *out = copy;
	bool blank = false;
	uint32_t code;

	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		if (text[i] == ' ') {
			blank = true;
			n = 1;
			continue;
		}
		n = utf8_next(text + i, len - i, &code);
		if (n && (code >= 0x7f || code < ' ') && utf8_is_blank(code)) {
			blank = true;
			continue;
		}
		if (blank && out > copy)
			*out++ = ' ';
		blank = false;
		if (n && code < 0x80)		/* most text */
			*out++ = (char)fold(code);
		else if (n)
			out = put_utf8(out, fold(code));
		else
			*out++ = text[i];	/* not UTF-8: kept as it is */
	}
	*out = '\0';
	return (size_t)(out - copy);
}

char *normalise_dup(struct arena *arena, const char *text)
{
	size_t len = strlen(text);
	char *copy = arena_alloc(arena, normalise_size(len));

	normalise_into(copy, text, len);
	return copy;
}
