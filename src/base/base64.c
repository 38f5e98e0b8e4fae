/* Writes and reads base64: signatures of webhooks, and their secrets. Pure; any process. */
#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct buf *out, const void *bytes, size_t len)
{
	const unsigned char *in = bytes;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t group = (uint32_t)in[i] << 16;

		group |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		group |= n > 2 ? in[i + 2] : 0u;
		for (unsigned k = 0; k < 4; k++)
			buf_char(out, k <= n ? alphabet[group >> (18 - 6 * k) & 63] : '=');
	}
}

/* 0 to 63, or -1. */
static int digit(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

long base64_read(const char *text, size_t len, unsigned char *bytes, size_t size)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	for (int pads = 0; pads < 2 && len > 0 && (len + (size_t)pads) % 4 == 0 &&
			   text[len - 1] == '='; pads++)
		len--;
	for (size_t i = 0; i < len; i++) {
		int value = digit(text[i]);

		if (value == -1)
			return -1;
		bits = (bits << 6 | (uint32_t)value) & 0xffffff;
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		if (n == size)
			return -1;
		bytes[n++] = (unsigned char)(bits >> held);
	}
	/* One character alone is no byte, and what is left over says nothing. */
	if (held == 6 || (bits & ((1u << held) - 1)) != 0)
		return -1;
	return (long)n;
}
