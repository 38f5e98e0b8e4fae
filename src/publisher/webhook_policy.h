/*
 * What a receiver's answer means for the message that it was sent: delivered, to be sent again and
 * when, or dead. Pure.
 */
#ifndef WEBHOOK_POLICY_H
#define WEBHOOK_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/http.h"

#define WEBHOOK_ERROR_SIZE 256

enum webhook_end { WEBHOOK_DELIVERED, WEBHOOK_AGAIN, WEBHOOK_DEAD };

/* One try to deliver a message. */
struct webhook_try {
	int attempts;			/* how many there were, this one included */
	int64_t age_ms;			/* since the first one could be made */
	int64_t backoff_ms;		/* the pause after the first one, about */
	int64_t give_up_ms;		/* at this age a message that is refused is dead */
	uint32_t random;		/* any bits, for jitter */
};

struct webhook_fate {
	enum webhook_end end;
	int64_t delay_ms;		/* until it is sent again */
	int64_t pause_ms;		/* so long the receiver wants no message at all; 0: it does */
	bool gone;			/* it wants none ever again */
	int status;			/* HTTP status; 0: none came */
	char error[WEBHOOK_ERROR_SIZE];	/* what went wrong, printable ASCII; "": nothing */
};

/*
 * Success is a status of 2xx, whatever becomes of the body behind it. 410 means that the receiver
 * wants nothing more. After anything else, a redirect included, the message is sent again: after
 * backoff_ms, and four times as long each time, up to 6 h; never before a Retry-After of 429 and
 * 503 (of 6 h at most), which holds up the receiver's other messages as well.
 */
void webhook_judge(const struct http_reply *reply, const struct webhook_try *try,
		   struct webhook_fate *fate);

#endif
