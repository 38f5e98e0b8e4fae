/* Files that travel in the binary, made at build: migrations, etc/rubric.conf, etc/prompt.txt. */
#ifndef EMBED_H
#define EMBED_H

#include <stddef.h>

struct embedded { const char *name; const char *text; size_t len; };	/* text is NUL-terminated */

extern const struct embedded embedded_migrations[];	/* numbered ones, in their order */
extern const size_t embedded_migrations_n;
extern const struct embedded embedded_functions;	/* migrations/functions.sql, applied after all of them */
extern const struct embedded embedded_rubric, embedded_prompt;

#endif
