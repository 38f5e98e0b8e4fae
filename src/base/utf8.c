/* UTF-8, strictly; pure, for any process. It knows nothing of locales and allocates nothing. */
#include "base/utf8.h"

#include <string.h>

size_t utf8_next_multibyte(const char *text, size_t len, uint32_t *code)
{
	/* The second byte's range keeps out overlong forms, surrogates, what is above U+10FFFF. */
	static const struct {
		unsigned char lo, hi, second_lo, second_hi, len, payload;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2, 0x1f }, { 0xe0, 0xe0, 0xa0, 0xbf, 3, 0x0f },
		{ 0xe1, 0xec, 0x80, 0xbf, 3, 0x0f }, { 0xed, 0xed, 0x80, 0x9f, 3, 0x0f },
		{ 0xee, 0xef, 0x80, 0xbf, 3, 0x0f }, { 0xf0, 0xf0, 0x90, 0xbf, 4, 0x07 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4, 0x07 }, { 0xf4, 0xf4, 0x80, 0x8f, 4, 0x07 },
	};
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; len && i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].lo || p[0] > forms[i].hi)
			continue;
		if (len < forms[i].len || p[1] < forms[i].second_lo || p[1] > forms[i].second_hi)
			return 0;
		*code = p[0] & forms[i].payload;
		for (size_t k = 1; k < forms[i].len; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
			*code = *code << 6 | (p[k] & 0x3f);
		}
		return forms[i].len;
	}
	return 0;
}

/*
 * Eight bytes at a time: of each, the high bit of (byte - 0x20), of (0x7e - byte) or of the byte
 * itself says that it is none. A borrow can only come from a byte that is none either.
 */
static bool is_plain_word(const char *text)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	return !(((word - 0x20 * ones) | (0x7e * ones - word) | word) & 0x80 * ones);
}

size_t utf8_plain_run(const char *text, size_t len)
{
	size_t n = 0;

	while (len - n >= sizeof(uint64_t) && is_plain_word(text + n))
		n += sizeof(uint64_t);
	while (n < len && text[n] >= 0x20 && text[n] < 0x7f)
		n++;
	return n;
}

bool utf8_is_valid(const char *text, size_t len)
{
	uint32_t code;

	for (size_t i = utf8_plain_run(text, len), n; i < len; i += n) {
		n = utf8_next(text + i, len - i, &code);
		if (!n)
			return false;
	}
	return true;
}

bool utf8_is_blank(uint32_t code)
{
	static const struct { uint32_t lo, hi; } blanks[] = {
		{ 0x09, 0x0d }, { 0x20, 0x20 }, { 0x85, 0x85 }, { 0xa0, 0xa0 }, { 0x1680, 0x1680 },
		{ 0x2000, 0x200a }, { 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f },
		{ 0x3000, 0x3000 },
	};

	for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]) && code >= blanks[i].lo; i++)
		if (code <= blanks[i].hi)
			return true;
	return false;
}

bool utf8_is_all_blank(const char *text, size_t len)
{
	uint32_t code;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_next(text + i, len - i, &code);
		if (!n || !utf8_is_blank(code))
			return false;
	}
	return true;
}

size_t utf8_cut(const char *text, size_t len, size_t cap_bytes)
{
	if (len <= cap_bytes)
		return len;
	while (cap_bytes > 0 && ((unsigned char)text[cap_bytes] & 0xc0) == 0x80)
		cap_bytes--;
	return cap_bytes;
}

static bool is_unwanted(uint32_t code, enum utf8_controls controls)
{
	if (code == 0)
		return true;
	if (controls == UTF8_KEEP_CONTROLS || (code >= 0x20 && code < 0x7f) || code > 0x9f)
		return false;
	return controls == UTF8_BLANK_CONTROLS || (code != '\n' && code != '\t');
}

size_t utf8_clean(char *text, size_t len, enum utf8_controls controls)
{
	size_t out = 0, n;
	uint32_t code;

	for (size_t i = 0; i < len; i += n ? n : 1) {
		n = utf8_plain_run(text + i, len - i);
		if (n > 0) {
			if (out < i)
				memmove(text + out, text + i, n);
			out += n;
			continue;
		}
		n = utf8_next(text + i, len - i, &code);
		if (!n) {
			text[out++] = '?';
		} else if (is_unwanted(code, controls)) {
			text[out++] = ' ';
		} else {
			memmove(text + out, text + i, n);
			out += n;
		}
	}
	return out;
}
