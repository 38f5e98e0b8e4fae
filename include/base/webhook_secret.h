/*
 * What a webhook's secret is: "whsec_" and 24 to 64 bytes in base64, as the Standard Webhooks
 * specification has it. Pure; any process.
 */
#ifndef WEBHOOK_SECRET_H
#define WEBHOOK_SECRET_H

#include <string.h>

#include "base/base64.h"

#define WEBHOOK_SECRET_PREFIX "whsec_"
#define WEBHOOK_SECRET_MIN_BYTES 24
#define WEBHOOK_SECRET_MAX_BYTES 64

/* How many bytes the len characters of text stand for, which are put into key; -1: it is none. */
static inline long webhook_secret_read(const char *text, size_t len,
				       unsigned char key[WEBHOOK_SECRET_MAX_BYTES])
{
	size_t prefix = sizeof(WEBHOOK_SECRET_PREFIX) - 1;
	long n;

	if (len < prefix || memcmp(text, WEBHOOK_SECRET_PREFIX, prefix) != 0)
		return -1;
	n = base64_read(text + prefix, len - prefix, key, WEBHOOK_SECRET_MAX_BYTES);
	return n >= WEBHOOK_SECRET_MIN_BYTES ? n : -1;
}

#endif
