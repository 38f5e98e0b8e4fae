/* hint.c: which word was meant by one that is not known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hint.h"

static const char *const words[] = { "host", "hostaddr", "port", "sslmode", NULL };

static void assert_meant(const char *text, const char *meant)
{
	const char *found = hint_word(words, text);

	if (meant)
		assert_string_equal(found ? found : "none", meant);
	else
		assert_null(found);
}

static void test_two_slips_are_forgiven(void **state)
{
	(void)state;
	assert_meant("host", "host");
	assert_meant("hots", "host");		/* two letters changed places */
	assert_meant("hst", "host");
	assert_meant("hoost", "host");
	assert_meant("sslmoed", "sslmode");
	assert_meant("ssl_mode", "sslmode");
	assert_meant("portnr", "port");
}

static void test_three_are_another_word(void **state)
{
	(void)state;
	assert_meant("portnum", NULL);
	assert_meant("", NULL);
	assert_meant("password", NULL);
}

static void test_the_nearest_is_meant(void **state)
{
	(void)state;
	assert_meant("hostad", "host");		/* two away from both: the first stays */
	assert_meant("hostadr", "hostaddr");
	assert_meant("pot", "port");		/* one from port, two from host */
}

static void test_a_word_longer_than_any_is_far(void **state)
{
	char longest[66];

	(void)state;
	memset(longest, 'x', 65);
	longest[65] = '\0';
	assert_meant(longest, NULL);
}

static void test_a_part_of_a_word_may_be_considered(void **state)
{
	static const int meaning = 1;
	struct hint hint = hint_for("queu");

	(void)state;
	hint_consider(&hint, "rater.model", 5, NULL);
	assert_null(hint.meaning);
	hint_consider(&hint, "queue.poll", 5, &meaning);
	assert_ptr_equal(hint.meaning, &meaning);
	assert_int_equal(hint.distance, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_slips_are_forgiven),
		cmocka_unit_test(test_three_are_another_word),
		cmocka_unit_test(test_the_nearest_is_meant),
		cmocka_unit_test(test_a_word_longer_than_any_is_far),
		cmocka_unit_test(test_a_part_of_a_word_may_be_considered),
	};

	return cmocka_run_group_tests_name("hint", tests, NULL, NULL);
}
