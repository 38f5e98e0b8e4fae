/*
 * What a provider's error says, taken apart: each name and each message in it, and those of the
 * error that a gateway quotes within its own. Pure; fuzzed with openai_reply.c. What it means is
 * said by signs.c.
 */
#ifndef COMPLAINT_H
#define COMPLAINT_H

#include <json-c/json.h>
#include <stddef.h>

#define COMPLAINT_LEVELS 3		/* of errors within errors that are read */
#define COMPLAINT_NAMES 32
#define COMPLAINT_PARAMS 8
#define COMPLAINT_CLASSES 4
#define COMPLAINT_CLASS_BYTES 48

/* Beside a 403 that is about the lines, not our account (OpenRouter). */
#define COMPLAINT_FLAGGED "flagged_input"

/* Zero-initialise but for status; what it points to lives as long as it and the reply's tree. */
struct complaint {
	int status;			/* of HTTP, or what the error within a 200 says it was */
	const char *names[COMPLAINT_NAMES];	/* codes, types, reasons, parameters */
	size_t nnames;
	const char *params[COMPLAINT_PARAMS];	/* what it calls the parameter at fault */
	size_t nparams;
	const char *messages[COMPLAINT_LEVELS];	/* without the exceptions they begin with */
	size_t nmessages;
	const char *said;		/* the innermost message, whole; NULL when there is none */
	char classes[COMPLAINT_CLASSES][COMPLAINT_CLASS_BYTES];	/* exceptions a message names */
	size_t nclasses;
	struct json_object *quoted[COMPLAINT_LEVELS];
	size_t nquoted;
};

/* root: the reply's JSON, or NULL. */
void complaint_read(struct complaint *c, struct json_object *root);
void complaint_free(struct complaint *c);

#endif
