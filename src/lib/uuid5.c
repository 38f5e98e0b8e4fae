/*
 * UUIDs of version 5 by libcrypto's SHA-1; used by gradingctl only. Pure: the same name, the same
 * uuid.
 */
#include "lib/uuid5.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/log.h"

/* RFC 9562, 6.6 */
const unsigned char uuid5_namespace_dns[UUID_BYTES] = {
	0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
	0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
};
const unsigned char uuid5_namespace_url[UUID_BYTES] = {
	0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1,
	0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
};

/* The text form, x for a digit. */
static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

bool uuid5_is_uuid(const char *text)
{
	size_t i;

	for (i = 0; form[i]; i++)
		if (form[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	return text[i] == '\0';
}

static void sha1(const unsigned char *namespace, const char *name, size_t len,
		 unsigned char *digest)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context || EVP_DigestInit_ex(context, EVP_sha1(), NULL) != 1 ||
	    EVP_DigestUpdate(context, namespace, UUID_BYTES) != 1 ||
	    EVP_DigestUpdate(context, name, len) != 1 ||
	    EVP_DigestFinal_ex(context, digest, NULL) != 1)
		fatal("libcrypto cannot compute a SHA-1");
	EVP_MD_CTX_free(context);
}

void uuid5_make(const unsigned char namespace[UUID_BYTES], const char *name, size_t len,
		char out[UUID_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	sha1(namespace, name, len, digest);
	digest[6] = (unsigned char)((digest[6] & 0x0f) | 0x50);		/* version 5 */
	digest[8] = (unsigned char)((digest[8] & 0x3f) | 0x80);		/* variant 10 */
	uuid_text(digest, out);
}

void uuid5_from_id(const char *id, char out[UUID_SIZE])
{
	if (!uuid5_is_uuid(id)) {
		uuid5_make(uuid5_namespace_url, id, strlen(id), out);
		return;
	}
	for (size_t i = 0; i < UUID_SIZE; i++)
		out[i] = (char)tolower((unsigned char)id[i]);
}
