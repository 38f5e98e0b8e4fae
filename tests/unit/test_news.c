/* The rings of sessions that have moved: nothing is lost without being counted, nothing torn. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "scoreboard/news.h"

static struct news *news;

static int set_up(void **state)
{
	(void)state;
	news = calloc(1, sizeof(*news));
	return news ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(news);
	return 0;
}

static const unsigned char *session(uint32_t n)
{
	static unsigned char id[UUID_BYTES];

	memcpy(id, &n, sizeof(n));
	return id;
}

static uint32_t take(void)
{
	unsigned char id[UUID_BYTES];
	uint32_t n = UINT32_MAX;

	if (news_take(news, id))
		memcpy(&n, id, sizeof(n));
	return n;
}

static void test_in_order(void **state)
{
	(void)state;
	assert_int_equal(take(), UINT32_MAX);
	for (uint32_t n = 1; n <= 3; n++)
		news_add(news, session(n));
	for (uint32_t n = 1; n <= 3; n++)
		assert_int_equal(take(), n);
	assert_int_equal(take(), UINT32_MAX);
}

/* As long as it is there; what was taken may be asked about already. */
static void test_the_same_is_said_once(void **state)
{
	(void)state;
	news_add(news, session(7));
	news_add(news, session(7));
	news_add(news, session(8));
	news_add(news, session(7));
	assert_int_equal(take(), 7);
	assert_int_equal(take(), 8);
	assert_int_equal(take(), 7);
	assert_int_equal(take(), UINT32_MAX);
	news_add(news, session(7));
	assert_int_equal(take(), 7);
}

static void test_what_finds_no_room_is_counted(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < NEWS_MAX + 5; n++)
		news_add(news, session(n));
	assert_int_equal(atomic_load(&news->missed), 5);
	for (uint32_t n = 0; n < NEWS_MAX; n++)
		assert_int_equal(take(), n);
	news_add(news, session(99));
	assert_int_equal(take(), 99);
	assert_int_equal(atomic_load(&news->missed), 5);
}

/* Whatever somebody wrote over it. */
static void test_garbage_is_no_news(void **state)
{
	(void)state;
	atomic_store(&news->head, 5);
	atomic_store(&news->tail, 6);
	assert_int_equal(take(), UINT32_MAX);
	assert_int_equal(atomic_load(&news->missed), 1);
	news_add(news, session(1));
	assert_int_equal(take(), 1);
}

#define MANY 200000

static void *add_many(void *arg)
{
	for (uint32_t n = 0; n < MANY; n++)
		news_add(news, session(n));
	return arg;
}

/* Taken or counted as missed, each one once and in order. */
static void test_one_adds_while_another_takes(void **state)
{
	uint32_t taken = 0, n;
	int64_t last = -1;
	pthread_t adder;

	(void)state;
	assert_int_equal(pthread_create(&adder, NULL, add_many, NULL), 0);
	while (taken + atomic_load(&news->missed) < MANY) {
		n = take();
		if (n == UINT32_MAX)
			continue;
		assert_true((int64_t)n > last);
		last = n;
		taken++;
	}
	pthread_join(adder, NULL);
	assert_int_equal(take(), UINT32_MAX);
	assert_int_equal(taken + atomic_load(&news->missed), MANY);
}

static void test_lost_news_is_counted(void **state)
{
	struct news_desk desk = { .lost = 0 };

	(void)state;
	news_lost(&desk);
	assert_int_equal(atomic_load(&desk.lost), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_same_is_said_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_finds_no_room_is_counted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_garbage_is_no_news, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_adds_while_another_takes, set_up,
						tear_down),
		cmocka_unit_test(test_lost_news_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
