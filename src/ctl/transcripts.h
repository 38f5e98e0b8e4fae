/*
 * Transcripts out of files of any size: one object, an array of them, or one after the other (JSON
 * lines).
 */
#ifndef TRANSCRIPTS_H
#define TRANSCRIPTS_H

#include <stddef.h>

#include "base/err.h"
#include "lib/uuid5.h"

#define TRANSCRIPT_CAP_BYTES (16 << 20)
#define TRANSCRIPT_ID_SHOWN 64

struct transcripts;

/* Its text is valid until the next call. */
struct transcript {
	char session[UUID_SIZE];
	char id[TRANSCRIPT_ID_SHOWN];	/* id in the file, cut, for messages */
	const char *text;		/* whole object as it stands in the file */
	size_t len;			/* length of text */
	unsigned long line;		/* line of the file where it begins, from 1 */
};

/* Opens a file; "-" is standard input. path must outlive it. NULL and err. */
struct transcripts *transcripts_open(const char *path, struct err *err);
void transcripts_close(struct transcripts *r);
const char *transcripts_name(const struct transcripts *r);	/* for messages */

/*
 * Reads the next one: 1. Returns 0 at the end; -1 when what stands there is no transcript: err says
 * where and why, and the next call goes on behind it, unless err is ERR_LOST: then the file cannot
 * be read any further.
 */
int transcripts_next(struct transcripts *r, struct transcript *out, struct err *err);

/* How much of the file is read, 0 to 1; 0 where that is not known. */
double transcripts_fraction(const struct transcripts *r);

#endif
