/* pgerror.c: what Postgres and libpq say, sorted and in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pg/pgerror.h"

static void check_message(const char *message, const char *expected)
{
	char text[200];

	pgerror_copy_message(text, sizeof(text), message);
	assert_string_equal(text, expected);
}

static void test_messages_become_one_line(void **state)
{
	char small[8];

	(void)state;
	check_message("", "");
	check_message("could not connect\n", "could not connect");
	check_message("no file\n\tIs the server running?\n", "no file; Is the server running?");
	check_message("FATAL:  28P01: wrong\nLOCATION:  auth_failed, auth.c:329\n",
		      "FATAL: 28P01: wrong");
	check_message("ends with a stop.\nnext", "ends with a stop. next");
	pgerror_copy_message(small, sizeof(small), "much too long");
	assert_string_equal(small, "much t");
}

static void test_refusals(void **state)
{
	(void)state;
	assert_true(pgerror_is_refusal("FATAL:  28P01: password authentication failed"));
	assert_true(pgerror_is_refusal("SCHWERWIEGEND:  3D000: Datenbank existiert nicht"));
	assert_true(pgerror_is_refusal("ERROR:  42501: permission denied"));
	assert_true(pgerror_is_refusal("fe_sendauth: no password supplied"));
	assert_false(pgerror_is_refusal("FATAL:  57P03: the database system is starting up"));
	assert_false(pgerror_is_refusal("Connection refused"));
}

static void test_lock_conflicts(void **state)
{
	(void)state;
	assert_true(
		pgerror_is_lock_conflict("ERROR:  55P03: canceling statement due to lock timeout"));
	assert_true(pgerror_is_lock_conflict("ERROR:  40P01: deadlock detected"));
	assert_false(pgerror_is_lock_conflict("ERROR:  57014: canceling statement due to timeout"));
}

static void test_kinds(void **state)
{
	(void)state;
	assert_int_equal(pgerror_kind("22P05"), ERR_PERMANENT);
	assert_int_equal(pgerror_kind("23505"), ERR_PERMANENT);
	assert_int_equal(pgerror_kind("P0001"), ERR_PERMANENT);
	assert_int_equal(pgerror_kind("42P01"), ERR_CONFIG);
	assert_int_equal(pgerror_kind("42501"), ERR_CONFIG);
	assert_int_equal(pgerror_kind("40001"), ERR_RETRY);
	assert_int_equal(pgerror_kind("53100"), ERR_RETRY);
	assert_int_equal(pgerror_kind(NULL), ERR_RETRY);
}

/* "" for one that is accepted. */
static void check_conninfo(const char *conninfo, const char *part)
{
	struct err err = { .text = "" };

	assert_int_equal(pgerror_check_conninfo(conninfo, &err), part[0] ? -1 : 0);
	assert_non_null(strstr(err.text, part));
	if (part[0])
		assert_int_equal(err.kind, ERR_CONFIG);
	assert_null(strstr(err.text, "s3cret"));
}

static void test_connection_strings(void **state)
{
	(void)state;
	check_conninfo("grading", "");
	check_conninfo("host=db password=s3cret", "");
	check_conninfo("postgresql://ann:s3cret@db:5432/grading", "");
	check_conninfo("hots=db password=s3cret", "did you mean \"host\"?");
	check_conninfo("nonsense=x password=s3cret", "malformed");
	check_conninfo("password=two s3cret words", "malformed");
	check_conninfo("postgresql://ann:a@s3cret@db/grading",
		       "host in the connection string has an @");
	check_conninfo("host=db port=s3cret", "port in the connection string is no number");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_become_one_line),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lock_conflicts),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_connection_strings),
	};

	return cmocka_run_group_tests_name("pgerror", tests, NULL, NULL);
}
