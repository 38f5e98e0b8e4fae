/*
 * mask.c: no password in what people get to see, whatever a connection string or a URL looks like.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mask.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct { const char *text, *masked; } masks[] = {
	{ "", "" },
	{ "dbname=grading", "dbname=grading" },
	{ "host=h password=hunter2 dbname=d", "host=h password=**** dbname=d" },
	{ "password=hunter2", "password=****" },
	{ "PASSWORD = hunter2 user=u", "PASSWORD =**** user=u" },
	{ "password='it\\'s hunter2' user=u", "password=**** user=u" },
	{ "password='open hunter2 user=u", "password=****" },
	{ "password=a\\ hunter2 user=u", "password=**** user=u" },
	{ "password=a&hunter2 user=u", "password=**** user=u" },
	{ "password='a'hunter2 user=u", "password=**** user=u" },
	{ "passwords=1 sslpassword=hunter2", "passwords=1 sslpassword=****" },
	{ "user=u\tpassword=hunter2", "user=u\tpassword=****" },
	{ "dbname='postgres://u:hunter2@h/db' user=u", "dbname='postgres://u:****@h/db' user=u" },
	{ "postgres://u@h:5432/db", "postgres://u@h:5432/db" },
	{ "postgres://h:5432/db", "postgres://h:5432/db" },
	{ "postgresql://u:hunter2@h:6543/db", "postgresql://u:****@h:6543/db" },
	{ "postgres://u:hunter2@h1:1,h2:2/db?sslmode=require",
	  "postgres://u:****@h1:1,h2:2/db?sslmode=require" },
	{ "postgres://u:p@hunter2@h/db", "postgres://u:****@h/db" },
	{ "postgres://u:p/hunter2@h/db", "postgres://u:****" },
	{ "postgres://u:p?hunter2@h/db", "postgres://u:****" },
	{ "postgres://h/db?user=u&password=hunter2&sslmode=require",
	  "postgres://h/db?user=u&password=****&sslmode=require" },
	{ "postgres://h:5432/db?password=p@hunter2", "postgres://h:****" },
	{ "postgres:///db?password=hunter2", "postgres:///db?password=****" },
	{ "https://host/v1?api-version=2&api-key=hunter2",
	  "https://host/v1?api-version=2&api-key=****" },
	{ "host=db dbname=grading", "host=db dbname=grading" },
	{ "user=password host=x", "user=password host=x" },
	{ "sslpassword=a password=b", "sslpassword=**** password=****" },
	{ "password='a b' host=x", "password=**** host=x" },
	{ "https://host/v1?api_key=abc&x=1", "https://host/v1?api_key=****&x=1" },
	{ "https://host/v1?sig=hunter2&sv=1", "https://host/v1?sig=****&sv=1" },
};

static void test_what_quotes_a_url(void **state)
{
	static const struct { const char *url, *text; bool quotes; } cases[] = {
		{ "https://h/v1?v=2024-05-01&sig=hunter2&x=1", "no route ?sig=hunter2", true },
		{ "https://h/v1?v=2024-05-01&sig=hunter2#f", "hunter2", true },
		{ "https://h/v1?v=2024-05-01&sig=hunter2", "version 2024-05-01, hunter", false },
		{ "https://h/v1?code=abc", "abc", false }, /* too short to be told from a word */
		{ "https://h/v1?model=verylongname&key=12345678#end", "no verylongname", false },
		{ "https://h/v1?sig=", "", false },
		{ "https://h/v1?", "?", false },
		{ "https://h/v1", "h", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(
			mask_is_url_quoted(cases[i].url, cases[i].text, strlen(cases[i].text)),
			cases[i].quotes);
}

static void test_masks(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < COUNT(masks); i++) {
		buf_reset(&out);
		mask_secrets(masks[i].text, &out);
		assert_string_equal(buf_text(&out), masks[i].masked);
	}
	buf_free(&out);
}

static void test_quoted_secrets_are_found(void **state)
{
	(void)state;
	assert_true(mask_is_quoted("sk-1234567", "key sk-1234567 refused", 22));
	assert_false(mask_is_quoted("sk-1234567", "key sk-123456", 13));
	assert_false(mask_is_quoted("none", "there is none", 13));	/* a word like others */
	assert_false(mask_is_quoted(NULL, "anything", 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_what_quotes_a_url),
		cmocka_unit_test(test_quoted_secrets_are_found),
	};

	return cmocka_run_group_tests_name("mask", tests, NULL, NULL);
}
