/* Takes passwords out of what people get to see. Pure. */
#ifndef MASK_H
#define MASK_H

#include "buf.h"

/*
 * Appends text with every password in it replaced by "****": those of connection strings
 * (password=...), of URIs (scheme://user:password@host) and of URI parameters (?password=...). When
 * in doubt it hides too much.
 */
void mask_secrets(const char *text, struct buf *out);

#endif
