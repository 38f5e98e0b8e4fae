/*
 * The control socket, in the supervisor: accept, one request line, one framed reply (protocol.h),
 * deadlines and limits. What a line means is its handler's business. A reply is rendered whole and
 * sent without blocking; a peer that is slow or silent is dropped at its deadline. When all places
 * are taken, whoever came first and still has not asked makes room after CONTROL_GRACE_MS: a flood
 * of silent clients takes turns with itself, and who asks waits for a turn, not for a deadline.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "control/protocol.h"

struct control;

#define CONTROL_CLIENTS 64
/* A flood gets no more than CONTROL_CLIENTS connections in so long. */
#define CONTROL_GRACE_MS 20

/*
 * Answers one request line (no newline) of an admin or a reader: appends the reply's body to out
 * and returns 0, or returns -1 and err, or CONTROL_GOES_ON when the reply will follow by
 * control_answer(). It never waits.
 */
typedef int control_handler(void *arg, const char *line, bool admin, struct buf *out,
			    struct err *err);
#define CONTROL_GOES_ON 1

/*
 * Binds path (mode 0600, or 0660 with `group`, "" for none), under a lock file PATH.lock held for
 * the life of the process, so that a second daemon on the same socket is refused and a stale socket
 * is not in the way. Returns NULL and err.
 */
struct control *control_open(const char *path, const char *group, struct loop *loop,
			     control_handler *handler, void *arg, struct err *err);
/* Supervisor, at the end: removes socket and lock file. NULL is fine. */
void control_close(struct control *c);
/* To all clients whose request goes on: an error, unless err->kind is ERR_NONE, or else body. */
void control_answer(struct control *c, const struct err *err, const char *body);
/* Child, after fork: closes descriptors, removes nothing. NULL is fine. */
void control_forget(struct control *c);

#endif
