/*
 * A channel: one way on which the publisher carries what was settled to those who wait for it. Each
 * has its own state, timers and requests, and knows no other; publisher.c has the list of them.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/uuid.h"
#include "config/config.h"
#include "pg/pg.h"
#include "queue/statements.h"
#include "scoreboard/scoreboard.h"

/* What all channels share. Each is given it when it is opened and keeps the pointer. */
struct publishing {
	struct loop *loop;
	const struct config *config;
	struct scoreboard *sb;
	struct slot *slot;		/* the publisher's */
	struct pg *pg;			/* may be without a connection; NULL until there is one */
	bool stopping;			/* what is to be carried is, and nothing new is begun */
	struct buf params[STATEMENT_MAX_PARAMS];	/* of the statement being sent */
};

/* No slot may be empty. Nothing of it may wait or block; what fails it tries again by itself. */
struct channel_ops {
	const char *name;
	enum channel bit;		/* of scoreboard.channels: with it clear, it is not opened */
	void *(*open)(struct publishing *p);	/* its state, for the other functions */
	/* The connection is there, or there again: what was on its way was answered with ERR_LOST. */
	void (*ready)(void *channel);
	/* This session has moved, and what moved it is committed. */
	void (*moved)(void *channel, const unsigned char session[UUID_BYTES]);
	/* Sessions have moved, and nobody knows which: they are to be looked for in the tables. */
	void (*look)(void *channel);
	/* Asked while stopping: has it nothing more to carry? */
	bool (*is_idle)(void *channel);
	void (*close)(void *channel);
};

extern const struct channel_ops mirror_channel, webhooks_channel;

/* ---- for channels ---- */

/* The parameters, empty, for a statement to fill and send at once. */
struct buf *publishing_begin(struct publishing *p);
/* Sends it with them; false, and no answer follows, when there is no connection. */
bool publishing_send(struct publishing *p, enum statement_id id, pg_answer_fn *answer, void *arg);
void publishing_end(struct publishing *p);	/* the memory for parameters */
/* Replaces what the timer was set to. */
void publishing_timer(struct publishing *p, struct loop_timer *timer, int64_t delay_ms,
		      loop_timer_fn *fn, void *arg);

#endif
