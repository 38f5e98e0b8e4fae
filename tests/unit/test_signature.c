/* signature.c: the specification's own example, several secrets, and what counts as a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/webhook_secret.h"
#include "lib/signature.h"

#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define BODY "{\"test\": 2432232314}"

static char first[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
static char second[] = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#define BY_FIRST "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define BY_SECOND "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI="

static void test_the_specifications_example(void **state)
{
	char *const secrets[] = { first, second };
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	signature_write(&out, secrets, 1, ID, 1614265330, BODY, strlen(BODY));
	assert_string_equal(buf_text(&out), BY_FIRST);
	buf_reset(&out);
	signature_write(&out, secrets, 2, ID, 1614265330, BODY, strlen(BODY));
	assert_string_equal(buf_text(&out), BY_FIRST " " BY_SECOND);
	buf_free(&out);
}

static void test_every_part_is_signed(void **state)
{
	char *const secrets[] = { first };
	static const struct { const char *id; int64_t timestamp; const char *body; } others[] = {
		{ "msg_p5jXN8AQM9LWM0D4loKWxJel", 1614265330, BODY },
		{ ID, 1614265331, BODY },
		{ ID, 1614265330, "{\"test\": 2432232315}" },
		{ ID, 1614265330, "" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		buf_reset(&out);
		signature_write(&out, secrets, 1, others[i].id, others[i].timestamp,
				others[i].body, strlen(others[i].body));
		assert_int_equal(out.len, strlen(BY_FIRST));
		assert_string_not_equal(buf_text(&out), BY_FIRST);
	}
	buf_free(&out);
}

/* A secret of so many bytes, all zero, is read as such. */
static long read_zeros(size_t bytes)
{
	static const unsigned char zeros[80];
	unsigned char key[WEBHOOK_SECRET_MAX_BYTES];
	struct buf text;
	long n;

	buf_init(&text, 1024);
	buf_str(&text, WEBHOOK_SECRET_PREFIX);
	base64_write(&text, zeros, bytes);
	n = webhook_secret_read(text.data, text.len, key);
	buf_free(&text);
	return n;
}

static void test_what_is_a_secret(void **state)
{
	unsigned char key[WEBHOOK_SECRET_MAX_BYTES];

	(void)state;
	assert_int_equal(read_zeros(0), -1);
	assert_int_equal(read_zeros(23), -1);
	assert_int_equal(read_zeros(24), 24);
	assert_int_equal(read_zeros(64), 64);
	assert_int_equal(read_zeros(65), -1);
	assert_int_equal(webhook_secret_read(first, strlen(first), key), 24);
	assert_int_equal(webhook_secret_read(first + 6, strlen(first) - 6, key), -1);
	assert_int_equal(webhook_secret_read("whsec", 5, key), -1);
	assert_int_equal(webhook_secret_read("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 38, key),
			 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_specifications_example),
		cmocka_unit_test(test_every_part_is_signed),
		cmocka_unit_test(test_what_is_a_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
