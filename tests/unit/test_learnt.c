/* learnt.c: what one worker has found out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scoreboard/learnt.h"

static struct learnt learnt;

static int setup(void **state)
{
	(void)state;
	memset(&learnt, 0, sizeof(learnt));
	learnt_begin(&learnt);
	return 0;
}

static void test_the_first_one_says_it(void **state)
{
	uint64_t hash = learnt_hash("model", "temperature");

	(void)state;
	assert_false(learnt_is_known(hash));
	assert_true(learnt_add(hash));
	assert_true(learnt_is_known(hash));
	assert_false(learnt_add(hash));
	assert_false(learnt_is_known(learnt_hash("model", "seed")));
	assert_false(learnt_is_known(learnt_hash("other", "temperature")));
	assert_false(learnt_is_known(learnt_hash("modeltemperature", "")));
	learnt_forget(&learnt);
	assert_false(learnt_is_known(hash));
	assert_true(learnt_add(hash));
}

static void test_a_full_list_forgets_nothing(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= LEARNT_CAP; i++)
		assert_true(learnt_add(i));
	assert_true(learnt_add(LEARNT_CAP + 1));
	assert_false(learnt_is_known(LEARNT_CAP + 1));
	for (uint64_t i = 1; i <= LEARNT_CAP; i++)
		assert_true(learnt_is_known(i));
}

static void test_without_a_pool_nobody_is_told(void **state)
{
	(void)state;
	learnt_begin(NULL);
	assert_true(learnt_add(7));
	assert_false(learnt_is_known(7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_the_first_one_says_it, setup),
		cmocka_unit_test_setup(test_a_full_list_forgets_nothing, setup),
		cmocka_unit_test_setup(test_without_a_pool_nobody_is_told, setup),
	};

	return cmocka_run_group_tests_name("learnt", tests, NULL, NULL);
}
