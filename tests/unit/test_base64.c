/* base64.c: the RFC's examples both ways, every length, and what is no base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"

static void test_rfc_4648_examples(void **state)
{
	static const struct { const char *plain, *text; } cases[] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned char bytes[8];
		struct buf out;

		buf_init(&out, 64);
		base64_write(&out, cases[i].plain, strlen(cases[i].plain));
		assert_string_equal(buf_text(&out), cases[i].text);
		assert_int_equal(base64_read(cases[i].text, strlen(cases[i].text), bytes, 8),
				 strlen(cases[i].plain));
		assert_memory_equal(bytes, cases[i].plain, strlen(cases[i].plain));
		buf_free(&out);
	}
}

static void test_all_bytes_come_back(void **state)
{
	unsigned char in[256], back[256];

	(void)state;
	for (int i = 0; i < 256; i++)
		in[i] = (unsigned char)(i * 167 + 13);
	for (size_t len = 0; len <= sizeof(in); len++) {
		struct buf out;

		buf_init(&out, 1024);
		base64_write(&out, in, len);
		assert_int_equal(out.len, (len + 2) / 3 * 4);
		assert_int_equal(base64_read(buf_text(&out), out.len, back, len), len);
		assert_memory_equal(back, in, len);
		if (len > 0)
			assert_int_equal(base64_read(buf_text(&out), out.len, back, len - 1), -1);
		buf_free(&out);
	}
}

static void test_padding_may_be_left_off(void **state)
{
	unsigned char bytes[8];

	(void)state;
	assert_int_equal(base64_read("Zm9vYg", 6, bytes, 8), 4);
	assert_int_equal(base64_read("Zm9vYmE", 7, bytes, 8), 5);
	assert_int_equal(base64_read("+/+/", 4, bytes, 8), 3);
	assert_int_equal(bytes[0], 0xfb);
}

static void test_what_is_no_base64(void **state)
{
	static const char *const texts[] = {
		"Z", "Zm9vY", "Zm9v=", "Zm9vYg=", "Zm9vYg===", "Zg==Zg==", "=", "==", "====",
		"Zm9 v", "Zm9v\n", "Zm-v", "Zm_v", "Zh==", "Zm9=", "\xc3\xa4\xc3\xa4",
	};
	unsigned char bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(base64_read(texts[i], strlen(texts[i]), bytes, 16), -1);
	assert_int_equal(base64_read("Zm9\0", 4, bytes, 16), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_4648_examples),
		cmocka_unit_test(test_all_bytes_come_back),
		cmocka_unit_test(test_padding_may_be_left_off),
		cmocka_unit_test(test_what_is_no_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
