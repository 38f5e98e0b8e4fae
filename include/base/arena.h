/*
 * Memory that is freed all at once: one arena a grading, dropped when the grading is settled.
 * Out of memory ends the process (fatal), so nothing here returns NULL.
 */
#ifndef ARENA_H
#define ARENA_H

#include <stddef.h>

struct arena_block;
struct arena { struct arena_block *head; };	/* to be zero-initialised */

void *arena_alloc(struct arena *a, size_t size);		/* zeroed, aligned for any type */
char *arena_dup(struct arena *a, const char *text, size_t len);	/* NUL-terminated copy */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(struct arena *a);	/* frees all; the arena may be used again */

/* malloc family for what outlives a grading; fatal() on failure, so for children only. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);

#endif
