/*
 * One webhook's receiver: its connections, and the messages that are on their way to it, a place
 * each. It has no more places than webhooks.concurrency, and shares none with others: one that
 * hangs fills its own.
 */
#ifndef RECEIVER_H
#define RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/uuid.h"
#include "config/config.h"
#include "lib/http.h"
#include "webhook_message.h"
#include "webhook_policy.h"

enum delivery_state {
	DELIVERY_FREE,			/* the place is empty */
	DELIVERY_CALLING,		/* an answer is waited for */
	DELIVERY_ANSWERED,		/* its fate is to be written down */
	DELIVERY_STORING,		/* a statement that does so is on its way */
};

struct receiver;

struct delivery {
	struct receiver *receiver;
	enum delivery_state state;
	char id[UUID_SIZE];
	int attempts;			/* as which it was taken */
	int64_t age_ms;			/* of the message, when it was taken */
	struct http_call *call;		/* while CALLING */
	struct webhook_fate fate;	/* from ANSWERED on */
};

/* What a message has in the outbox. */
struct outgoing {
	const char *id, *type, *at, *data;
	int attempts;
	int64_t age_ms;
};

typedef void receiver_answered_fn(void *arg, struct delivery *delivery);

struct receiver {
	const struct webhook *hook;
	const struct config *config;
	struct http *http;
	struct webhook_message message;		/* the one that is being written */
	struct delivery *deliveries;
	int places;
	int64_t paused_until_ms;	/* it asked for so long a pause */
	bool failing;			/* the log says so */
	int64_t say_from_ms;		/* the log is not told of it before */
	receiver_answered_fn *answered;
	void *arg;
};

/*
 * answered(arg, delivery) is told of each message whose fate is known. -1 and err when the hook's
 * URL or certificates are of no use.
 */
int receiver_open(struct receiver *r, struct loop *loop, const struct config *config,
		  const struct webhook *hook, receiver_answered_fn *answered, void *arg,
		  struct err *err);
/* Breaks off what is on its way. */
void receiver_close(struct receiver *r);

/* How many more messages it takes now. */
int receiver_room(const struct receiver *r);
/* How long until it takes any again, where it asked for a pause; 0: it asked for none. */
int64_t receiver_pause_ms(const struct receiver *r);
/* Sends a message; there must be room. */
void receiver_send(struct receiver *r, const struct outgoing *o);

#endif
