/*
 * The channel of webhooks: carries what the outbox holds to the receivers that are configured, each
 * at its own pace, and writes down what became of it. It looks into the outbox when a session
 * moved, when a message is due, and every quarter of a minute, since others put messages in as
 * well. No transaction is open while a receiver is waited for: a message is taken for a while,
 * sent, and its fate written down. If this process dies in between, the next one sends it again,
 * under the same id.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "channel.h"
#include "pg/pgbinary.h"
#include "receiver.h"

#define LOOK_MS 15000			/* others put messages in as well */
#define LOOK_LEAST_MS 20		/* from one look to the next, however much moves */
#define STORE_AGAIN_MS 1000
#define REGISTER_AGAIN_MS 2000
#define REGISTERED_MS (6 * 60 * 60 * INT64_C(1000))
#define LEASE_SPARE_MS 5000		/* to write down what became of a message */

/* Columns of sql/webhook_take.sql. */
enum { TAKEN_ID, TAKEN_HOOK, TAKEN_ATTEMPTS, TAKEN_MS, TAKEN_TYPE, TAKEN_AT, TAKEN_DATA };

struct webhooks {
	struct publishing *p;
	struct receiver *receivers;	/* one for each of config->webhooks.hooks */
	int n;
	bool due[WEBHOOKS_MAX];		/* of each: messages may be due */
	int asked[WEBHOOKS_MAX];	/* how many more the look on its way may bring; -1: none */
	bool news;			/* something moved since the last look was begun */
	bool registering, registered;	/* a statement is on its way; it was carried out */
	bool taking, storing;		/* likewise */
	int64_t looked_ms;		/* when it last looked */
	struct loop_timer register_timer, look_timer, store_timer;
};

static void look(void *arg);
static void store(void *arg);

/* A lost connection is said where it is made again. */
static bool answered(const struct err *err)
{
	if (err && err->kind != ERR_LOST)
		log_warn("webhooks: %s; tried again", err->text);
	return !err;
}

/* Unless it looks before that anyway. */
static void look_within(struct webhooks *w, int64_t delay_ms)
{
	if (!loop_timer_is_set(&w->look_timer) || w->look_timer.at_ms > now_ms() + delay_ms)
		publishing_timer(w->p, &w->look_timer, delay_ms, look, w);
}

/* ---- what became of messages ---- */

static const char *const end_states[] = {
	[WEBHOOK_DELIVERED] = "delivered", [WEBHOOK_AGAIN] = "waiting", [WEBHOOK_DEAD] = "dead",
};
static const enum counter end_counters[] = {
	[WEBHOOK_DELIVERED] = COUNTER_WEBHOOKS_DELIVERED, [WEBHOOK_AGAIN] = COUNTER_WEBHOOKS_REFUSED,
	[WEBHOOK_DEAD] = COUNTER_WEBHOOKS_DEAD,
};

/* Calls each(w, delivery) for those in that state. Returns how many they were. */
static int each_delivery(struct webhooks *w, enum delivery_state state,
			 void (*each)(struct webhooks *w, struct delivery *d))
{
	int n = 0;

	for (int i = 0; i < w->n; i++)
		for (int k = 0; k < w->receivers[i].places; k++) {
			struct delivery *d = &w->receivers[i].deliveries[k];

			if (d->state != state)
				continue;
			n++;
			if (each)
				each(w, d);
		}
	return n;
}

static void put_fate(struct webhooks *w, struct delivery *d)
{
	const struct webhook_fate *fate = &d->fate;
	struct buf *p = w->p->params;

	pgitem_uuid(&p[0], d->id);
	pgitem_int4(&p[1], d->attempts);
	pgitem_text(&p[2], end_states[fate->end]);
	pgitem_int8(&p[3], fate->delay_ms);
	if (fate->status)
		pgitem_int4(&p[4], fate->status);
	else
		pgitem_null(&p[4]);
	pgitem_text(&p[5], fate->error[0] ? fate->error : NULL);
	d->state = DELIVERY_STORING;
}

static void free_place(struct webhooks *w, struct delivery *d)
{
	slot_count(w->p->slot, end_counters[d->fate.end], 1);
	if (d->fate.end == WEBHOOK_AGAIN)
		look_within(w, d->fate.delay_ms);
	d->state = DELIVERY_FREE;
}

static void store_again(struct webhooks *w, struct delivery *d)
{
	(void)w;
	d->state = DELIVERY_ANSWERED;
}

