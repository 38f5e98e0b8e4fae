/* The loop: timers in order, and callbacks that change what is watched while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MANY 300

static struct loop *loop;

static int make_loop(void **state)
{
	(void)state;
	loop = loop_new();
	return loop ? 0 : -1;
}

static int free_loop(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

/* ---- timers ---- */

struct note {
	struct loop_timer timer;
	char letter;
};

static char log_text[64];

static void write_letter(void *arg)
{
	struct note *note = arg;
	size_t n = strlen(log_text);

	assert_true(n + 1 < sizeof(log_text));
	log_text[n] = note->letter;
	log_text[n + 1] = '\0';
}

static void turn_until(int64_t ms)
{
	int64_t end = now_ms() + ms;

	while (now_ms() < end)
		loop_turn(loop, end - now_ms());
}

static void test_timers_run_in_order(void **state)
{
	static const int64_t delays[] = { 15, 5, 20, 10 };
	struct note notes[COUNT(delays)] = { 0 };

	(void)state;
	log_text[0] = '\0';
	for (size_t i = 0; i < COUNT(notes); i++) {
		struct loop_timer *timer = &notes[i].timer;

		notes[i].letter = (char)('a' + i);
		assert_false(loop_timer_is_set(timer));
		assert_int_equal(loop_timer_set(loop, timer, delays[i], write_letter, &notes[i]),
				 0);
		assert_true(loop_timer_is_set(timer));
	}
	turn_until(25);
	assert_string_equal(log_text, "bdac");
	for (size_t i = 0; i < COUNT(notes); i++)
		assert_false(loop_timer_is_set(&notes[i].timer));
}

static void test_set_again_replaces(void **state)
{
	struct note a = { .letter = 'a' }, b = { .letter = 'b' };

	(void)state;
	log_text[0] = '\0';
	loop_timer_set(loop, &a.timer, 0, write_letter, &a);
	loop_timer_set(loop, &b.timer, 5, write_letter, &b);
	loop_timer_set(loop, &a.timer, 10, write_letter, &a);
	turn_until(15);
	assert_string_equal(log_text, "ba");
}

static void test_stop(void **state)
{
	struct note a = { .letter = 'a' }, b = { .letter = 'b' };

	(void)state;
	log_text[0] = '\0';
	loop_timer_stop(loop, &a.timer);		/* never set: nothing happens */
	loop_timer_set(loop, &a.timer, 0, write_letter, &a);
	loop_timer_set(loop, &b.timer, 0, write_letter, &b);
	loop_timer_stop(loop, &a.timer);
	loop_timer_stop(loop, &a.timer);
	turn_until(3);
	assert_string_equal(log_text, "b");
}

static void set_again_at_once(void *arg)
{
	struct note *note = arg;

	write_letter(note);
	loop_timer_set(loop, &note->timer, 0, set_again_at_once, note);
}

static void test_one_that_sets_itself_starves_nobody(void **state)
{
	struct note a = { .letter = 'a' };

	(void)state;
	log_text[0] = '\0';
	loop_timer_set(loop, &a.timer, -5, set_again_at_once, &a);
	loop_turn(loop, 0);
	assert_string_equal(log_text, "a");
	loop_turn(loop, -1);
	assert_string_equal(log_text, "aa");
	loop_timer_stop(loop, &a.timer);
}

static struct note victim = { .letter = 'v' };

static void stop_victim(void *arg)
{
	(void)arg;
	loop_timer_stop(loop, &victim.timer);
}

static void test_one_stops_another_that_is_due(void **state)
{
	struct loop_timer killer = { 0 };

	(void)state;
	log_text[0] = '\0';
	loop_timer_set(loop, &killer, 0, stop_victim, NULL);
	usleep(2000);	/* so that the order of the two is certain */
	loop_timer_set(loop, &victim.timer, 0, write_letter, &victim);
	usleep(2000);
	loop_turn(loop, 0);
	assert_string_equal(log_text, "");
	assert_false(loop_timer_is_set(&victim.timer));
}

static struct loop_timer many[MANY];
static int64_t last_due;
static int fired;

static void check_order(void *arg)
{
	struct loop_timer *timer = arg;

	assert_true(timer->at_ms >= last_due);
	assert_true(now_ms() >= timer->at_ms);
	last_due = timer->at_ms;
	fired++;
}

