/* floor.c: where claims begin, as several workers and the janitor tell each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scoreboard/floor.h"
#include "scoreboard_fixture.h"

#define AGE_MS 1000
#define NOW 5000

static struct floor place(int32_t priority, int64_t available_at, unsigned char id)
{
	struct floor f = { .priority = priority, .available_at = available_at };

	memset(f.id, id, sizeof(f.id));
	return f;
}

/* As the janitor does: two priorities, both from time 100 on. */
static void renew(int64_t now)
{
	struct floors found = { .n = 0 };
	struct floor low = place(0, 100, 0), high = place(7, 100, 0);

	floors_add(&found, &low);
	floors_add(&found, &high);
	floors_renew(sb, atomic_load(&sb->floors_epoch), &found, now);
}

static struct floors read_floors(void)
{
	struct floors f;

	floors_read(sb, NOW, AGE_MS, &f);
	return f;
}

static void claim(int slot, struct floor at)
{
	struct floors f = read_floors();

	floors_raise(&f, &at);
	floors_publish(&sb->slots[slot], &f);
}

static void test_there_are_none_before_the_janitor_has_looked(void **state)
{
	(void)state;
	assert_int_equal(read_floors().n, 0);
	claim(1, place(0, 200, 1));
	assert_int_equal(read_floors().n, 0);
}

static void test_the_highest_priority_comes_first(void **state)
{
	struct floors f;

	(void)state;
	renew(NOW);
	f = read_floors();
	assert_int_equal(f.n, 2);
	assert_int_equal(f.at[0].priority, 7);
	assert_int_equal(f.at[1].priority, 0);
}

static void test_each_worker_sees_what_others_have_claimed(void **state)
{
	struct floors f;

	(void)state;
	renew(NOW);
	claim(1, place(0, 200, 1));
	claim(2, place(0, 200, 3));
	claim(3, place(0, 150, 9));
	claim(256, place(7, 120, 2));
	f = read_floors();
	assert_true(f.at[1].available_at == 200);
	assert_int_equal(f.at[1].id[0], 3);	/* of equal times the greater id */
	assert_true(f.at[0].available_at == 120);
}

static void test_a_priority_the_janitor_did_not_see_has_no_floor(void **state)
{
	(void)state;
	renew(NOW);
	claim(1, place(3, 900, 1));
	assert_int_equal(read_floors().n, 2);
}

static void test_a_new_look_forgets_what_was_raised(void **state)
{
	struct floors f, late;

	(void)state;
	renew(NOW);
	late = read_floors();
	claim(1, place(0, 200, 1));
	renew(NOW);
	f = read_floors();
	assert_true(f.at[1].available_at == 100);
	/* The answer to a claim that was sent before the look. */
	floors_raise(&late, &(struct floor){ .priority = 0, .available_at = 300 });
	floors_publish(&sb->slots[2], &late);
	f = read_floors();
	assert_true(f.at[1].available_at == 100);
}

static void test_a_look_that_began_before_jobs_went_back_does_not_count(void **state)
{
	uint64_t epoch;
	struct floors found = { .n = 0 };
	struct floor f = place(0, 100, 0);

	(void)state;
	renew(NOW);
	epoch = atomic_load(&sb->floors_epoch);
	floors_forget(sb);
	assert_int_equal(read_floors().n, 0);
	floors_add(&found, &f);
	floors_renew(sb, epoch, &found, NOW);
	assert_int_equal(read_floors().n, 0);
	renew(NOW);
	assert_int_equal(read_floors().n, 2);
}

static void test_floors_expire_without_a_janitor(void **state)
{
	(void)state;
	renew(NOW - AGE_MS - 1);
	assert_int_equal(read_floors().n, 0);
	renew(NOW - AGE_MS);
	assert_int_equal(read_floors().n, 2);
}

static void test_a_writer_that_died_inside_is_passed_over(void **state)
{
	struct floors f;

	(void)state;
	renew(NOW);
	claim(1, place(0, 200, 1));
	seqlock_write_begin(&sb->slots[1].floors.seq);
	f = read_floors();
	assert_int_equal(f.n, 2);
	assert_true(f.at[1].available_at == 100);
	seqlock_write_begin(&sb->slots[SLOT_JANITOR].floors.seq);
	assert_int_equal(read_floors().n, 0);
}

static void test_there_is_room_for_so_many(void **state)
{
	struct floors f = { .n = 0 };

	(void)state;
	for (int32_t p = 0; p < 3 * FLOORS_MAX; p++) {
		struct floor more = place(p % (2 * FLOORS_MAX), p, 0);

		floors_add(&f, &more);
	}
	assert_int_equal(f.n, FLOORS_MAX);
	for (int i = 0; i < FLOORS_MAX; i++) {
		assert_int_equal(f.at[i].priority, FLOORS_MAX - 1 - i);
		assert_true(f.at[i].available_at == FLOORS_MAX - 1 - i);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_scoreboard, unmap_scoreboard)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_are_none_before_the_janitor_has_looked),
		TEST(test_the_highest_priority_comes_first),
		TEST(test_each_worker_sees_what_others_have_claimed),
		TEST(test_a_priority_the_janitor_did_not_see_has_no_floor),
		TEST(test_a_new_look_forgets_what_was_raised),
		TEST(test_a_look_that_began_before_jobs_went_back_does_not_count),
		TEST(test_floors_expire_without_a_janitor),
		TEST(test_a_writer_that_died_inside_is_passed_over),
		TEST(test_there_is_room_for_so_many),
	};

	return cmocka_run_group_tests_name("floor", tests, NULL, NULL);
}
