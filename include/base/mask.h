/* Takes passwords out of what people get to see. Pure. */
#ifndef MASK_H
#define MASK_H

#include <stdbool.h>

#include "base/buf.h"

/* A shorter one is a word like others: local servers are told "none". */
#define MASK_SECRET_MIN_BYTES 7

/* Whether the text quotes this secret, which may be NULL. */
bool mask_is_quoted(const char *secret, const char *text, size_t len);

/* Whether it quotes the value of a parameter of this URL that mask_secrets() hides. */
bool mask_is_url_quoted(const char *url, const char *text, size_t len);

/*
 * Appends text with every password in it replaced by "****": those of connection strings
 * (password=...), of URIs (scheme://user:password@host) and of URI parameters (?password=...). When
 * in doubt it hides too much.
 */
void mask_secrets(const char *text, struct buf *out);

#endif
