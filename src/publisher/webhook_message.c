/*
 * Writes messages to webhooks as the Standard Webhooks specification has them. The publisher; pure,
 * but for libcrypto.
 */
#include "webhook_message.h"

#include <inttypes.h>

#include "lib/signature.h"

#define HEADER_CAP_BYTES 2048

enum { ID, TIMESTAMP, SIGNATURE };

void webhook_message_init(struct webhook_message *m)
{
	*m = (struct webhook_message){ .headers = { NULL } };
	buf_init(&m->body, WEBHOOK_BODY_CAP_BYTES);
	for (int i = 0; i < WEBHOOK_HEADERS; i++)
		buf_init(&m->lines[i], HEADER_CAP_BYTES);
}

void webhook_message_free(struct webhook_message *m)
{
	buf_free(&m->body);
	for (int i = 0; i < WEBHOOK_HEADERS; i++)
		buf_free(&m->lines[i]);
}

/* The same bytes each time that a message is sent: what differs is in the headers. */
static void write_body(struct buf *out, const char *type, const char *at, const char *data)
{
	buf_str(out, "{\"type\":");
	buf_json(out, type);
	buf_str(out, ",\"timestamp\":");
	buf_json(out, at);
	buf_str(out, ",\"data\":");
	buf_str(out, data);
	buf_char(out, '}');
}

int webhook_message_write(struct webhook_message *m, const struct webhook *hook, const char *id,
			  const char *type, const char *at, const char *data, int64_t now_s)
{
	buf_reset(&m->body);
	write_body(&m->body, type, at, data);
	if (!buf_ok(&m->body))
		return -1;
	for (int i = 0; i < WEBHOOK_HEADERS; i++)
		buf_reset(&m->lines[i]);
	buf_printf(&m->lines[ID], "webhook-id: %s", id);
	buf_printf(&m->lines[TIMESTAMP], "webhook-timestamp: %" PRId64, now_s);
	buf_str(&m->lines[SIGNATURE], "webhook-signature: ");
	signature_write(&m->lines[SIGNATURE], hook->secrets.items, hook->secrets.n, id, now_s,
			m->body.data, m->body.len);
	for (int i = 0; i < WEBHOOK_HEADERS; i++) {
		if (!buf_ok(&m->lines[i]))
			return -1;
		m->headers[i] = buf_text(&m->lines[i]);
	}
	return 0;
}
