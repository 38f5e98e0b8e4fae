/* joblist.c: the jobs in hand, oldest first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/joblist.h"

static void test_jobs_are_kept_in_order(void **state)
{
	struct grading a = { .held = false }, b = a, c = a;
	struct joblist jobs = { .n = 0 };

	(void)state;
	joblist_add(&jobs, &a);
	joblist_add(&jobs, &b);
	joblist_add(&jobs, &c);
	joblist_check(&jobs);
	assert_int_equal(jobs.n, 3);
	assert_ptr_equal(jobs.head, &a);
	assert_ptr_equal(a.next, &b);
	assert_ptr_equal(b.next, &c);
	assert_ptr_equal(jobs.tail, &c);
}

static void test_any_of_them_may_go(void **state)
{
	struct grading a = { .held = false }, b = a, c = a;
	struct joblist jobs = { .n = 0 };

	(void)state;
	joblist_add(&jobs, &a);
	joblist_add(&jobs, &b);
	joblist_add(&jobs, &c);
	joblist_remove(&jobs, &b);
	joblist_check(&jobs);
	assert_ptr_equal(a.next, &c);
	assert_ptr_equal(c.prev, &a);
	joblist_remove(&jobs, &c);
	joblist_check(&jobs);
	assert_ptr_equal(jobs.tail, &a);
	joblist_remove(&jobs, &a);
	joblist_check(&jobs);
	assert_int_equal(jobs.n, 0);
	assert_null(jobs.head);
	assert_null(jobs.tail);
	joblist_add(&jobs, &b);		/* it has forgotten its neighbours */
	joblist_check(&jobs);
	assert_ptr_equal(jobs.head, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs_are_kept_in_order),
		cmocka_unit_test(test_any_of_them_may_go),
	};

	return cmocka_run_group_tests_name("joblist", tests, NULL, NULL);
}
