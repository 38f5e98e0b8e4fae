/* A message to a webhook as it goes over the wire: body and headers. Pure. */
#ifndef WEBHOOK_MESSAGE_H
#define WEBHOOK_MESSAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"

#define WEBHOOK_BODY_CAP_BYTES (16u << 10)	/* specification: 20 KiB at most */
#define WEBHOOK_HEADERS 3

struct webhook_message {
	struct buf body;
	struct buf lines[WEBHOOK_HEADERS];		/* headers, "Name: value" */
	const char *headers[WEBHOOK_HEADERS + 1];	/* the same for http_post_with() */
};

void webhook_message_init(struct webhook_message *m);
void webhook_message_free(struct webhook_message *m);

/*
 * Writes a message anew: what happened (type, at: RFC 3339, data: a JSON object), signed with the
 * hook's secrets for id and now_s, seconds since 1970. Returns -1 when it is too large.
 */
int webhook_message_write(struct webhook_message *m, const struct webhook *hook, const char *id,
			  const char *type, const char *at, const char *data, int64_t now_s);

#endif