/* The heap under random sets, resets and stops. */
static void test_many_timers(void **state)
{
	int set = 0;

	(void)state;
	srandom(1);
	memset(many, 0, sizeof(many));
	for (int i = 0; i < 5 * MANY; i++) {
		struct loop_timer *timer = &many[random() % MANY];

		if (random() % 3 == 0)
			loop_timer_stop(loop, timer);
		else
			loop_timer_set(loop, timer, random() % 30, check_order, timer);
	}
	for (int i = 0; i < MANY; i++)
		set += loop_timer_is_set(&many[i]);
	assert_in_range(set, MANY / 4, MANY);
	last_due = 0;
	fired = 0;
	turn_until(40);
	assert_int_equal(fired, set);
}

static void test_waiting(void **state)
{
	struct note a = { .letter = 'a' };
	int64_t start = now_ms();

	(void)state;
	log_text[0] = '\0';
	loop_turn(loop, 0);
	assert_true(now_ms() - start < 1000);
	loop_turn(loop, 20);
	assert_in_range(now_ms() - start, 20, 2000);
	loop_timer_set(loop, &a.timer, 20, write_letter, &a);
	start = now_ms();
	while (!log_text[0])
		loop_turn(loop, -1);
	assert_in_range(now_ms() - start, 20, 2000);
}

/* ---- descriptors ---- */

struct pipe_end {
	int fds[2];
	int calls;
	short revents;
	struct pipe_end *drop;		/* unwatched by its callback */
};

static void open_pipe(struct pipe_end *p)
{
	memset(p, 0, sizeof(*p));
	assert_int_equal(pipe(p->fds), 0);
}

static void close_pipe(struct pipe_end *p)
{
	loop_unwatch(loop, p->fds[0]);
	loop_unwatch(loop, p->fds[1]);
	close(p->fds[0]);
	close(p->fds[1]);
}

static void count_call(void *arg, int fd, short revents)
{
	struct pipe_end *p = arg;

	assert_true(fd == p->fds[0] || fd == p->fds[1]);
	p->calls++;
	p->revents = revents;
	if (p->drop)
		loop_unwatch(loop, p->drop->fds[0]);
}

static void write_byte(struct pipe_end *p)
{
	assert_int_equal(write(p->fds[1], "x", 1), 1);
}

static void test_watch_and_unwatch(void **state)
{
	struct pipe_end p;

	(void)state;
	open_pipe(&p);
	assert_int_equal(loop_watch(loop, p.fds[0], POLLIN, count_call, &p), 0);
	loop_turn(loop, 0);
	assert_int_equal(p.calls, 0);
	write_byte(&p);
	loop_turn(loop, -1);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.revents, POLLIN);
	loop_turn(loop, -1);				/* nobody read it: still ready */
	assert_int_equal(p.calls, 2);
	loop_watch(loop, p.fds[0], 0, count_call, &p);	/* the same, waiting for nothing */
	loop_turn(loop, 0);
	assert_int_equal(p.calls, 2);
	loop_watch(loop, p.fds[0], POLLIN, count_call, &p);
	loop_turn(loop, 0);
	assert_int_equal(p.calls, 3);
	loop_unwatch(loop, p.fds[0]);
	loop_unwatch(loop, p.fds[0]);
	loop_unwatch(loop, -1);
	loop_unwatch(loop, 100000);
	loop_turn(loop, 0);
	assert_int_equal(p.calls, 3);
	loop_watch(loop, p.fds[1], POLLOUT, count_call, &p);
	loop_turn(loop, -1);
	assert_int_equal(p.revents, POLLOUT);
	close_pipe(&p);
}

static void test_hangup_is_told(void **state)
{
	struct pipe_end p;

	(void)state;
	open_pipe(&p);
	loop_watch(loop, p.fds[0], POLLIN, count_call, &p);
	close(p.fds[1]);
	loop_turn(loop, -1);
	assert_true(p.revents & POLLHUP);
	close_pipe(&p);
}

