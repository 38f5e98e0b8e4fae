/*
 * The control socket, in the supervisor: accept, one request line, one framed reply, deadlines and
 * limits. A request is "WORDS... [json]\n" of at most CONTROL_LINE_CAP bytes; the reply is
 * "ok LENGTH\n" and LENGTH bytes, or "err REASON\n"; then the connection is closed. Rendered whole
 * from a snapshot, sent without blocking; a peer that is slow or silent is dropped at its deadline. When
 * all places are taken, whoever came first and still has not asked makes room after CONTROL_GRACE_MS: a
 * flood of silent clients takes turns with itself, and who asks waits for his turn, not for a deadline.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"

struct control;
struct supervisor;

#define CONTROL_LINE_CAP 512
#define CONTROL_CLIENTS 64
#define CONTROL_DEADLINE_MS 5000
#define CONTROL_GRACE_MS 20		/* a flood gets no more than CONTROL_CLIENTS connections in so long */

/*
 * Binds path (mode 0600, or 0660 with `group`, "" for none), under a lock file PATH.lock held for the
 * life of the process, so that a second daemon on the same socket is refused and a stale socket is not
 * in the way. Returns NULL and err.
 */
struct control *control_open(const char *path, const char *group, struct loop *loop,
			     struct supervisor *supervisor, struct err *err);
void control_close(struct control *c);		/* supervisor, at the end: removes socket and lock file */
/* To all clients whose command went on (commands.h): an error, unless err->kind is ERR_NONE, or else body. */
void control_answer(struct control *c, const struct err *err, const char *body);
void control_forget(struct control *c);		/* child, after fork: closes descriptors, removes nothing */

#endif
