/* pgrequest.c: requests are answered in the order in which they were made, each by one result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pg/pgrequest.h"

static const struct statement one = { "one", "SELECT $1", 1 }, two = { "two", "SELECT 2", 0 };

static void test_the_oldest_comes_first(void **state)
{
	struct pgrequests list;
	struct pgrequest *r;

	(void)state;
	pgrequests_init(&list);
	pgrequests_add(&list, &one, NULL, NULL);
	pgrequests_add(&list, &two, NULL, NULL);
	r = pgrequests_pop(&list);
	assert_string_equal(pgrequest_name(r), "one");
	pgrequest_free(r);
	r = pgrequests_pop(&list);
	assert_string_equal(pgrequest_name(r), "two");
	pgrequest_free(r);
	assert_null(list.head);
	pgrequests_add(&list, NULL, NULL, NULL);	/* an empty list takes more */
	assert_string_equal(pgrequest_name(list.head), "set-up");
	pgrequest_free(pgrequests_pop(&list));
}

static void test_those_sent_are_counted(void **state)
{
	struct pgrequests list;

	(void)state;
	pgrequests_init(&list);
	pgrequests_mark_sent(&list, pgrequests_add(&list, &two, NULL, NULL));
	assert_int_not_equal(list.head->sent_ms, 0);
	pgrequests_add(&list, &two, NULL, NULL);
	assert_int_equal(list.sent, 1);
	pgrequest_free(pgrequests_pop(&list));
	assert_int_equal(list.head->sent_ms, 0);
	pgrequest_free(pgrequests_pop(&list));
	assert_int_equal(list.sent, 1);
}

static void test_values_are_copied(void **state)
{
	struct pgrequests list;
	struct buf value;

	(void)state;
	buf_init(&value, 16);
	buf_str(&value, "before");
	pgrequests_init(&list);
	pgrequest_keep_params(pgrequests_add(&list, &one, NULL, NULL), &value);
	buf_reset(&value);
	buf_str(&value, "after");
	assert_string_equal(buf_text(&list.head->params[0]), "before");
	pgrequest_free(pgrequests_pop(&list));
	buf_free(&value);
}

static PGresult *made(ExecStatusType status)
{
	return PQmakeEmptyPGresult(NULL, status);
}

/* An error that follows the first result is that of the commit. */
static void test_the_first_result_counts_or_an_error_after_it(void **state)
{
	struct pgrequests list;
	struct pgrequest *r;
	PGresult *first = made(PGRES_TUPLES_OK);

	(void)state;
	pgrequests_init(&list);
	r = pgrequests_add(&list, &one, NULL, NULL);
	pgrequest_keep_result(r, first);
	pgrequest_keep_result(r, made(PGRES_COMMAND_OK));
	assert_ptr_equal(r->result, first);
	pgrequest_keep_result(r, made(PGRES_FATAL_ERROR));
	assert_int_equal(PQresultStatus(r->result), PGRES_FATAL_ERROR);
	pgrequest_keep_result(r, made(PGRES_TUPLES_OK));
	assert_int_equal(PQresultStatus(r->result), PGRES_FATAL_ERROR);
	pgrequest_free(pgrequests_pop(&list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_oldest_comes_first),
		cmocka_unit_test(test_those_sent_are_counted),
		cmocka_unit_test(test_values_are_copied),
		cmocka_unit_test(test_the_first_result_counts_or_an_error_after_it),
	};

	return cmocka_run_group_tests_name("pgrequest", tests, NULL, NULL);
}
