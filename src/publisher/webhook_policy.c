/* What answers of webhooks' receivers mean. The publisher; pure. */
#include "webhook_policy.h"

#include <stdio.h>
#include <string.h>

#define DELAY_MAX_MS (6 * 60 * 60 * INT64_C(1000))
#define QUOTED_BYTES 120		/* of a refusal's body */
#define FACTOR 4

/* Half of it at least, so that a crowd of messages does not come back as one. */
static int64_t backoff_ms(const struct webhook_try *try)
{
	int64_t limit = try->backoff_ms;

	for (int i = 1; i < try->attempts && limit < DELAY_MAX_MS; i++)
		limit *= FACTOR;
	if (limit > DELAY_MAX_MS)
		limit = DELAY_MAX_MS;
	return limit - limit / 2 * (int64_t)(try->random & 0xffff) / 0xffff;
}

/* What the receiver says, on one line and harmless. */
static void quote(struct webhook_fate *fate, const char *body, size_t len)
{
	size_t n = strlen(fate->error), end;
	bool blank = true;

	if (len == 0)
		return;
	if (n > 0)
		n += (size_t)snprintf(fate->error + n, sizeof(fate->error) - n, ": ");
	end = n + QUOTED_BYTES < sizeof(fate->error) ? n + QUOTED_BYTES : sizeof(fate->error) - 1;
	for (size_t i = 0; i < len && n < end; i++) {
		bool printable = body[i] > ' ' && body[i] <= '~';

		if (printable || !blank)
			fate->error[n++] = printable ? body[i] : ' ';
		blank = !printable;
	}
	fate->error[n] = '\0';
}

static void say_what_is_wrong(const struct http_reply *reply, struct webhook_fate *fate)
{
	size_t size = sizeof(fate->error);

	if (reply->status >= 300 && reply->status < 400)
		snprintf(fate->error, size, "answered with status %d: redirects are not followed, "
			 "so the URL must be the final one", reply->status);
	else if (reply->status)
		snprintf(fate->error, size, "answered with status %d", reply->status);
	else if (reply->end == HTTP_TIMED_OUT)
		snprintf(fate->error, size, "no answer in time (the webhook's timeout)");
	if (reply->status && reply->end == HTTP_ANSWERED && reply->status / 100 != 3)
		quote(fate, reply->body, reply->len);
	else if (!fate->error[0])
		quote(fate, reply->detail, strlen(reply->detail));
}

static bool is_limited(int status)
{
	return status == 429 || status == 503;
}

/* The receiver's own word on when to come back; 0: none. */
static int64_t asked_ms(const struct http_reply *reply)
{
	if (!is_limited(reply->status))
		return 0;
	return reply->retry_after_ms < DELAY_MAX_MS ? reply->retry_after_ms : DELAY_MAX_MS;
}

void webhook_judge(const struct http_reply *reply, const struct webhook_try *try,
		   struct webhook_fate *fate)
{
	*fate = (struct webhook_fate){ .end = WEBHOOK_DELIVERED, .status = reply->status };
	if (reply->status >= 200 && reply->status < 300)
		return;
	say_what_is_wrong(reply, fate);
	fate->gone = reply->status == 410;
	fate->end = fate->gone || try->age_ms >= try->give_up_ms ? WEBHOOK_DEAD : WEBHOOK_AGAIN;
	fate->pause_ms = asked_ms(reply);
	fate->delay_ms = backoff_ms(try);
	if (fate->delay_ms < fate->pause_ms)
		fate->delay_ms = fate->pause_ms;
}
