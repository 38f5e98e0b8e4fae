/*
 * recover.c and kept_deaths.c: a death is kept until none of its jobs is left, and whatever becomes
 * of one job, the others and the next deaths go on.
 */
#include "janitor_fixture.h"

#include "janitor/recover.h"

static struct recover recover;

static int set_up(void **state)
{
	if (set_up_janitor(state) == -1)
		return -1;
	recover_init(&recover, &m);
	return 0;
}

static int tear_down(void **state)
{
	loop_timer_stop(m.loop, &recover.sweep.turn_timer);
	loop_timer_stop(m.loop, &recover.sweep.look_timer);
	recover_free(&recover);
	return tear_down_janitor(state);
}

static void die(const char *identity)
{
	struct death d = { .line = BREADCRUMB_NO_LINE, .how = "was killed by signal 9 (Killed)" };

	snprintf(d.identity, sizeof(d.identity), "%s", identity);
	assert_true(deaths_push(&sb->deaths, &d));
}

/* Row of sql/left_behind.sql: job n, of the death in that place, which had so many. */
static void left(PGresult *result, int row, int place, int n, int had)
{
	cell_int8(result, row, 0, place);
	cell_uuid(result, row, 1, id_of(n));
	cell_uuid(result, row, 2, id_of(900 + n));
	cell_int8(result, row, 3, 70 + n);
	cell_int4(result, row, 4, had);
	cell_bool(result, row, 5, false);
	cell_int4(result, row, 6, had == 1);
	cell_int4(result, row, 7, 1);
}

static void answer_left(int place, int first, int n, int had)
{
	PGresult *result = rows_of(8);

	for (int i = 0; i < n; i++)
		left(result, i, place, first + i, had);
	assert_sent(0, STATEMENT_LEFT_BEHIND);
	answer_with(result, NULL);
}

/* What they were asking about is given up beside; its answer decides nothing. */
static void answer_forgotten(void)
{
	assert_sent(0, STATEMENT_FORGET_FLIGHTS);
	answer_with(rows_of(1), NULL);
}

static int kept(void)
{
	int n = 0;

	for (int i = 0; i < KEPT_DEATHS_MAX; i++)
		n += sb->kept_deaths.at[i].death.identity[0] != '\0';
	return n;
}

static void test_the_jobs_of_a_death_go_back_and_it_is_done_with(void **state)
{
	(void)state;
	die("host/boot/1/2");
	recover_deaths(&recover);
	assert_null(deaths_peek(&sb->deaths, 0));	/* the ring is free for the next one, */
	assert_int_equal(kept(), 1);			/* and it is not forgotten */
	assert_true(param_has_text(0, 0, "host/boot/1/2"));
	assert_true(recover_is_at_work(&recover));
	answer_left(1, 1, 3, 3);
	answer_forgotten();
	assert_sent(0, STATEMENT_RECOVER);
	for (int n = 1; n <= 3; n++)
		assert_true(param_has_uuid(0, 0, id_of(n)));
	assert_true(param_has_text(0, 2, "was killed by signal 9 (Killed)"));
	answer_with(rows_outcome(3, "done"), NULL);
	assert_int_equal(cared(COUNTER_JOBS_RECOVERED), 3);
	answer_left(0, 0, 0, 0);			/* it looks whether that was all */
	assert_int_equal(kept(), 0);
	assert_false(recover_is_at_work(&recover));
	assert_int_equal(fake_pg.n, 0);
}

static void test_a_death_without_jobs_is_done_with_at_once(void **state)
{
	(void)state;
	die("host/boot/1/2");
	recover_deaths(&recover);
	answer_left(0, 0, 0, 0);
	assert_int_equal(kept(), 0);
	answer_forgotten();
	assert_int_equal(fake_pg.n, 0);
}

/* The second of two comes back later: how many there were is told with each later look. */
static void test_how_many_jobs_it_had_is_counted_once(void **state)
{
	(void)state;
	die("host/boot/1/2");
	recover_deaths(&recover);
	answer_left(1, 1, 2, 2);
	answer_forgotten();
	answer_with(rows_outcome(1, "done"), NULL);	/* of the other there is no answer */
	assert_sent(0, STATEMENT_LEFT_BEHIND);
	assert_int_equal(sb->kept_deaths.at[0].had, 2);
	answer_left(1, 2, 1, 1);
	assert_int_equal(sb->kept_deaths.at[0].had, 2);
	assert_int_equal(kept(), 1);
}

