/* A uuid as bytes and as text. Pure; any process. */
#ifndef UUID_H
#define UUID_H

#define UUID_BYTES 16
#define UUID_SIZE 37		/* as text, with its NUL */

/* In lower case, with its hyphens. */
void uuid_text(const unsigned char bytes[UUID_BYTES], char out[UUID_SIZE]);
/* The bytes of what uuid_text() wrote; any other text gives some bytes, never an error. */
void uuid_bytes(const char *text, unsigned char out[UUID_BYTES]);

#endif