/* Whoever of the two runs first drops the other, ready as it is: it must not be called any more. */
static void test_callback_drops_another(void **state)
{
	struct pipe_end a, b, c;

	(void)state;
	open_pipe(&a);
	open_pipe(&b);
	open_pipe(&c);
	a.drop = &b;
	b.drop = &a;
	loop_watch(loop, a.fds[0], POLLIN, count_call, &a);
	loop_watch(loop, b.fds[0], POLLIN, count_call, &b);
	loop_watch(loop, c.fds[0], POLLIN, count_call, &c);
	write_byte(&a);
	write_byte(&b);
	write_byte(&c);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, 0);
	assert_true((a.calls == 0) != (b.calls == 0));
	assert_int_equal(a.calls + b.calls, 3);
	assert_in_range(c.calls, 2, 3);
	close_pipe(&a);
	close_pipe(&b);
	close_pipe(&c);
}

static void test_callback_drops_itself(void **state)
{
	struct pipe_end pipes[5];

	(void)state;
	for (size_t i = 0; i < COUNT(pipes); i++) {
		open_pipe(&pipes[i]);
		pipes[i].drop = &pipes[i];
		loop_watch(loop, pipes[i].fds[0], POLLIN, count_call, &pipes[i]);
		write_byte(&pipes[i]);
	}
	loop_turn(loop, 0);	/* entries move as others go: none is missed */
	for (size_t i = 0; i < COUNT(pipes); i++)
		assert_int_equal(pipes[i].calls, 1);
	loop_turn(loop, 0);
	for (size_t i = 0; i < COUNT(pipes); i++) {
		assert_int_equal(pipes[i].calls, 1);
		close_pipe(&pipes[i]);
	}
}

static struct pipe_end late[40];

static void watch_many_more(void *arg, int fd, short revents)
{
	struct pipe_end *p = arg;

	(void)revents;
	p->calls++;
	loop_unwatch(loop, fd);
	for (size_t i = 0; i < COUNT(late); i++) {
		open_pipe(&late[i]);
		write_byte(&late[i]);
		loop_watch(loop, late[i].fds[0], POLLIN, count_call, &late[i]);
	}
}

/* The arrays grow, and move, under the running turn. */
static void test_callback_watches_many_more(void **state)
{
	struct pipe_end p;

	(void)state;
	open_pipe(&p);
	write_byte(&p);
	loop_watch(loop, p.fds[0], POLLIN, watch_many_more, &p);
	loop_turn(loop, -1);
	assert_int_equal(p.calls, 1);
	loop_turn(loop, -1);
	for (size_t i = 0; i < COUNT(late); i++) {
		assert_int_equal(late[i].calls, 1);
		close_pipe(&late[i]);
	}
	close_pipe(&p);
}

static struct pipe_end second;

/* A connection is lost and made anew: the kernel hands out the same number again. */
static void replace_by_second(void *arg, int fd, short revents)
{
	struct pipe_end *p = arg;

	(void)revents;
	p->calls++;
	loop_unwatch(loop, fd);
	assert_int_equal(dup2(second.fds[0], fd), fd);
	close(second.fds[0]);
	second.fds[0] = fd;
	loop_watch(loop, fd, POLLIN, count_call, &second);
}

static void test_number_used_again(void **state)
{
	struct pipe_end first;

	(void)state;
	open_pipe(&first);
	open_pipe(&second);
	write_byte(&first);
	loop_watch(loop, first.fds[0], POLLIN, replace_by_second, &first);
	loop_turn(loop, -1);
	loop_turn(loop, 0);
	assert_int_equal(first.calls, 1);
	assert_int_equal(second.calls, 0);
	write_byte(&second);
	loop_turn(loop, -1);
	assert_int_equal(first.calls, 1);
	assert_int_equal(second.calls, 1);
	close(first.fds[1]);
	close_pipe(&second);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_loop, free_loop)
	const struct CMUnitTest tests[] = {
		TEST(test_timers_run_in_order),
		TEST(test_set_again_replaces),
		TEST(test_stop),
		TEST(test_one_that_sets_itself_starves_nobody),
		TEST(test_one_stops_another_that_is_due),
		TEST(test_many_timers),
		TEST(test_waiting),
		TEST(test_watch_and_unwatch),
		TEST(test_hangup_is_told),
		TEST(test_callback_drops_another),
		TEST(test_callback_drops_itself),
		TEST(test_callback_watches_many_more),
		TEST(test_number_used_again),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
