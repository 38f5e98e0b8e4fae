/* outcome.c: the list of outcomes has names, words and counters of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scoreboard/outcome.h"

static void test_outcomes_have_names_and_counters(void **state)
{
	(void)state;
	assert_string_equal(outcome_name(OUTCOME_UNKNOWN_RATING), "unknown_rating");
	assert_string_equal(outcome_words(OUTCOME_EMPTY), "the reply is empty");
	assert_int_equal(outcome_counter(OUTCOME_DUPLICATE), COUNTER_OUTCOME_DUPLICATE);
	assert_int_equal(outcome_counter(OUTCOME_RATED), COUNTER_OUTCOME_RATED);
	assert_int_equal(outcome_counter(OUTCOME_PENDING), COUNTER_COUNT);
	for (int a = 0; a < OUTCOME_COUNT; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(outcome_name((enum outcome)a),
						outcome_name((enum outcome)b));
}

static void test_each_but_pending_counts_apart(void **state)
{
	(void)state;
	for (int a = 0; a < OUTCOME_COUNT; a++) {
		enum counter counter = outcome_counter((enum outcome)a);

		assert_int_equal(counter == COUNTER_COUNT, a == OUTCOME_PENDING);
		assert_true(outcome_words((enum outcome)a)[0]);
		for (int b = 0; b < a; b++)
			assert_int_not_equal(counter, outcome_counter((enum outcome)b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes_have_names_and_counters),
		cmocka_unit_test(test_each_but_pending_counts_apart),
	};

	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
