/* session_end.c: who is told that a session may be over, and when nobody is asked. */
#include "worker_fixture.h"

#include "worker/session_end.h"

static struct session_end ends;
static int due;

static void on_due(void *arg)
{
	(void)arg;
	due++;
}

static int begin(void **state)
{
	if (set_up_worker(state) == -1)
		return -1;
	session_end_init(&ends, &ctx, on_due, NULL);
	due = 0;
	return 0;
}

static const char *session(int n)
{
	static char id[UUID_SIZE];

	snprintf(id, sizeof(id), "00000000-0000-0000-0000-%012d", n);
	return id;
}

static void test_while_nothing_waits_nobody_asks(void **state)
{
	(void)state;
	session_end_note(&ends, session(1));
	session_end_turn(&ends);
	assert_int_equal(fake_pg.n, 0);
	assert_true(session_end_is_quiet(&ends));
	assert_int_equal(session_end_soon_ms(&ends, now_ms()), 0);
}

static void test_a_session_is_asked_about_once(void **state)
{
	(void)state;
	session_end_waits(&ends, 1000);
	session_end_note(&ends, session(1));
	session_end_note(&ends, session(2));
	session_end_note(&ends, session(1));
	session_end_check(&ends);
	assert_int_equal(ends.n, 2);
	session_end_turn(&ends);
	assert_sent(0, STATEMENT_RELEASE_WAITING);
	assert_false(session_end_is_quiet(&ends));
	session_end_note(&ends, session(3));
	session_end_turn(&ends);
	assert_int_equal(fake_pg.n, 1);		/* one on its way at a time */
	answer_with(rows_of(1), NULL);
	assert_int_equal(due, 0);		/* none was due */
	session_end_turn(&ends);
	assert_int_equal(fake_pg.n, 1);
	answer_error(ERR_RETRY, "57014");
	assert_int_equal(due, 0);
	assert_true(session_end_is_quiet(&ends));
}

static void test_what_is_due_is_claimed(void **state)
{
	PGresult *result;

	(void)state;
	session_end_waits(&ends, 1000);
	session_end_note(&ends, session(1));
	session_end_turn(&ends);
	result = rows_of(1);
	cell_text(result, 0, 0, "x");
	answer_with(result, NULL);
	assert_int_equal(due, 1);
}

static void test_too_many_look_by_themselves(void **state)
{
	(void)state;
	session_end_waits(&ends, 1000);
	for (int i = 0; i < SESSION_ENDS_MAX + 5; i++)
		session_end_note(&ends, session(i));
	assert_int_equal(ends.n, SESSION_ENDS_MAX);
	session_end_check(&ends);
}

static void test_without_a_connection_it_is_kept(void **state)
{
	(void)state;
	session_end_waits(&ends, 1000);
	session_end_note(&ends, session(1));
	fake_pg.ready = false;
	session_end_turn(&ends);
	assert_int_equal(ends.n, 1);
	fake_pg.ready = true;
	session_end_turn(&ends);
	assert_int_equal(fake_pg.n, 1);
	answer_error(ERR_LOST, "");
	assert_true(session_end_is_quiet(&ends));
}

static void test_once_waits_for_what_is_soon(void **state)
{
	int64_t now = now_ms();

	(void)state;
	session_end_waits(&ends, 100);
	assert_in_range(session_end_soon_ms(&ends, now), 100, 2000);
	assert_int_equal(session_end_soon_ms(&ends, now + 100000), 0);
	session_end_waits(&ends, 60000);
	assert_int_equal(session_end_soon_ms(&ends, now), 0);
	session_end_waits(&ends, 100);		/* the later one counts */
	assert_int_equal(session_end_soon_ms(&ends, now), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, tear_down_worker)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_while_nothing_waits_nobody_asks),
		TEST(test_a_session_is_asked_about_once), TEST(test_what_is_due_is_claimed),
		TEST(test_too_many_look_by_themselves), TEST(test_without_a_connection_it_is_kept),
		TEST(test_once_waits_for_what_is_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
