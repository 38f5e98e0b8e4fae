/* UTF-8 from outside: decoded strictly (RFC 3629), cut at characters, made harmless. */
#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As utf8_next(), for what is not ASCII. */
size_t utf8_next_multibyte(const char *text, size_t len, uint32_t *code);

/* Length of the well-formed character at text and its code; 0 when there is none. */
static inline size_t utf8_next(const char *text, size_t len, uint32_t *code)
{
	if (len == 0 || (unsigned char)*text >= 0x80)
		return utf8_next_multibyte(text, len, code);
	*code = (unsigned char)*text;
	return 1;
}

/* How many printable ASCII characters, blanks among them, text begins with: often all of it. */
size_t utf8_plain_run(const char *text, size_t len);

bool utf8_is_valid(const char *text, size_t len);
bool utf8_is_blank(uint32_t code);		/* Unicode White_Space */
bool utf8_is_all_blank(const char *text, size_t len);	/* also when len is 0 */

/* How many bytes of valid text fit into cap_bytes without splitting a character. */
size_t utf8_cut(const char *text, size_t len, size_t cap_bytes);

enum utf8_controls {
	UTF8_BLANK_CONTROLS,		/* all control characters become blanks */
	UTF8_BLANK_BUT_LINES,		/* all but newline and tab */
	UTF8_KEEP_CONTROLS,		/* only NUL becomes a blank */
};

/*
 * Makes text[0..len) valid UTF-8 without NUL, in place and never longer: bytes that are not UTF-8
 * become '?', control characters (C0, DEL, C1) as asked. Returns the new length.
 */
size_t utf8_clean(char *text, size_t len, enum utf8_controls controls);

#endif
