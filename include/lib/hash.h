/* SHA-256 over length-prefixed parts, so that ("ab","c") and ("a","bc") differ. libcrypto's. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_HEX_SIZE 65	/* of a sum in hex, with its NUL */

/* One on its way, until hash_end(). Whatever fails in libcrypto is fatal(). */
struct hash;
struct hash *hash_begin(void);
void hash_part(struct hash *h, const void *bytes, size_t len);
void hash_string(struct hash *h, const char *text);
void hash_int(struct hash *h, int64_t number);

/* Writes the sum in hex, with a NUL; h is gone then. */
void hash_end(struct hash *h, char hex[HASH_HEX_SIZE]);

/* Plain SHA-256 of one text, in hex. */
void hash_text(const char *text, size_t len, char hex[HASH_HEX_SIZE]);

#endif
