/* Files that travel in the binary, made at build: migrations, etc/rubric.conf, etc/prompt.txt. */
#ifndef EMBED_H
#define EMBED_H

#include <stddef.h>

struct embedded {
	const char *name;	/* file name without its folders */
	const char *text;	/* content, byte for byte, with a NUL behind it */
	size_t len;		/* length of text, without that NUL */
};

/* The numbered files of migrations/, in order; at least one. */
extern const struct embedded embedded_migrations[];
extern const size_t embedded_migrations_n;

/* migrations/functions.sql, which is applied after all of them. */
extern const struct embedded embedded_functions;

/* etc/rubric.conf and etc/prompt.txt. */
extern const struct embedded embedded_rubric, embedded_prompt;

#endif
