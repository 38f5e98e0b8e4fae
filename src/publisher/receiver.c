/*
 * Sends messages to one receiver, and says what became of each. The publisher; knows no database.
 * Nothing that a receiver does takes more than a place for longer than the hook's timeout.
 */
#include "receiver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define SAY_EVERY_MS 60000		/* that a receiver fails */
#define REPLY_CAP_BYTES (16u << 10)	/* more than that of an answer is not read */

/* Where addresses inside are refused no proxy is asked: it would look the name up itself. */
int receiver_open(struct receiver *r, struct loop *loop, const struct config *config,
		  const struct webhook *hook, receiver_answered_fn *answered, void *arg,
		  struct err *err)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct http_endpoint endpoint = {
		.url = hook->url, .headers = headers,
		.ca_file = hook->ca_file[0] ? hook->ca_file : NULL,
		.proxy = hook->allow_private ? NULL : "",
		.connect_timeout_ms = hook->timeout_ms,
		/* All receivers' together: by that it sees to how many files may be open. */
		.connections = config->webhooks.concurrency * (int64_t)config->webhooks.hooks.n,
		.reply_cap_bytes = REPLY_CAP_BYTES, .outside_only = !hook->allow_private,
	};

	*r = (struct receiver){ .hook = hook, .config = config, .answered = answered, .arg = arg };
	r->http = http_new(loop, &endpoint, err);
	if (!r->http)
		return -1;
	webhook_message_init(&r->message);
	r->places = (int)config->webhooks.concurrency;
	r->deliveries = xcalloc((size_t)r->places, sizeof(*r->deliveries));
	for (int i = 0; i < r->places; i++)
		r->deliveries[i].receiver = r;
	return 0;
}

void receiver_close(struct receiver *r)
{
	if (!r->http)
		return;
	http_free(r->http);
	webhook_message_free(&r->message);
	free(r->deliveries);
	*r = (struct receiver){ .http = NULL };
}

int64_t receiver_pause_ms(const struct receiver *r)
{
	int64_t left = r->paused_until_ms - now_ms();

	return left > 0 ? left : 0;
}

int receiver_room(const struct receiver *r)
{
	int n = 0;

	if (receiver_pause_ms(r) > 0)
		return 0;
	for (int i = 0; i < r->places; i++)
		n += r->deliveries[i].state == DELIVERY_FREE;
	return n;
}

/* When it begins and when it ends, not for each message; of one that comes and goes, seldom. */
static void tell_change(struct receiver *r, const struct webhook_fate *fate)
{
	bool failing = fate->end != WEBHOOK_DELIVERED;

	if (failing && !r->failing && now_ms() >= r->say_from_ms) {
		log_warn("webhook %s: %s; the message is %s", r->hook->name, fate->error,
			 fate->end == WEBHOOK_DEAD ? "dead" : "sent again later");
		r->failing = true;
		r->say_from_ms = now_ms() + SAY_EVERY_MS;
	} else if (!failing && r->failing) {
		log_info("webhook %s takes messages again", r->hook->name);
		r->failing = false;
	}
}

static void ended(struct delivery *d)
{
	d->call = NULL;
	d->state = DELIVERY_ANSWERED;
	tell_change(d->receiver, &d->fate);
	d->receiver->answered(d->receiver->arg, d);
}

static void on_reply(void *arg, const struct http_reply *reply)
{
	struct delivery *d = arg;
	struct receiver *r = d->receiver;
	struct webhook_try try = {
		.attempts = d->attempts, .age_ms = d->age_ms,
		.backoff_ms = r->config->webhooks.backoff_ms,
		.give_up_ms = r->config->webhooks.give_up_after_ms, .random = (uint32_t)random(),
	};

	webhook_judge(reply, &try, &d->fate);
	if (d->fate.pause_ms > 0)
		r->paused_until_ms = now_ms() + d->fate.pause_ms;
	ended(d);
}

static struct delivery *free_place(struct receiver *r)
{
	for (int i = 0; i < r->places; i++)
		if (r->deliveries[i].state == DELIVERY_FREE)
			return &r->deliveries[i];
	fatal("webhook %s has more messages than places", r->hook->name);
}

void receiver_send(struct receiver *r, const struct outgoing *o)
{
	struct delivery *d = free_place(r);

	snprintf(d->id, sizeof(d->id), "%s", o->id);
	d->attempts = o->attempts;
	d->age_ms = o->age_ms;
	if (webhook_message_write(&r->message, r->hook, o->id, o->type, o->at, o->data,
				  wall_ms() / 1000) == -1) {
		d->fate = (struct webhook_fate){ .end = WEBHOOK_DEAD };
		snprintf(d->fate.error, sizeof(d->fate.error),
			 "the message is larger than %u bytes", WEBHOOK_BODY_CAP_BYTES);
		ended(d);
		return;
	}
	d->state = DELIVERY_CALLING;
	d->call = http_post_with(r->http, r->message.headers, r->message.body.data,
				 r->message.body.len, r->hook->timeout_ms, on_reply, d);
}