/* Not at once: what else is answered in this turn goes along. */
static void on_stored(void *arg, const PGresult *result, const struct err *err)
{
	struct webhooks *w = arg;
	bool done = answered(err);

	(void)result;
	w->storing = false;
	each_delivery(w, DELIVERY_STORING, done ? free_place : store_again);
	publishing_timer(w->p, &w->store_timer, done ? 0 : STORE_AGAIN_MS, store, w);
	if (done)
		look_within(w, 0);
}

static void store(void *arg)
{
	struct webhooks *w = arg;
	struct buf *p;

	if (w->storing || !pg_is_ready(w->p->pg))
		return;
	p = publishing_begin(w->p);
	pgitems_begin(&p[0], PG_UUID);
	pgitems_begin(&p[1], PG_INT4);
	pgitems_begin(&p[2], PG_TEXT);
	pgitems_begin(&p[3], PG_INT8);
	pgitems_begin(&p[4], PG_INT4);
	pgitems_begin(&p[5], PG_TEXT);
	if (each_delivery(w, DELIVERY_ANSWERED, put_fate) == 0)
		return;
	w->storing = publishing_send(w->p, STATEMENT_WEBHOOK_SETTLE, on_stored, w);
	if (!w->storing)
		each_delivery(w, DELIVERY_STORING, store_again);
}

static void on_disabled(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg;
	(void)result;
	answered(err);	/* else its next message is answered with 410 as well */
}

static void on_answer(void *arg, struct delivery *d)
{
	struct webhooks *w = arg;
	const char *name = d->receiver->hook->name;
	struct buf *p;

	if (d->fate.gone) {
		log_warn("webhook %s wants no more messages (410): it is disabled; `gradingctl "
			 "webhooks enable %s` has it told again", name, name);
		p = publishing_begin(w->p);
		buf_str(&p[0], name);
		buf_str(&p[1], d->fate.error);
		publishing_send(w->p, STATEMENT_WEBHOOK_DISABLE, on_disabled, w);
	}
	publishing_timer(w->p, &w->store_timer, 0, store, w);
}

/* ---- looking into the outbox ---- */

static int find(const struct webhooks *w, const char *name)
{
	for (int i = 0; i < w->n; i++)
		if (strcmp(w->receivers[i].hook->name, name) == 0)
			return i;
	fatal("webhook_take.sql answered with a receiver that was not asked for");
}

static void take_row(struct webhooks *w, const PGresult *result, int row)
{
	int i = find(w, PQgetvalue(result, row, TAKEN_HOOK));
	char id[UUID_SIZE];
	struct outgoing o = {
		.id = id, .type = PQgetvalue(result, row, TAKEN_TYPE),
		.at = PQgetvalue(result, row, TAKEN_AT),
		.data = PQgetvalue(result, row, TAKEN_DATA),
		.attempts = pgvalue_int4(result, row, TAKEN_ATTEMPTS),
		.age_ms = pgvalue_int8(result, row, TAKEN_MS),
	};

	if (PQgetisnull(result, row, TAKEN_ID)) {
		look_within(w, o.age_ms > 0 ? o.age_ms : 1);
		return;
	}
	pgvalue_uuid(result, row, TAKEN_ID, id);
	w->asked[i]--;
	receiver_send(&w->receivers[i], &o);
}

static void on_taken(void *arg, const PGresult *result, const struct err *err)
{
	struct webhooks *w = arg;
	bool more = false;

	w->taking = false;
	if (!answered(err)) {
		for (int i = 0; i < w->n; i++)
			w->due[i] |= w->asked[i] > 0;
		look_within(w, STORE_AGAIN_MS);
		return;
	}
	for (int row = 0; row < PQntuples(result); row++)
		take_row(w, result, row);
	/* Whoever got as many as were asked for may have more, once there is room. */
	for (int i = 0; i < w->n; i++) {
		bool asked = w->asked[i] >= 0;

		if (asked && w->asked[i] == 0)
			w->due[i] = true;
		more |= w->due[i] && receiver_room(&w->receivers[i]) > 0;
	}
	look_within(w, more ? 0 : LOOK_MS);
}

/* Asks for as many messages as there is room for, of those who may have some. */
static int put_wishes(struct webhooks *w, struct buf *p)
{
	int n = 0;

	for (int i = 0; i < w->n; i++) {
		struct receiver *r = &w->receivers[i];
		int room = receiver_room(r);

		w->asked[i] = -1;
		if (w->due[i] && receiver_pause_ms(r) > 0)
			look_within(w, receiver_pause_ms(r));
		if (!w->due[i] || room == 0)
			continue;
		pgitem_text(&p[0], r->hook->name);
		pgitem_int4(&p[1], room);
		pgitem_int8(&p[2], r->hook->timeout_ms + LEASE_SPARE_MS);
		w->asked[i] = room;
		w->due[i] = false;
		n++;
	}
	return n;
}

