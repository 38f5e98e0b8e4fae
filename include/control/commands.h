/*
 * The words of the control socket, in one table that also makes the help. Runs in the supervisor on
 * scoreboard snapshots: no SQL, no waiting.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct supervisor;

/*
 * Runs one request line (no newline). Appends the reply's body to out, or returns -1 and err, or COMMAND_GOES_ON:
 * the reply follows by control_answer().
 */
#define COMMAND_GOES_ON 1
int command_run(struct supervisor *s, const char *line, bool admin, struct buf *out, struct err *err);

/* "show status [json]" and so on, a line each with what it does; for gradingctl's help and the checks. */
void command_help(struct buf *out);

#endif
