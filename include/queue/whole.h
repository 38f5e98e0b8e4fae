/*
 * What a session as a whole is graded by: its rated lines as the database has them, and around them
 * what the others said, where the job brings the conversation. Pure; it takes whatever is stored.
 */
#ifndef WHOLE_H
#define WHOLE_H

#include "queue/job.h"

#define WHOLE_REASON_CHARACTERS 200	/* of a line's reason; sql/pieces/whole_session.sql cuts */

/* One line of the conversation. All strings live in the job's arena, never NULL. */
struct whole_line {
	int index;
	const char *speaker;		/* "" where nobody says who it was */
	const char *text;
	const char *rating;		/* "": it has none, and is context */
	const char *reason;		/* of the rating; "": none was given */
};

struct whole {
	struct whole_line *lines;	/* in the order of their index */
	size_t nlines;
	size_t nrated;			/* of them, those with a rating; at least one */
	int unrated;			/* lines that were to be rated and have no rating */
	int failed_batches;
	int64_t upto;			/* the highest cursor of the ratings */
	size_t bytes;			/* of all texts and speakers */
};

enum whole_state { WHOLE_WRONG = -1, WHOLE_READY, WHOLE_WAITS };

/*
 * Makes job one that grades its session by `document`, which a claim brings of it, and by job_data
 * (len bytes; NULL: there is none): job->whole, and in place of the batch's lines one that stands
 * for the session, so that it is asked, answered and settled like a line. WHOLE_WAITS, with err
 * that says for what, while the session is not over; WHOLE_WRONG, with err, where there is nothing
 * to grade, or it cannot be read.
 */
enum whole_state whole_parse(struct job *job, const struct speakers *rated, const char *document,
			     const char *job_data, size_t len, struct err *err);

#endif
