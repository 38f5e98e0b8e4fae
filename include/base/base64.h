/* Base64 with its usual alphabet and padding (RFC 4648, 4). Pure; any process. */
#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>

#include "base/buf.h"

/* Appends the text that stands for the bytes. */
void base64_write(struct buf *out, const void *bytes, size_t len);

/*
 * Reads len characters of text into bytes, which has room for size. Padding may be left off.
 * Returns how many bytes they are; -1 when it is no base64, or more than size.
 */
long base64_read(const char *text, size_t len, unsigned char *bytes, size_t size);

#endif
