/* Comma-separated values. Pure; gradingctl only. It knows no table and prints nothing. */
#include "csv.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"	/* U+FFFD */

/* What spreadsheets take for the beginning of a formula. */
static bool begins_formula(const char *text, size_t len)
{
	uint32_t code;

	if (utf8_next(text, len, &code) == 0)
		return false;
	switch (code) {
	case '=': case '+': case '-': case '@': case '\t': case '\r': case '\n':
	case 0xff1d: case 0xff0b: case 0xff0d: case 0xff20:
		return true;
	default:
		return false;
	}
}

static bool is_control(uint32_t code)
{
	return (code < ' ' && code != '\t' && code != '\n') || (code >= 0x7f && code < 0xa0);
}

/* Returns how many bytes were taken. */
static size_t put_character(struct buf *out, const char *at, size_t left)
{
	uint32_t code;
	size_t n = utf8_next(at, left, &code);

	if (*at == '\r') {
		buf_char(out, '\n');
		return left > 1 && at[1] == '\n' ? 2 : 1;
	}
	if (n == 0 || is_control(code))
		buf_str(out, REPLACEMENT);
	else if (*at == '"')
		buf_str(out, "\"\"");
	else
		buf_add(out, at, n);
	return n ? n : 1;
}

void csv_text(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	bool formula = begins_formula(text, len);
	bool quoted = strpbrk(text, ",\"\r\n") || (len && (text[0] == ' ' || text[len - 1] == ' '));

	buf_str(out, quoted ? "\"" : "");
	buf_str(out, formula ? "'" : "");
	for (size_t i = 0; i < len;)
		i += put_character(out, text + i, len - i);
	buf_str(out, quoted ? "\"" : "");
}
