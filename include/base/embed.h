/*
 * Files that travel in the binary: migrations, etc/rubric.conf, etc/prompt.txt. Made at build time.
 */
#ifndef EMBED_H
#define EMBED_H

#include <stddef.h>

struct embedded { const char *name; const char *text; size_t len; };	/* text is NUL-terminated */

extern const struct embedded embedded_migrations[];	/* in order of their numbers */
extern const size_t embedded_migrations_n;
extern const struct embedded embedded_rubric, embedded_prompt;

#endif
