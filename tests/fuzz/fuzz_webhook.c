/*
 * Any bytes as what a webhook's receiver answers: how its call ended, a status, a Retry-After, a
 * body. Success is 2xx and nothing else; what is said of the rest is short and printable, and pauses
 * stay within their bounds. The same bytes as base64, and as addresses.
 */
#include "fuzz.h"

#include <netinet/in.h>

#include "base/address.h"
#include "base/base64.h"
#include "publisher/webhook_policy.h"

#define HEAD 16
#define LONGEST_MS (6 * 60 * 60 * INT64_C(1000))

static void check_fate(const struct http_reply *reply, const struct webhook_try *try)
{
	bool success = reply->status >= 200 && reply->status < 300;
	struct webhook_fate fate;

	webhook_judge(reply, try, &fate);
	CHECK((fate.end == WEBHOOK_DELIVERED) == success);
	CHECK(success == (fate.error[0] == '\0') || reply->end != HTTP_ANSWERED);
	CHECK(strlen(fate.error) < sizeof(fate.error));
	for (const char *p = fate.error; *p; p++)
		CHECK(*p >= ' ' && *p <= '~');
	CHECK(fate.pause_ms >= 0 && fate.pause_ms <= LONGEST_MS);
	CHECK(success || (fate.delay_ms >= fate.pause_ms && fate.delay_ms <= LONGEST_MS));
	CHECK(fate.gone == (reply->status == 410));
	CHECK(!fate.gone || fate.end == WEBHOOK_DEAD);
}

static void check_answer(const uint8_t *head, const char *body, size_t len)
{
	struct http_reply reply = {
		.end = (enum http_end)(head[0] % 6), .body = "", .detail = "",
		.status = head[1] % 8 ? (head[1] % 8) * 100 + head[2] % 100 : 0,
		.retry_after_ms = (int64_t)head[3] << (head[4] % 32),
	};
	struct webhook_try try = {
		.attempts = head[5] % 2 ? head[6] : INT32_MAX,
		.backoff_ms = 10 + ((int64_t)head[7] << (head[8] % 14)),
		.age_ms = head[9], .give_up_ms = head[10], .random = head[11] * 0x01010101u,
	};

	if (reply.end == HTTP_ANSWERED) {
		reply.body = body;
		reply.len = len;
		reply.status = reply.status ? reply.status : 200;
	} else {
		reply.detail = body;
	}
	check_fate(&reply, &try);
}

/* What is read is written again, but for padding that was left off. */
static void check_base64(const char *text, size_t len)
{
	unsigned char bytes[20000];
	long n = base64_read(text, len, bytes, sizeof(bytes));
	struct buf again;

	CHECK(n >= -1 && n <= (long)sizeof(bytes));
	if (n == -1)
		return;
	buf_init(&again, 40000);
	base64_write(&again, bytes, (size_t)n);
	CHECK(buf_ok(&again) && again.len >= len && again.len <= len + 2);
	CHECK(len == 0 || memcmp(again.data, text, len) == 0);
	buf_free(&again);
}

/* Whatever an IPv4 address is, it is in IPv6's form as well. */
static void check_addresses(const uint8_t *bytes)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char text[ADDRESS_TEXT_SIZE];
	bool inside;

	memcpy(&v4.sin_addr, bytes, 4);
	inside = address_is_inside((struct sockaddr *)&v4, sizeof(v4));
	v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&v6.sin6_addr.s6_addr[12], bytes, 4);
	CHECK(address_is_inside((struct sockaddr *)&v6, sizeof(v6)) == inside);
	memcpy(&v6.sin6_addr, bytes, 16);
	inside = address_is_inside((struct sockaddr *)&v6, sizeof(v6));
	CHECK(inside || bytes[0] >> 5 == 1 || bytes[0] == 0);
	address_text((struct sockaddr *)&v6, sizeof(v6), text);
	CHECK(strlen(text) < sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *body;

	if (size < HEAD)
		return 0;
	body = malloc(size - HEAD + 1);
	CHECK(body);
	memcpy(body, data + HEAD, size - HEAD);
	body[size - HEAD] = '\0';
	check_answer(data, body, size - HEAD);
	check_base64(body, size - HEAD);
	check_addresses(data);
	free(body);
	return 0;
}