static void test_a_death_whose_job_is_swallowed_holds_up_no_later_one(void **state)
{
	(void)state;
	die("host/boot/1/2");
	recover_deaths(&recover);
	answer_left(1, 1, 1, 1);
	answer_forgotten();
	answer_with(rows_outcome(1, "refused"), NULL);
	assert_int_equal(kept(), 1);
	assert_false(recover_is_at_work(&recover));
	die("host/boot/3/4");
	recover_deaths(&recover);
	assert_null(deaths_peek(&sb->deaths, 0));
	assert_true(param_has_text(0, 0, "host/boot/1/2"));
	assert_true(param_has_text(0, 0, "host/boot/3/4"));
	answer_left(2, 5, 2, 2);
	answer_forgotten();
	assert_sent(0, STATEMENT_RECOVER);
	assert_false(param_has_uuid(0, 0, id_of(1)));
	answer_with(rows_outcome(2, "done"), NULL);
	assert_int_equal(cared(COUNTER_JOBS_RECOVERED), 2);
	answer_left(1, 1, 1, 1);			/* there still is the one */
	assert_int_equal(kept(), 1);
	assert_int_equal(fake_pg.n, 0);
}

static void test_a_janitor_that_dies_loses_no_death(void **state)
{
	(void)state;
	die("host/boot/1/2");
	recover_deaths(&recover);
	fake_pg.ready = false;
	answer_error(ERR_LOST, "");
	answer_error(ERR_LOST, "");
	recover_free(&recover);
	recover_init(&recover, &m);			/* the next one */
	fake_pg.ready = true;
	recover_deaths(&recover);
	assert_true(param_has_text(0, 0, "host/boot/1/2"));
	answer_left(1, 1, 1, 1);
	assert_sent(0, STATEMENT_RECOVER);
}

static void test_without_a_connection_deaths_stay_in_the_ring(void **state)
{
	(void)state;
	die("host/boot/1/2");
	fake_pg.ready = false;
	recover_deaths(&recover);
	assert_non_null(deaths_peek(&sb->deaths, 0));
	assert_true(recover_is_at_work(&recover));
}

static void test_a_death_that_comes_during_a_look_gets_its_own(void **state)
{
	(void)state;
	die("host/boot/1/2");
	recover_deaths(&recover);
	die("host/boot/3/4");
	recover_deaths(&recover);
	assert_false(param_has_text(0, 0, "host/boot/3/4"));
	answer_left(0, 0, 0, 0);
	assert_int_equal(kept(), 1);		/* that of the first look alone is done with */
	answer_forgotten();
	answer_forgotten();
	assert_sent(0, STATEMENT_LEFT_BEHIND);
	assert_true(param_has_text(0, 0, "host/boot/3/4"));
}

static void test_kept_deaths_have_a_bound(void **state)
{
	struct kept_deaths *k = &sb->kept_deaths;
	struct death d = { .how = "died" };

	(void)state;
	assert_true(kept_deaths_add(k, &d));	/* nobody's */
	assert_false(kept_deaths_any(k));
	for (int i = 0; i < KEPT_DEATHS_MAX; i++) {
		snprintf(d.identity, sizeof(d.identity), "host/%d", i);
		assert_true(kept_deaths_add(k, &d));
		assert_true(kept_deaths_add(k, &d));
	}
	snprintf(d.identity, sizeof(d.identity), "one more");
	assert_false(kept_deaths_add(k, &d));
	assert_true(kept_deaths_has(k, "host/77"));
	kept_deaths_drop(&k->at[77]);
	assert_false(kept_deaths_has(k, "host/77"));
	assert_true(kept_deaths_add(k, &d));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_the_jobs_of_a_death_go_back_and_it_is_done_with),
		TEST(test_a_death_without_jobs_is_done_with_at_once),
		TEST(test_how_many_jobs_it_had_is_counted_once),
		TEST(test_a_death_whose_job_is_swallowed_holds_up_no_later_one),
		TEST(test_a_janitor_that_dies_loses_no_death),
		TEST(test_without_a_connection_deaths_stay_in_the_ring),
		TEST(test_a_death_that_comes_during_a_look_gets_its_own),
		TEST(test_kept_deaths_have_a_bound),
	};

	return cmocka_run_group_tests_name("recover", tests, NULL, NULL);
}
