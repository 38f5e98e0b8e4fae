/* aside.c: jobs that cannot be claimed, and when each is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scoreboard/aside.h"

static struct asides *asides;

static int make(void **state)
{
	(void)state;
	asides = calloc(1, sizeof(*asides));
	return asides ? 0 : -1;
}

static int drop(void **state)
{
	(void)state;
	free(asides);
	return 0;
}

static const unsigned char *id_of(int n)
{
	static unsigned char id[UUID_BYTES];

	memset(id, 0x5a, sizeof(id));
	memcpy(id + 8, &n, sizeof(n));
	return id;
}

static void test_who_is_set_aside_is_known_until_it_is_dropped(void **state)
{
	(void)state;
	assert_false(aside_has(asides, id_of(1)));
	assert_true(aside_put(asides, id_of(1), 100));
	assert_true(aside_put(asides, id_of(2), 100));
	assert_true(aside_put(asides, id_of(1), 200));	/* the same once more */
	assert_int_equal(aside_count(asides), 2);
	assert_true(aside_has(asides, id_of(1)));
	aside_drop(asides, id_of(1));
	aside_drop(asides, id_of(3));
	assert_false(aside_has(asides, id_of(1)));
	assert_true(aside_has(asides, id_of(2)));
	assert_int_equal(aside_count(asides), 1);
	aside_clear(asides);
	assert_int_equal(aside_count(asides), 0);
	assert_false(aside_has(asides, id_of(2)));
}

static void test_each_comes_when_its_time_has_come(void **state)
{
	unsigned char ids[4][UUID_BYTES];
	int64_t next;

	(void)state;
	assert_int_equal(aside_due(asides, 100, ids, 4, &next), 0);
	assert_int_equal(next, -1);
	aside_put(asides, id_of(1), 100);
	aside_put(asides, id_of(2), 300);
	aside_put(asides, id_of(3), 200);
	assert_int_equal(aside_due(asides, 99, ids, 4, &next), 0);
	assert_int_equal(next, 100);
	assert_int_equal(aside_due(asides, 100, ids, 4, &next), 1);
	assert_memory_equal(ids[0], id_of(1), UUID_BYTES);
	assert_int_equal(next, 200);
	assert_int_equal(aside_due(asides, 300, ids, 2, &next), 2);	/* no more than asked for */
	assert_true(next >= 100 && next <= 300);
	assert_int_equal(aside_due(asides, 300, ids, 4, &next), 3);
	assert_int_equal(next, -1);
}

/* Ids of which all bits are alike but a few still find places. */
static void test_thousands_find_room(void **state)
{
	int n = 0;

	(void)state;
	for (int i = 0; i < 8000; i++)
		n += aside_put(asides, id_of(i), 1);
	assert_true(n > 7900);
	assert_int_equal(aside_count(asides), n);
}

static void test_when_it_is_full_it_says_so(void **state)
{
	bool full = false;
	int n = 0;

	(void)state;
	for (int i = 0; i < 10 * ASIDE_BUCKETS * ASIDE_WAYS && !full; i++) {
		full = !aside_put(asides, id_of(i), 1);
		n += !full;
	}
	assert_true(full);
	assert_int_equal(aside_count(asides), n);
	assert_true(aside_has(asides, id_of(0)));
	assert_true(aside_put(asides, id_of(0), 2));	/* who is there stays */
}

#define ASIDE_TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ASIDE_TEST(test_who_is_set_aside_is_known_until_it_is_dropped),
		ASIDE_TEST(test_each_comes_when_its_time_has_come),
		ASIDE_TEST(test_thousands_find_room),
		ASIDE_TEST(test_when_it_is_full_it_says_so),
	};

	return cmocka_run_group_tests_name("aside", tests, NULL, NULL);
}
