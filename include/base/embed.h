/* Files that travel in the binary, made at build: migrations, the rubric, the prompts. */
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

/* etc/rubric.conf, etc/prompt.txt and etc/session-prompt.txt. */
extern const struct embedded embedded_rubric, embedded_prompt, embedded_session_prompt;

#endif
