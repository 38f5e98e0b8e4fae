/* The client's side of the control socket; the protocol is described in control/protocol.h. */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Asks the daemon at path one line (no newline) and appends the body of its answer to out. Returns
 * 0, or -1 and err: ERR_LOST when no daemon answers there, ERR_PERMANENT with the daemon's own
 * reason, or ours.
 */
int control_client_ask(const char *path, const char *line, struct buf *out, struct err *err);

#endif
