/*
 * Signatures of webhooks, as the Standard Webhooks specification has them: HMAC-SHA256 over
 * "ID.TIMESTAMP.BODY", in base64. libcrypto's.
 */
#ifndef SIGNATURE_H
#define SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Appends the value of webhook-signature for n secrets ("whsec_" and base64), so that receivers
 * that know one of them are content: "v1,SIGNATURE v1,SIGNATURE". id and timestamp (seconds since
 * 1970) are the other two headers'. A secret that cannot be read, or a fault of libcrypto, is
 * fatal().
 */
void signature_write(struct buf *out, char *const *secrets, size_t n, const char *id,
		     int64_t timestamp, const char *body, size_t len);

#endif
