/* SHA-256 over length-prefixed parts, so that ("ab","c") and ("a","bc") differ. libcrypto's. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_HEX_SIZE 65

struct hash;		/* opaque; a fatal() in a child when libcrypto has no memory */
struct hash *hash_begin(void);
void hash_part(struct hash *h, const void *bytes, size_t len);
void hash_string(struct hash *h, const char *text);
void hash_int(struct hash *h, int64_t number);
void hash_end(struct hash *h, char hex[HASH_HEX_SIZE]);	/* h is gone */

/* Plain SHA-256 of one text, in hex. */
void hash_text(const char *text, size_t len, char hex[HASH_HEX_SIZE]);

#endif
