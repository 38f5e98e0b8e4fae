/*
 * A batch of transcripts on its way into the queue: sent by grading_submit() in one statement.
 * When a batch is refused its transcripts are sent one by one, so that a bad one harms no other.
 */
#ifndef ENQUEUE_BATCH_H
#define ENQUEUE_BATCH_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "ctl/ctl.h"
#include "transcripts.h"

#define ENQUEUE_BATCH 100		/* transcripts in one statement */
#define ENQUEUE_COMPLAINTS 20		/* bad transcripts that are told one by one */
#define ENQUEUE_LITERAL_CAP_BYTES (128 << 20)	/* in it a quote or backslash takes two */

struct enqueue_item {
	char session[UUID_SIZE];
	const char *text;
	const char *file;		/* where it came from, for messages */
	unsigned long line;		/* in that file, from 1 */
};

struct enqueue_counts {
	int64_t made;			/* sessions that are new */
	int64_t grown;			/* sessions that were there, and have new jobs */
	int64_t present;		/* sessions that were there, with all their lines */
	int64_t empty;			/* transcripts with nothing in them */
	int64_t refused;		/* transcripts that are none, or not taken */
	int64_t noticed;		/* remarks of the database about transcripts that it took */
	int64_t jobs, lines;		/* that are new */
	int64_t known;			/* lines that were there */
};

struct enqueue_batch {
	struct ctl *ctl;
	PGconn *conn;
	struct arena arena;		/* the items' texts */
	struct enqueue_item items[ENQUEUE_BATCH];
	size_t n, bytes;
	struct buf sessions;		/* uuid[] of all in the queue now, for --wait; not closed */
	struct buf notices;		/* of the statement that is running, a line each */
	struct enqueue_counts counts;	/* of all that was sent so far */
};

/* Takes over how conn tells notices; conn stays the caller's. b must not move from now on. */
void enqueue_batch_init(struct enqueue_batch *b, struct ctl *ctl, PGconn *conn);
void enqueue_batch_free(struct enqueue_batch *b);

/*
 * Copies the transcript, and sends the batch when that fills it. file must outlive the batch. 0, or
 * -1 and err when the database is away or not fit for any transcript; one that is refused alone is
 * complained of, and counted.
 */
int enqueue_batch_add(struct enqueue_batch *b, const char *file, const struct transcript *t,
		      struct err *err);

/* Sends what there is, as above. */
int enqueue_batch_send(struct enqueue_batch *b, struct err *err);

/* Counts a transcript, or a file, that cannot be taken, and tells why, but not too often. */
void enqueue_batch_refuse(struct enqueue_batch *b, const char *why);

#endif
