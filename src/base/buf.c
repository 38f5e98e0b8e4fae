/* Growable buffer with a hard cap; any process. Never exits: the supervisor uses it too. */
#include "base/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void buf_init(struct buf *b, size_t cap_bytes)
{
	*b = (struct buf){ .cap_bytes = cap_bytes };
}

void buf_free(struct buf *b)
{
	free(b->data);
	buf_init(b, b->cap_bytes);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}

static bool make_room(struct buf *b, size_t more)
{
	size_t want, size = b->size ? b->size : 256;
	char *data;

	if (b->failed || more > b->cap_bytes || b->len > b->cap_bytes - more)
		return !(b->failed = true);
	want = b->len + more + 1;
	if (want <= b->size)
		return true;
	while (size < want)
		size *= 2;
	data = realloc(b->data, size);
	if (!data)
		return !(b->failed = true);
	b->data = data;
	b->size = size;
	return true;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
	if (!make_room(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_int(struct buf *b, int64_t value)
{
	char digits[24], *p = digits + sizeof(digits);
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		*--p = '-';
	buf_add(b, p, (size_t)(digits + sizeof(digits) - p));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !make_room(b, (size_t)n)) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_billionths(struct buf *b, uint64_t n)
{
	char fraction[10];
	int len = 9;

	snprintf(fraction, sizeof(fraction), "%09u", (unsigned)(n % 1000000000));
	while (len > 0 && fraction[len - 1] == '0')
		len--;
	buf_printf(b, "%" PRIu64 "%s%.*s", n / 1000000000, len ? "." : "", len, fraction);
}

void buf_json(struct buf *b, const char *text)
{
	buf_json_hiding(b, text, "");
}

void buf_json_hiding(struct buf *b, const char *text, const char *hidden)
{
	const char *end = text + strlen(text);
	char special[16] = "\"\\";
	uint32_t code;

	strncat(special, hidden, sizeof(special) - sizeof("\"\\"));
	buf_char(b, '"');
	for (size_t n; text < end; text += n ? n : 1) {
		n = utf8_plain_run(text, strcspn(text, special));
		if (n > 0) {
			buf_add(b, text, n);
			continue;
		}
		n = utf8_next(text, (size_t)(end - text), &code);
		if (n == 0) {
			buf_str(b, "\xef\xbf\xbd");
		} else if (code < 0x20 || code == 0x7f ||
			   (code < 0x7f && strchr(hidden, (int)code))) {
			buf_printf(b, "\\u%04x", (unsigned)code);
		} else {
			if (code == '"' || code == '\\')
				buf_char(b, '\\');
			buf_add(b, text, n);
		}
	}
	buf_char(b, '"');
}
