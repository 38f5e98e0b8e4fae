/* joblist.c: the jobs in hand, oldest first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scoreboard/breadcrumb.h"
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

static bool says(const struct breadcrumb *b, const char *job, int64_t claim)
{
	char read[UUID_SIZE];
	int64_t its_claim;

	return breadcrumb_get_only(b, read, &its_claim) && strcmp(read, job) == 0 &&
	       its_claim == claim;
}

static bool says_nothing(const struct breadcrumb *b)
{
	char read[UUID_SIZE];
	int64_t claim;

	return !breadcrumb_get_only(b, read, &claim) && strcmp(read, "") == 0 && claim == 0;
}

/* A decided one is at most refused by the database: it is not being rated. */
static void test_the_only_one_that_is_being_rated_is_told(void **state)
{
	struct grading a = { .job = { .id = "0190e3a2-0000-7000-8000-00000000000a", .claim = 5 } };
	struct grading b = { .job = { .id = "0190e3a2-0000-7000-8000-00000000000b", .claim = 6 } };
	struct joblist jobs = { .n = 0 };
	struct breadcrumb crumb = { .set = 0 };

	(void)state;
	breadcrumb_begin(&crumb);
	joblist_leave_word(&jobs);
	assert_true(says_nothing(&crumb));
	joblist_add(&jobs, &a);
	joblist_leave_word(&jobs);
	assert_true(says(&crumb, a.job.id, 5));
	joblist_add(&jobs, &b);
	joblist_leave_word(&jobs);
	assert_true(says_nothing(&crumb));
	grading_end_asking(&a);
	joblist_leave_word(&jobs);
	assert_true(says(&crumb, b.job.id, 6));
	grading_end_asking(&b);
	joblist_leave_word(&jobs);
	assert_true(says_nothing(&crumb));
	breadcrumb_begin(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs_are_kept_in_order),
		cmocka_unit_test(test_any_of_them_may_go),
		cmocka_unit_test(test_the_only_one_that_is_being_rated_is_told),
	};

	return cmocka_run_group_tests_name("joblist", tests, NULL, NULL);
}
