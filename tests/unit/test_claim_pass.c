/* claim_pass.c: which places are passed when a claim is refused, and how many. */
#include "worker_fixture.h"

#include "scoreboard/pass.h"
#include "worker/claim_pass.h"

static struct claim_pass pass;

static int set_up_pass(void **state)
{
	if (set_up_worker(state) == -1)
		return -1;
	claim_pass_init(&pass, &ctx);
	return 0;
}

static int tear_down_pass(void **state)
{
	claim_pass_check(&pass);
	return tear_down_worker(state);
}

static const struct err refused = { .kind = ERR_RETRY, .sqlstate = "55000", .text = "not now" };

/* n places from `first` on; every third is of priority 7. */
static void peek(int first, int n)
{
	PGresult *places = rows_of(4);

	for (int i = 0; i < n; i++) {
		cell_uuid(places, i, 0, id_of(first + i));
		cell_int4(places, i, 1, (first + i) % 3 ? 0 : 7);
		cell_int8(places, i, 2, 1000 + first + i);
		cell_int4(places, i, 3, 0);
	}
	claim_pass_peeked(&pass, places);
	PQclear(places);
}

static struct floors passes(void)
{
	struct floors f;

	pass_read(sb, &f);
	return f;
}

static void test_each_priority_is_passed_to_its_last_place(void **state)
{
	(void)state;
	assert_int_equal(claim_pass_refused(&pass, 64, &refused), 64);
	peek(1, 5);
	assert_int_equal(passes().n, 2);
	assert_int_equal(passes().at[0].priority, 7);
	assert_int_equal(passes().at[0].available_at, 1003);
	assert_int_equal(passes().at[1].available_at, 1005);
}

/* A thousand are passed with few claims, and few others along with them. */
static void test_more_is_passed_the_more_was_in_a_row(void **state)
{
	int n = 0, claims = 0, last = 0;

	(void)state;
	assert_int_equal(claim_pass_refused(&pass, 1, &refused), 16);
	claim_pass_brought(&pass);
	for (; n < 1000; claims++) {
		last = claim_pass_refused(&pass, 64, &refused);
		peek(n + 1, last);
		n += last;
	}
	assert_in_range(claims, 8, 14);
	assert_in_range(n, 1000, 1250);
	assert_false(claim_pass_is_enough(&pass));
	claim_pass_brought(&pass);
	assert_int_equal(claim_pass_refused(&pass, 64, &refused), 64);
}

static void test_when_nothing_else_comes_it_is_enough(void **state)
{
	(void)state;
	for (int i = 0; i < 200 && !claim_pass_is_enough(&pass); i++) {
		assert_in_range(claim_pass_refused(&pass, 64, &refused), 64, 8192);
		pass.in_row = INT32_MAX;	/* it does not run over */
		peek(1, 3);
	}
	assert_true(claim_pass_is_enough(&pass));
	claim_pass_brought(&pass);
	assert_false(claim_pass_is_enough(&pass));
}

static void test_nothing_is_passed_where_the_culprits_have_gone(void **state)
{
	(void)state;
	claim_pass_refused(&pass, 64, &refused);
	peek(1, 0);
	assert_false(pass_is_on(sb));
}

static void test_what_was_locked_and_not_claimed_is_passed(void **state)
{
	PGresult *rows = rows_claimed(1, 3, 5);

	(void)state;
	assert_int_equal(claim_pass_over(&pass, rows), 0);
	assert_false(pass_is_on(sb));
	cell_text(rows, 1, 2, NULL);
	assert_int_equal(claim_pass_over(&pass, rows), 1);
	assert_int_equal(passes().at[0].available_at, 1002);
	PQclear(rows);
}

#define PASS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_pass, tear_down_pass)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PASS_TEST(test_each_priority_is_passed_to_its_last_place),
		PASS_TEST(test_more_is_passed_the_more_was_in_a_row),
		PASS_TEST(test_when_nothing_else_comes_it_is_enough),
		PASS_TEST(test_nothing_is_passed_where_the_culprits_have_gone),
		PASS_TEST(test_what_was_locked_and_not_claimed_is_passed),
	};

	return cmocka_run_group_tests_name("claim_pass", tests, NULL, NULL);
}
