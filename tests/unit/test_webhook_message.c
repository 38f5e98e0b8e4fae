/* webhook_message.c: the bytes of a message, its headers, and what is too large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "publisher/webhook_message.h"

#define ID "01a22b5f-b150-7906-9ce3-58a762d9db7b"
#define AT "2026-11-30T07:12:22.417295Z"
#define BODY "{\"type\":\"session.ended\",\"timestamp\":\"" AT "\",\"data\":{\"session_id\":\"x\"}}"

static char *secrets[] = { (char *)"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" };
static const struct webhook hook = { .secrets = { secrets, 1 } };

static void test_body_and_headers(void **state)
{
	struct webhook_message m;

	(void)state;
	webhook_message_init(&m);
	for (int i = 0; i < 2; i++) {	/* the second time with the memory of the first */
		assert_int_equal(webhook_message_write(&m, &hook, ID, "session.ended", AT,
						       "{\"session_id\":\"x\"}", 1614265330), 0);
		assert_string_equal(buf_text(&m.body), BODY);
		assert_string_equal(m.headers[0], "webhook-id: " ID);
		assert_string_equal(m.headers[1], "webhook-timestamp: 1614265330");
		assert_string_equal(m.headers[2], "webhook-signature: v1,0I8CotSXCRy18bAXy27YP2mnLK4HXLurKglCRsBnCSk=");
		assert_null(m.headers[3]);
	}
	webhook_message_free(&m);
}

static void test_what_is_too_large_is_refused(void **state)
{
	size_t room = WEBHOOK_BODY_CAP_BYTES - strlen(BODY) + strlen("{\"session_id\":\"x\"}");
	char *data = calloc(1, room + 2);
	struct webhook_message m;

	(void)state;
	webhook_message_init(&m);
	memset(data, ' ', room + 1);
	assert_int_equal(webhook_message_write(&m, &hook, ID, "session.ended", AT, data, 1), -1);
	data[room] = '\0';
	assert_int_equal(webhook_message_write(&m, &hook, ID, "session.ended", AT, data, 1), 0);
	assert_int_equal(m.body.len, WEBHOOK_BODY_CAP_BYTES);
	webhook_message_free(&m);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_body_and_headers),
		cmocka_unit_test(test_what_is_too_large_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
