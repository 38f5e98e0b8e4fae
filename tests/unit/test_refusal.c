/* refusal.c: which errors of a claim may be those of one of its rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker/refusal.h"

static struct err error(enum err_kind kind, const char *sqlstate)
{
	struct err err = { .kind = kind };

	snprintf(err.sqlstate, sizeof(err.sqlstate), "%s", sqlstate);
	return err;
}

/* Also those that no constraint and no RAISE without words would use. */
static void test_nearly_all_may_be_of_a_row(void **state)
{
	static const char *const states[] = {
		"55000", "PT403", "42501", "P0001", "23514", "22003", "54000", "55P03", "57014",
		"42P01", "XX001", "0A000", "ABCDE", "08001", "08006", "57P01", "57P03",
		"25006",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct err err = error(ERR_RETRY, states[i]);

		if (!refusal_of_row(&err))
			fail_msg("%s is not taken for a row's", states[i]);
	}
}

static void test_what_speaks_of_the_whole_is_of_no_row(void **state)
{
	static const char *const states[] = {
		"40001", "40P01", "53100", "53200", "53300", "58030", "",
	};
	struct err lost = error(ERR_LOST, "55000");

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct err err = error(ERR_RETRY, states[i]);

		if (refusal_of_row(&err))
			fail_msg("%s is taken for a row's", states[i]);
	}
	assert_false(refusal_of_row(&lost));
}

static void test_a_lock_is_told_apart(void **state)
{
	struct err lock = error(ERR_RETRY, "55P03"), other = error(ERR_RETRY, "55000");

	(void)state;
	assert_true(refusal_by_lock(&lock));
	assert_false(refusal_by_lock(&other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearly_all_may_be_of_a_row),
		cmocka_unit_test(test_what_speaks_of_the_whole_is_of_no_row),
		cmocka_unit_test(test_a_lock_is_told_apart),
	};

	return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
