/* provenances.c: the id of each, and which of them are known to be stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/provenances.h"

static struct provenances *all;

static int set_up(void **state)
{
	(void)state;
	all = provenances_new();
	provenances_begin(all);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	provenances_free(all);
	return 0;
}

static bool is_new(const char *document)
{
	bool new;

	provenances_id(all, document, &new);
	return new;
}

/* Whether it goes along with the next statement. */
static bool goes_along(const char *document)
{
	provenances_begin(all);
	return is_new(document);
}

/* Other workers and later releases compute the same: what is stored is found by it. */
static void test_the_id_is_that_of_the_text(void **state)
{
	char copy[] = "{\"model\": \"m\"}", text[UUID_SIZE], other[UUID_SIZE];
	bool new;

	(void)state;
	uuid_text(provenances_id(all, "{\"model\": \"m\"}", &new), text);
	assert_string_equal(text, "c821658a-11de-53b2-ba62-186364ddab51");
	uuid_text(provenances_id(all, copy, &new), other);
	assert_string_equal(other, text);
	uuid_text(provenances_id(all, "{\"model\": \"n\"}", &new), other);
	assert_string_not_equal(other, text);
}

static void test_one_goes_along_once_a_statement_until_it_is_stored(void **state)
{
	char copy[] = "{}";

	(void)state;
	assert_false(provenances_any_new(all));
	assert_true(is_new("{}"));
	assert_false(is_new("{}"));
	assert_false(is_new(copy));
	assert_true(provenances_any_new(all));
	provenances_sent(all);
	assert_true(goes_along("{}"));		/* nobody knows yet */
	provenances_settled(all, true);
	assert_false(goes_along("{}"));
	assert_false(provenances_any_new(all));
	assert_true(is_new("{\"model\": \"m\"}"));
}

static void test_what_was_rolled_back_goes_along_again(void **state)
{
	(void)state;
	assert_true(is_new("{}"));
	provenances_sent(all);
	provenances_settled(all, false);
	assert_true(goes_along("{}"));
}

/* One is told of at a time; the answer is not that of what was packed since. */
static void test_an_answer_speaks_for_what_was_sent(void **state)
{
	(void)state;
	assert_true(is_new("{\"a\": 1}"));
	provenances_sent(all);
	assert_true(goes_along("{\"b\": 2}"));
	provenances_settled(all, true);
	assert_false(goes_along("{\"a\": 1}"));
	assert_true(goes_along("{\"b\": 2}"));
}

static void test_another_connection_knows_nothing(void **state)
{
	(void)state;
	assert_true(is_new("{}"));
	provenances_sent(all);
	provenances_settled(all, true);
	provenances_forget(all);
	assert_true(goes_along("{}"));
}

/* More than there is room for: some are sent again, and none is taken for another. */
static void test_many(void **state)
{
	char text[32], ids[300][UUID_SIZE];
	bool new;

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i++) {
			char id[UUID_SIZE];

			snprintf(text, sizeof(text), "{\"n\": %d}", i);
			provenances_begin(all);
			uuid_text(provenances_id(all, text, &new), id);
			provenances_sent(all);
			provenances_settled(all, true);
			if (round == 0)
				strcpy(ids[i], id);
			assert_string_equal(id, ids[i]);
			assert_int_equal(i == 0 || strcmp(ids[i], ids[i - 1]) != 0, 1);
		}
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_the_id_is_that_of_the_text),
		EACH(test_one_goes_along_once_a_statement_until_it_is_stored),
		EACH(test_what_was_rolled_back_goes_along_again),
		EACH(test_an_answer_speaks_for_what_was_sent),
		EACH(test_another_connection_knows_nothing),
		EACH(test_many),
	};

	return cmocka_run_group_tests_name("provenances", tests, NULL, NULL);
}
