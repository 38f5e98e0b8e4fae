/* grading_state.c: the phases of a job, and the steps between them. */
#include "grading_fixture.h"

typedef bool step(struct grading *);

static step *const steps[] = { grading_end_lookup, grading_hold_back, grading_go_on };

/* From each phase each step leads where the table says; -1: it is refused. */
static void test_every_step_from_every_phase(void **state)
{
	static const int leads_to[][3] = {
		[GRADING_LOOKUP] = { GRADING_ASKING, -1, -1 },
		[GRADING_ASKING] = { -1, GRADING_HELD_BACK, -1 },
		[GRADING_HELD_BACK] = { -1, -1, GRADING_ASKING },
		[GRADING_DECIDED_IN_LOOKUP] = { GRADING_DECIDED, -1, -1 },
		[GRADING_DECIDED] = { -1, -1, -1 },
	};

	(void)state;
	for (int from = GRADING_LOOKUP; from <= GRADING_DECIDED; from++)
		for (int s = 0; s < 3; s++) {
			struct grading job = { .phase = (enum grading_phase)from };
			int to = leads_to[from][s];

			assert_int_equal(steps[s](&job), to >= 0);
			assert_int_equal(job.phase, to >= 0 ? to : from);
		}
}

static void test_a_decision_in_the_lookup_waits_for_its_answer(void **state)
{
	(void)state;
	for (int from = GRADING_LOOKUP; from <= GRADING_DECIDED; from++) {
		struct grading job = { .phase = (enum grading_phase)from };
		bool in_lookup = grading_in_lookup(&job);

		assert_int_equal(in_lookup, from == GRADING_LOOKUP ||
					    from == GRADING_DECIDED_IN_LOOKUP);
		grading_end_asking(&job);
		assert_true(grading_is_decided(&job));
		assert_int_equal(grading_in_lookup(&job), in_lookup);
	}
}

static void test_put_back_more_often_than_it_failed_it_is_suspect(void **state)
{
	struct grading job = { .job = { .times_claimed = 5, .attempts = 3 } };

	(void)state;
	assert_false(grading_is_suspect(&job));
	job.job.times_claimed++;
	assert_true(grading_is_suspect(&job));
	job.job.max_attempts = 5;
	assert_false(grading_is_last_attempt(&job));
	job.job.max_attempts = 4;
	assert_true(grading_is_last_attempt(&job));
}

/* A row may hold any number. */
static void test_attempts_at_their_end_are_the_last(void **state)
{
	struct grading job = { .job = { .claim = 5, .attempts = INT32_MAX } };

	(void)state;
	for (int most = 0; most < 3; most++) {
		job.job.max_attempts = most == 2 ? INT32_MAX : most;
		assert_true(grading_is_last_attempt(&job));
	}
	assert_false(grading_is_suspect(&job));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_step_from_every_phase),
		TEST(test_a_decision_in_the_lookup_waits_for_its_answer),
		TEST(test_put_back_more_often_than_it_failed_it_is_suspect),
		TEST(test_attempts_at_their_end_are_the_last),
	};

	return cmocka_run_group_tests_name("grading_state", tests, NULL, NULL);
}
