/* SHA-256 by libcrypto's EVP; used by workers and gradingctl, never by the supervisor. */
#include "lib/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"

struct hash { EVP_MD_CTX *context; };

/* The last one, for the next: a new context costs as much as hashing a line. */
static struct hash *spare;

/* Fetched once: looking the algorithm up costs more than hashing a line. */
static const EVP_MD *sha256(void)
{
	static EVP_MD *md;

	if (!md)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!md)
		fatal("libcrypto has no SHA-256");
	return md;
}

static void to_hex(const unsigned char *digest, unsigned len, char hex[HASH_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < len; i++) {
		*hex++ = digits[digest[i] >> 4];
		*hex++ = digits[digest[i] & 15];
	}
	*hex = '\0';
}

static void update(struct hash *h, const void *bytes, size_t len)
{
	if (EVP_DigestUpdate(h->context, bytes, len) != 1)
		fatal("libcrypto cannot compute a SHA-256");
}

struct hash *hash_begin(void)
{
	struct hash *h = spare ? spare : xcalloc(1, sizeof(*h));

	spare = NULL;
	if (!h->context)
		h->context = EVP_MD_CTX_new();
	if (!h->context || EVP_DigestInit_ex2(h->context, sha256(), NULL) != 1)
		fatal("libcrypto cannot begin a SHA-256");
	return h;
}

/* In one byte order, since keys and checksums are shared between hosts. */
static void update_number(struct hash *h, uint64_t number)
{
	unsigned char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(number >> (56 - 8 * i));
	update(h, bytes, sizeof(bytes));
}

void hash_part(struct hash *h, const void *bytes, size_t len)
{
	update_number(h, len);
	update(h, bytes, len);
}

void hash_string(struct hash *h, const char *text)
{
	hash_part(h, text, strlen(text));
}

void hash_int(struct hash *h, int64_t number)
{
	update_number(h, sizeof(number));
	update_number(h, (uint64_t)number);
}

void hash_end(struct hash *h, char hex[HASH_HEX_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;

	if (EVP_DigestFinal_ex(h->context, digest, &len) != 1)
		fatal("libcrypto cannot finish a SHA-256");
	to_hex(digest, len, hex);
	if (spare) {
		EVP_MD_CTX_free(spare->context);
		free(spare);
	}
	spare = h;
}

void hash_text(const char *text, size_t len, char hex[HASH_HEX_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len;

	if (EVP_Digest(text, len, digest, &digest_len, sha256(), NULL) != 1)
		fatal("libcrypto cannot compute a SHA-256");
	to_hex(digest, digest_len, hex);
}
