/* tenants.c and shares.c: which numbers and weights workers see, and when they are asked for again. */
#include "janitor_fixture.h"

#include "config/config_share.h"
#include "janitor/tenants.h"

static struct tenants tenants;
static char *items[SHARES_MAX] = { "acme:3", "be:ta", "c:d:7" };

static int set_up(void **state)
{
	if (set_up_janitor(state) == -1)
		return -1;
	config.tenants.shares = (struct string_list){ items, 3 };
	config.queue.poll_ms = 10;
	tenants_init(&tenants, &m);
	return 0;
}

static int tear_down(void **state)
{
	loop_timer_stop(m.loop, &tenants.timer);
	return tear_down_janitor(state);
}

/* The first n tenants have the numbers 11, 12, ... */
static PGresult *rows_numbered(int n)
{
	PGresult *result = rows_of(2);

	for (int i = 0; i < n; i++) {
		cell_int8(result, i, 0, i + 1);
		cell_int4(result, i, 1, 11 + i);
	}
	return result;
}

static void assert_share(int place, int32_t number, int32_t weight)
{
	int32_t found, weighs;

	assert_int_equal(shares_get(&sb->shares, place, &found, &weighs), number > 0);
	assert_int_equal(found, number);
	assert_int_equal(weighs, weight);
}

static void test_workers_see_numbers_and_weights(void **state)
{
	(void)state;
	tenants_ask(&tenants);
	assert_sent(0, STATEMENT_TENANTS);
	assert_true(param_has_text(0, 0, "acme"));
	assert_false(param_has_text(0, 0, "acme:"));
	assert_true(param_has_text(0, 0, "be:ta"));
	answer_with(rows_numbered(3), NULL);
	assert_share(0, 11, 3);
	assert_share(1, 12, 1);
	assert_share(2, 13, 7);
	for (int i = 3; i < SHARES_MAX; i++)
		assert_share(i, 0, 0);
	assert_false(sent_within(50));
}

static void test_what_is_missing_is_asked_for_again(void **state)
{
	(void)state;
	tenants_ask(&tenants);
	tenants_ask(&tenants);
	assert_int_equal(fake_pg.n, 1);
	answer_with(rows_numbered(1), NULL);
	assert_share(0, 11, 3);
	assert_share(1, 0, 0);
	assert_true(sent_within(5000));
	answer_error(ERR_RETRY, "53100");
	assert_share(0, 11, 3);
	assert_true(sent_within(5000));
	answer_with(rows_numbered(3), NULL);
	assert_share(2, 13, 7);
}

static void test_without_tenants_nobody_is_asked(void **state)
{
	(void)state;
	shares_set(&sb->shares, 0, 5, 5);
	config.tenants.shares.n = 0;
	tenants_ask(&tenants);
	assert_int_equal(fake_pg.n, 0);
	assert_share(0, 0, 0);
}

static void test_a_weight_stands_behind_the_last_colon(void **state)
{
	static const struct { const char *text; int weight; size_t name_len; } cases[] = {
		{ "acme", 1, 4 }, { "acme:20", 20, 4 }, { "a:b", 1, 3 }, { "a:", 1, 2 },
		{ "a:7:8", 8, 3 }, { "9:9", 9, 1 }, { "a:-1", 1, 4 }, { "a: 1", 1, 4 },
		{ "a:0", 0, 1 }, { "a:1001", 0, 1 }, { "a:99999999999999999999", 0, 1 },
		{ "", 0, 0 }, { ":1", 0, 0 }, { "\xff:1", 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len;

		assert_int_equal(config_share_weight(cases[i].text, &len), cases[i].weight);
		assert_int_equal(len, cases[i].name_len);
	}
}

#define TENANTS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TENANTS_TEST(test_workers_see_numbers_and_weights),
		TENANTS_TEST(test_what_is_missing_is_asked_for_again),
		TENANTS_TEST(test_without_tenants_nobody_is_asked),
		cmocka_unit_test(test_a_weight_stands_behind_the_last_colon),
	};

	return cmocka_run_group_tests_name("tenants", tests, NULL, NULL);
}
