/*
 * What the words of the control socket do: each command is a handler that shows or asks something
 * of the pool. Runs in the supervisor on scoreboard snapshots: no SQL, no waiting.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "control/pool.h"

/*
 * Runs one request line (no newline). Appends the reply's body to out, or returns -1 and err, or
 * CONTROL_GOES_ON: the reply follows by control_answer().
 */
int command_run(const struct pool *pool, const char *line, bool admin, struct buf *out,
		struct err *err);

#endif
