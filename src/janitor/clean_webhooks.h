/* Cleaning the outbox of webhooks: messages that were kept long enough. */
#ifndef CLEAN_WEBHOOKS_H
#define CLEAN_WEBHOOKS_H

#include "statement.h"

struct clean_webhooks {
	struct maintenance *m;
	bool cleaning;			/* a statement is on its way */
	struct loop_timer timer;	/* of the next one */
};

void clean_webhooks_init(struct clean_webhooks *c, struct maintenance *m);
/* From the next poll on it looks for what is to go, again and again. May be repeated. */
void clean_webhooks_begin(struct clean_webhooks *c);

#endif
