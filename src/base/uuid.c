/* Writes and reads uuids (RFC 9562, 4: "UUID Format"); pure, for any process. */
#include "base/uuid.h"

void uuid_text(const unsigned char bytes[UUID_BYTES], char out[UUID_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

static unsigned digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) & 15;
}

void uuid_bytes(const char *text, unsigned char out[UUID_BYTES])
{
	for (int i = 0; i < UUID_BYTES; i++) {
		out[i] = 0;
		if (*text == '-')
			text++;
		for (int half = 0; half < 2 && *text; half++)
			out[i] = (unsigned char)(out[i] << 4 | digit(*text++));
	}
}
