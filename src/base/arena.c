/*
 * Memory freed all at once, and the malloc family that ends a child; never used by the supervisor.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Small: hundreds of arenas wait at once, each with half of its last block free. */
#define BLOCK_BYTES 1024
#define LARGE_BYTES (BLOCK_BYTES / 2)	/* such a piece has a block to itself */

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	max_align_t data[];
};

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		fatal("out of memory: %zu x %zu bytes", n, size);
	return p;
}

void *xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		fatal("out of memory: %zu bytes", size);
	return p;
}

char *xstrdup(const char *s)
{
	size_t len = strlen(s);

	return memcpy(xcalloc(1, len + 1), s, len);
}

static struct arena_block *add_block(struct arena_block **at, size_t size)
{
	struct arena_block *b = xrealloc(NULL, sizeof(*b) + size);

	*b = (struct arena_block){ .next = *at, .size = size };
	*at = b;
	return b;
}

/* A large piece goes behind the first block, which still has room for small ones. */
void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->head;
	size_t align = sizeof(max_align_t);
	void *p;

	if (size > SIZE_MAX / 2)
		fatal("out of memory: %zu bytes", size);
	size = (size + align - 1) / align * align;
	if (!b || b->size - b->used < size)
		b = size < LARGE_BYTES ? add_block(&a->head, BLOCK_BYTES)
				       : add_block(b ? &b->next : &a->head, size);
	p = (char *)b->data + b->used;
	b->used += size;
	return memset(p, 0, size);
}

char *arena_dup(struct arena *a, const char *text, size_t len)
{
	char *p = arena_alloc(a, len + 1);

	memcpy(p, text, len);
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	int n;
	char *p;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		fatal("cannot format a text");
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

void arena_free(struct arena *a)
{
	while (a->head) {
		struct arena_block *b = a->head;

		a->head = b->next;
		free(b);
	}
}
