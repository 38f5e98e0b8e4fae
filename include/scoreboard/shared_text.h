/*
 * What one process writes and others read at any moment, in shared memory: a sequence lock, and a
 * short text under one. Neither side waits: a reader gives up after a few tries instead of spinning
 * on a dead writer.
 */
#ifndef SHARED_TEXT_H
#define SHARED_TEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SCOREBOARD_TEXT 256

/*
 * A sequence lock as in PostgreSQL's backend_status.h: seq is odd while its one writer is inside. A
 * writer that died inside leaves an odd count; the next writer (the slot's next child) starts from
 * the next odd number. Begin returns what end wants; a reader compares with what seq was before it
 * read.
 */
uint32_t seqlock_write_begin(_Atomic uint32_t *seq);
void seqlock_write_end(_Atomic uint32_t *seq, uint32_t begun);
bool seqlock_read_ok(const _Atomic uint32_t *seq, uint32_t before);

/* A short text under a sequence lock. */
struct shared_text {
	_Atomic uint32_t seq;
	_Atomic int64_t wall_ms;	/* when it was set; 0: never */
	char text[SCOREBOARD_TEXT];
};

/* The writer's side; text is cut to fit. */
void shared_text_set(struct shared_text *t, const char *text);
/*
 * Copies into out (SCOREBOARD_TEXT bytes). Gives up with false after a few torn reads: out is then
 * "".
 */
bool shared_text_get(const struct shared_text *t, char *out);

#endif
