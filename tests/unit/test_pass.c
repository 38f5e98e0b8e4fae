/* pass.c: places that claims pass, as several workers tell each other; and who walks there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scoreboard/pass.h"
#include "scoreboard_fixture.h"

static struct floor place(int32_t priority, int64_t available_at, unsigned char id)
{
	struct floor f = { .priority = priority, .available_at = available_at };

	memset(f.id, id, sizeof(f.id));
	return f;
}

static void raise_to(int slot, struct floor at)
{
	struct floors more = { .n = 1, .at = { at } };

	pass_raise(sb, slot, &more);
}

static struct floors read_passes(void)
{
	struct floors f;

	pass_read(sb, &f);
	return f;
}

static void test_nothing_is_passed_at_first(void **state)
{
	(void)state;
	assert_false(pass_is_on(sb));
	assert_int_equal(read_passes().n, 0);
	assert_true(pass_is_walked(sb));
}

static void test_the_highest_of_a_priority_holds(void **state)
{
	struct floors f;

	(void)state;
	raise_to(1, place(0, 100, 1));
	raise_to(2, place(0, 300, 1));
	raise_to(3, place(0, 200, 9));
	raise_to(3, place(7, 50, 1));
	f = read_passes();
	assert_true(pass_is_on(sb));
	assert_int_equal(f.n, 2);
	assert_int_equal(f.at[0].priority, 7);
	assert_int_equal(f.at[1].available_at, 300);
	raise_to(2, place(0, 250, 1));		/* it never goes back */
	assert_int_equal(read_passes().at[1].available_at, 300);
}

static void test_the_place_behind_is_the_next_id(void **state)
{
	struct floor f = place(3, 100, 0xff), next;

	(void)state;
	f.id[15] = 7;
	next = pass_behind(&f);
	assert_int_equal(next.id[15], 8);
	assert_int_equal(floor_compare(&f, &next), -1);
	f.id[15] = 0xff;
	f.id[3] = 4;
	next = pass_behind(&f);
	assert_int_equal(next.id[3], 5);
	assert_int_equal(next.id[15], 0);
	f = place(3, 100, 0xff);
	next = pass_behind(&f);
	assert_int_equal(next.available_at, 101);
	assert_int_equal(next.priority, 3);
}

static void test_the_end_forgets_all_passes_unless_one_was_raised_since(void **state)
{
	uint64_t raised;

	(void)state;
	raise_to(1, place(0, 100, 1));
	raised = pass_raised(sb);
	raise_to(2, place(0, 200, 1));
	pass_end(sb, raised);
	assert_true(pass_is_on(sb));
	pass_end(sb, pass_raised(sb));
	assert_false(pass_is_on(sb));
	raise_to(2, place(5, 1, 1));		/* what it knew before is of another epoch */
	assert_int_equal(read_passes().n, 1);
	assert_int_equal(read_passes().at[0].priority, 5);
}

static void test_what_is_passed_is_walked_when_nothing_was_raised_since(void **state)
{
	uint64_t raised;

	(void)state;
	raise_to(1, place(0, 100, 1));
	raised = pass_raised(sb);
	assert_false(pass_is_walked(sb));
	raise_to(1, place(0, 200, 1));
	pass_walked(sb, raised);
	assert_false(pass_is_walked(sb));
	pass_walked(sb, pass_raised(sb));
	assert_true(pass_is_walked(sb));
}

static void test_a_torn_slot_is_left_out(void **state)
{
	(void)state;
	raise_to(1, place(0, 100, 1));
	raise_to(2, place(0, 300, 1));
	seqlock_write_begin(&sb->slots[2].passes.seq);
	assert_int_equal(read_passes().at[0].available_at, 100);
}

/* One more is not passed; the others are as they were. */
static void test_there_is_room_for_so_many_priorities(void **state)
{
	struct floors f;

	(void)state;
	for (int i = 0; i <= PASSES_MAX; i++)
		raise_to(1 + i % 3, place(i, 100 + i, 1));
	f = read_passes();
	assert_int_equal(f.n, PASSES_MAX);
	for (int i = 0; i < f.n; i++)
		assert_int_equal(f.at[i].available_at, 100 + f.at[i].priority);
}

static void test_one_worker_walks_and_another_when_it_is_dead(void **state)
{
	(void)state;
	atomic_store(&sb->slots[1].pid, 11);
	atomic_store(&sb->slots[2].pid, 12);
	assert_true(pass_take_walk(sb, 1));
	assert_true(pass_take_walk(sb, 1));
	assert_false(pass_take_walk(sb, 2));
	pass_leave_walk(sb, 2);			/* it is not this one's to leave */
	assert_false(pass_take_walk(sb, 2));
	pass_leave_walk(sb, 1);
	assert_true(pass_take_walk(sb, 2));
	assert_false(pass_take_walk(sb, 1));
	atomic_store(&sb->slots[2].pid, 99);	/* the slot's next child */
	assert_true(pass_take_walk(sb, 1));
	assert_false(pass_take_walk(sb, 2));
}

static void test_a_walker_that_cannot_be_is_none(void **state)
{
	(void)state;
	atomic_store(&sb->slots[1].pid, 11);
	atomic_store(&sb->passing.walker, UINT64_MAX);
	assert_true(pass_take_walk(sb, 1));
}

#define SCOREBOARD_TEST(name) \
	cmocka_unit_test_setup_teardown(name, make_scoreboard, unmap_scoreboard)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCOREBOARD_TEST(test_nothing_is_passed_at_first),
		SCOREBOARD_TEST(test_the_highest_of_a_priority_holds),
		SCOREBOARD_TEST(test_the_place_behind_is_the_next_id),
		SCOREBOARD_TEST(test_the_end_forgets_all_passes_unless_one_was_raised_since),
		SCOREBOARD_TEST(test_what_is_passed_is_walked_when_nothing_was_raised_since),
		SCOREBOARD_TEST(test_a_torn_slot_is_left_out),
		SCOREBOARD_TEST(test_there_is_room_for_so_many_priorities),
		SCOREBOARD_TEST(test_one_worker_walks_and_another_when_it_is_dead),
		SCOREBOARD_TEST(test_a_walker_that_cannot_be_is_none),
	};

	return cmocka_run_group_tests_name("pass", tests, NULL, NULL);
}
