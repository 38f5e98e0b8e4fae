/* Which daemon is asked: the one of -s, of the configuration, or of the link that it has left. */
#ifndef ASK_H
#define ASK_H

#include "base/buf.h"
#include "base/err.h"
#include "ctl/ctl.h"

/*
 * Asks the daemon one line (no newline), as control_client_ask() does. Where the configuration
 * cannot be read, or nobody answers where it says, a link that the daemon left at a known place
 * leads to it, and a line on standard error tells that once. ctl->asked is who answered.
 */
int ctl_ask(struct ctl *ctl, const char *line, struct buf *out, struct err *err);

#endif
