/*
 * What gradingctl doctor says: one finding after the other, and the worst of them. Lies below all
 * that finds something, and looks at nothing itself.
 */
#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H

#include "base/buf.h"
#include "ctl/term.h"

enum doctor_state { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

struct doctor_report {
	const struct term *out;		/* where findings are printed at once, unless as JSON */
	bool as_json;
	enum doctor_state worst;	/* of all that was said so far */
	struct buf json;		/* all that was said so far, for doctor_report_end() */
};

/* out must outlive the report. */
void doctor_report_begin(struct doctor_report *r, const struct term *out, bool as_json);

/* Prints what is left to print, and frees the report's memory. */
void doctor_report_end(struct doctor_report *r);

/*
 * One finding: what was looked at, how it is, what was found, and what to do about it (NULL or "":
 * nothing). Neither text may hold a secret; control characters in them do no harm.
 */
void doctor_say(struct doctor_report *r, const char *what, enum doctor_state state,
		const char *advice, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/*
 * The state called word ("ok", "warning", "error"), as statements name it; any other word is
 * DOCTOR_OK.
 */
enum doctor_state doctor_state_of(const char *word);

#endif
