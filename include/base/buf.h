/*
 * Growable byte buffer with a hard cap. A failed append (cap reached or no memory) sets `failed`,
 * and everything after it is ignored: write a whole text, then ask buf_ok() once.
 */
#ifndef BUF_H
#define BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;		/* text so far with a NUL behind it; NULL before the first append */
	size_t len;		/* bytes in data, without the NUL */
	size_t size;		/* bytes allocated */
	size_t cap_bytes;	/* limit of len */
	bool failed;		/* an append did not fit, or there was no memory for it */
};

void buf_init(struct buf *b, size_t cap_bytes);
void buf_free(struct buf *b);
void buf_reset(struct buf *b);		/* empties it, forgets a failure, keeps the memory */
static inline bool buf_ok(const struct buf *b) { return !b->failed; }

/* The text so far, never NULL; valid until the next append. */
const char *buf_text(const struct buf *b);

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_str(struct buf *b, const char *text);
void buf_char(struct buf *b, char c);
void buf_int(struct buf *b, int64_t value);	/* in decimal */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends n billionths as a decimal number without needless zeros: 1500000000 is 1.5. */
void buf_billionths(struct buf *b, uint64_t n);

/* Appends text as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *b, const char *text);
/*
 * The same string to whoever parses it, with the characters of `hidden` (up to 12, ASCII) written
 * as \u00XX.
 */
void buf_json_hiding(struct buf *b, const char *text, const char *hidden);

#endif
