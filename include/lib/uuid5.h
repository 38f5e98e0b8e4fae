/* Session ids from whatever an application calls its conversations: UUIDs of version 5. */
#ifndef UUID5_H
#define UUID5_H

#include <stdbool.h>
#include <stddef.h>

#include "base/uuid.h"

extern const unsigned char uuid5_namespace_dns[UUID_BYTES], uuid5_namespace_url[UUID_BYTES];

/* True for 8-4-4-4-12 hexadecimal digits and nothing else. */
bool uuid5_is_uuid(const char *text);

/* The uuid (RFC 9562, 5.5) of a name of len bytes within a namespace, in lower case. */
void uuid5_make(const unsigned char namespace[UUID_BYTES], const char *name, size_t len,
		char out[UUID_SIZE]);

/* A uuid stays itself, in lower case; any other id is a name in the namespace "URL". */
void uuid5_from_id(const char *id, char out[UUID_SIZE]);

#endif