static void look_now(struct webhooks *w)
{
	struct buf *p;

	if (w->taking || !w->registered || !pg_is_ready(w->p->pg))
		return;
	p = publishing_begin(w->p);
	pgitems_begin(&p[0], PG_TEXT);
	pgitems_begin(&p[1], PG_INT4);
	pgitems_begin(&p[2], PG_INT8);
	w->news = false;
	if (put_wishes(w, p) == 0)
		return;
	w->looked_ms = now_ms();
	w->taking = publishing_send(w->p, STATEMENT_WEBHOOK_TAKE, on_taken, w);
}

/* For timers: something may be due for anybody. */
static void look(void *arg)
{
	struct webhooks *w = arg;

	for (int i = 0; i < w->n; i++)
		w->due[i] = true;
	look_within(w, LOOK_MS);
	look_now(w);
}

static void look_soon(struct webhooks *w)
{
	int64_t since = now_ms() - w->looked_ms;

	w->news = true;
	look_within(w, since < LOOK_LEAST_MS ? LOOK_LEAST_MS - since : 0);
}

/* ---- whom there is ---- */

static void register_hooks(void *arg);

static void on_registered(void *arg, const PGresult *result, const struct err *err)
{
	struct webhooks *w = arg;

	(void)result;
	w->registering = false;
	if (!answered(err)) {
		publishing_timer(w->p, &w->register_timer, REGISTER_AGAIN_MS, register_hooks, w);
		return;
	}
	w->registered = true;
	publishing_timer(w->p, &w->register_timer, REGISTERED_MS, register_hooks, w);
	look(w);
}

static void register_hooks(void *arg)
{
	struct webhooks *w = arg;
	struct buf *p;

	if (w->registering || !pg_is_ready(w->p->pg))
		return;
	p = publishing_begin(w->p);
	pgitems_begin(&p[0], PG_TEXT);
	pgitems_begin(&p[1], PG_BOOL);
	for (int i = 0; i < w->n; i++) {
		pgitem_text(&p[0], w->receivers[i].hook->name);
		pgitem_bool(&p[1], w->receivers[i].hook->events == WEBHOOK_STEP);
	}
	w->registering = publishing_send(w->p, STATEMENT_WEBHOOK_REGISTER, on_registered, w);
}

/* ---- as a channel ---- */

static void *open_webhooks(struct publishing *p)
{
	const struct webhook_list *hooks = &p->config->webhooks.hooks;
	struct webhooks *w = xcalloc(1, sizeof(*w));
	struct err err;

	w->p = p;
	w->news = true;
	w->receivers = xcalloc(hooks->n + 1, sizeof(*w->receivers));
	for (size_t i = 0; i < hooks->n; i++) {
		if (receiver_open(&w->receivers[w->n], p->loop, p->config, &hooks->items[i],
				  on_answer, w, &err) == 0)
			w->n++;
		else
			log_error("webhook %s is not delivered to: %s", hooks->items[i].name,
				  err.text);
	}
	return w;
}

static void ready(void *channel)
{
	struct webhooks *w = channel;

	store(w);
	if (w->registered)
		look(w);
	else
		register_hooks(w);
}

static void moved(void *channel, const unsigned char session[UUID_BYTES])
{
	(void)session;
	look_soon(channel);
}

/* What was to be told when it was told to stop has left, and its fate is written down. */
static bool is_idle(void *channel)
{
	struct webhooks *w = channel;

	return !w->news && !w->taking &&
	       each_delivery(w, DELIVERY_CALLING, NULL) == 0 &&
	       each_delivery(w, DELIVERY_ANSWERED, NULL) == 0 &&
	       each_delivery(w, DELIVERY_STORING, NULL) == 0;
}

static void close_webhooks(void *channel)
{
	struct webhooks *w = channel;

	loop_timer_stop(w->p->loop, &w->register_timer);
	loop_timer_stop(w->p->loop, &w->look_timer);
	loop_timer_stop(w->p->loop, &w->store_timer);
	for (int i = 0; i < w->n; i++)
		receiver_close(&w->receivers[i]);
	free(w->receivers);
	free(w);
}

/* look: whoever moved sessions unheard has put into the outbox what there is to tell of them. */
static void look_in_outbox(void *channel)
{
	look_soon(channel);
}

const struct channel_ops webhooks_channel = {
	.name = "webhooks", .bit = CHANNEL_WEBHOOKS,
	.open = open_webhooks, .ready = ready, .moved = moved, .look = look_in_outbox,
	.is_idle = is_idle, .close = close_webhooks,
};
