/* Webhooks' signatures by libcrypto's HMAC; used by the publisher alone. */
#include "lib/signature.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/webhook_secret.h"

static void sign(struct buf *out, const char *secret, const struct buf *signed_text)
{
	unsigned char key[WEBHOOK_SECRET_MAX_BYTES], mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	long n = webhook_secret_read(secret, strlen(secret), key);

	if (n == -1 || !HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)signed_text->data,
			     signed_text->len, mac, &len))
		fatal("a webhook cannot be signed");
	OPENSSL_cleanse(key, sizeof(key));
	buf_str(out, "v1,");
	base64_write(out, mac, len);
}

void signature_write(struct buf *out, char *const *secrets, size_t n, const char *id,
		     int64_t timestamp, const char *body, size_t len)
{
	struct buf text;

	buf_init(&text, strlen(id) + 32 + len);
	buf_printf(&text, "%s.%" PRId64 ".", id, timestamp);
	buf_add(&text, body, len);
	if (!buf_ok(&text))
		fatal("out of memory for a webhook");
	for (size_t i = 0; i < n; i++) {
		buf_str(out, i ? " " : "");
		sign(out, secrets[i], &text);
	}
	buf_free(&text);
}
