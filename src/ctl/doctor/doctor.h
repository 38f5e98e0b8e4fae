/* gradingctl doctor: what its parts share. A part looks at one thing after the other and says what it found. */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include <stddef.h>

#include "ctl/ctl.h"

enum doctor_state { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

struct doctor {
	struct ctl *ctl;
	enum doctor_state worst;
	struct buf *json;	/* all that was said so far; NULL: it is printed at once */
};

/*
 * One line: what was looked at, how it is, what was found, what to do about it (NULL: nothing). Neither may
 * hold a secret; control characters in them do no harm.
 */
void doctor_say(struct doctor *d, const char *what, enum doctor_state state, const char *advice,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Each stays within its own bound of time, whatever the other side does. config may be NULL for the first. */
void doctor_database(struct doctor *d, const struct config *config);
void doctor_pooler(struct doctor *d, const struct config *config, PGconn *conn);
void doctor_rater(struct doctor *d, struct config *config);

/* Checks that are one statement each; its rows are (state, found, advice), no row means that all is well. */
struct doctor_check {
	const char *what;
	const char *sql;
	const char *ok;		/* what to say when there is no row */
	const char *advice;	/* when the statement fails */
	bool migrations;	/* its parameters are the names and the texts of the migrations */
};
extern const struct doctor_check doctor_checks[];
extern const size_t doctor_checks_n;

#endif
