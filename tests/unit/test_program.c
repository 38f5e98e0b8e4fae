/*
 * program.c and keeper.c, with programs of the shell: what comes in, how they end, and that nothing
 * stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "process/signals.h"
#include "rater/program.h"

#define CAP 1000
#define PATIENCE_MS 20000

static struct loop *loop;
static struct program *program;
static char *const env[] = { "PATH=/usr/bin:/bin", NULL };

/* What it did. */
static struct {
	struct buf lines;		/* each with a newline again */
	int overlong;
	bool ended;
	struct program_end end;
} seen;

static void on_line(void *arg, const char *line, size_t len)
{
	(void)arg;
	buf_add(&seen.lines, line, len);
	buf_char(&seen.lines, '\n');
}

static void on_overlong(void *arg)
{
	(void)arg;
	seen.overlong++;
	program_kill(program);
}

static void on_ended(void *arg, const struct program_end *end)
{
	(void)arg;
	assert_false(seen.ended);
	seen.ended = true;
	seen.end = *end;
	program_free(program);
	program = NULL;
}

static void start_argv(char *const *argv)
{
	static const struct program_events events = { on_line, on_overlong, on_ended };
	struct err err;

	buf_free(&seen.lines);
	memset(&seen, 0, sizeof(seen));
	buf_init(&seen.lines, 10 << 20);
	program = program_start(loop, argv, env, CAP, &events, NULL, &err);
	assert_non_null(program);
}

static void start(char *script)
{
	start_argv((char *const []){ "/bin/sh", "-c", script, NULL });
}

/* Turns the loop until the claim holds. */
#define WAIT(claim) do { \
	int64_t until = now_ms() + PATIENCE_MS; \
	while (!(claim) && now_ms() < until) \
		loop_turn(loop, 20); \
	assert_true(claim); \
} while (0)

static bool is_there(pid_t pid)
{
	return kill(pid, 0) == 0 || errno != ESRCH;
}

/* The number on the nth line that it said. */
static pid_t said_pid(void)
{
	WAIT(strchr(buf_text(&seen.lines), '\n') || seen.ended);
	assert_in_range(atoi(buf_text(&seen.lines)), 2, INT32_MAX);
	return atoi(buf_text(&seen.lines));
}

static void test_lines_go_both_ways(void **state)
{
	(void)state;
	start("while read -r line; do echo \"<$line>\"; done");
	assert_true(program_is_quiet(program));
	program_send(program, "one\n", 4);
	WAIT(strcmp(buf_text(&seen.lines), "<one>\n") == 0);
	program_send(program, "two\nthree\n", 10);
	WAIT(strcmp(buf_text(&seen.lines), "<one>\n<two>\n<three>\n") == 0);
	assert_true(program_is_quiet(program));
	assert_in_range(program_pid(program), 2, INT32_MAX);
	program_stop(program, false);
	WAIT(seen.ended);
	assert_true(seen.end.orderly && seen.end.started);
	assert_string_equal(seen.end.how, "ended with exit status 0");
}

static void test_what_does_not_fit_into_a_pipe_follows(void **state)
{
	size_t len = 1 << 20;
	char *much = malloc(len);

	(void)state;
	memset(much, 'x', len);
	much[len - 1] = '\n';
	start("sleep 0.1; head -c 1048576 | wc -c; sleep 1000");
	program_send(program, much, len);
	WAIT(seen.lines.len > 0);
	assert_int_equal(atoi(buf_text(&seen.lines)), len);
	program_kill(program);
	WAIT(seen.ended);
	free(much);
}

static void check_end(char *script, const char *how, bool took)
{
	start(script);
	program_send(program, "question\n", 9);
	WAIT(seen.ended);
	assert_string_equal(seen.end.how, how);
	assert_int_equal(seen.end.took, took);
}

static void test_ends_are_told_apart(void **state)
{
	(void)state;
	check_end("exit 3", "ended with exit status 3", false);
	check_end("read -r line; exit 4", "ended with exit status 4", true);
	check_end("read -r line; kill -KILL $$", "was killed by signal 9 (Killed)", true);
	check_end("kill -TERM $$", "was killed by signal 15 (Terminated)", false);
	check_end("exec >&-; sleep 100", "closed its output, and was killed", false);
	check_end("exec <&-; sleep 0.2; exit 5", "ended with exit status 5", false);
}

static void test_last_words_are_heard(void **state)
{
	(void)state;
	start("echo one; echo two; exit 1");
	WAIT(seen.ended);
	assert_string_equal(buf_text(&seen.lines), "one\ntwo\n");
}

static void test_a_program_that_is_not_there(void **state)
{
	struct err err = { 0 };

	(void)state;
	start_argv((char *const []){ "/nowhere/rate", NULL });
	WAIT(seen.ended);
	assert_false(seen.end.started);
	assert_string_equal(seen.end.how, "cannot be started: No such file or directory");
	start_argv((char *const []){ "/etc/passwd", NULL });
	WAIT(seen.ended);
	assert_string_equal(seen.end.how, "cannot be started: Permission denied");
	assert_int_equal(program_check("/bin/sh", &err), 0);
	assert_int_equal(program_check("/nowhere/rate", &err), -1);
	assert_string_equal(err.text, "command.argv: /nowhere/rate: No such file or directory");
	assert_int_equal(program_check("/etc", &err), -1);
	assert_int_equal(program_check("/etc/passwd", &err), -1);
}

static void test_a_line_without_end_is_seen_at_the_cap(void **state)
{
	(void)state;
	start("echo fine; while :; do printf xxxxxxxxxxxxxxxxxxxx; done");
	WAIT(seen.ended);
	assert_int_equal(seen.overlong, 1);
	assert_string_equal(buf_text(&seen.lines), "fine\n");
}

static void test_half_a_line_is_no_quiet(void **state)
{
	(void)state;
	start("printf half; sleep 100");
	WAIT(!program_is_quiet(program));
	loop_turn(loop, 50);
	assert_false(program_is_quiet(program));
	program_kill(program);
	WAIT(seen.ended);
}

static void test_nothing_that_it_started_stays(void **state)
{
	pid_t child;

	(void)state;
	start("setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000' & wait");
	child = said_pid();
	program_kill(program);
	WAIT(seen.ended);
	assert_false(is_there(child));
	start("(setsid sh -c 'echo $$; sleep 1000' &); read -r line; exit 0");	/* an orphan */
	child = said_pid();
	program_send(program, "go\n", 3);
	WAIT(seen.ended);
	assert_string_equal(seen.end.how, "ended with exit status 0");
	assert_false(is_there(child));
}

static void test_a_stop_is_a_request_first(void **state)
{
	int64_t began;

	(void)state;
	/* One that takes no notice of its input. */
	start("trap 'exit 7' TERM; echo 1; while :; do sleep 0.05; done");
	WAIT(buf_text(&seen.lines)[0]);
	program_stop(program, false);
	WAIT(seen.ended);
	assert_string_equal(seen.end.how, "ended with exit status 7");
	start("trap '' TERM; echo 1; while :; do sleep 0.05; done");
	WAIT(buf_text(&seen.lines)[0]);
	program_stop(program, false);
	WAIT(seen.ended);
	assert_string_equal(seen.end.how, "was killed by signal 9 (Killed)");
	start("trap '' TERM; echo 1; while :; do sleep 0.05; done");
	WAIT(buf_text(&seen.lines)[0]);
	began = now_ms();
	program_stop(program, true);
	WAIT(seen.ended);
	assert_in_range(now_ms() - began, 300, PATIENCE_MS);	/* TERM had its time */
}

static void test_freeing_it_ends_it(void **state)
{
	pid_t pid;

	(void)state;
	start("echo $$; sleep 1000");
	pid = said_pid();
	program_free(program);
	program = NULL;
	assert_false(is_there(pid));
	loop_turn(loop, 0);
	assert_false(seen.ended);
	program_free(NULL);
}

static void test_its_complaints_go_to_the_log_clean(void **state)
{
	char path[] = "/tmp/gradingd-test-XXXXXX", text[20000];
	struct err err;
	FILE *file;
	size_t n;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(log_open(path, LOG_LEVEL_INFO, &err), 0);
	start("printf 'a\\033[31mb\\377c\\n\\n' >&2; seq 50000 >&2; printf last >&2");
	WAIT(seen.ended);
	log_open("stderr", LOG_LEVEL_INFO, &err);
	file = fopen(path, "r");
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	unlink(path);
	assert_non_null(strstr(text, "command: pid "));
	assert_non_null(strstr(text, ": a [31mb?c\n"));
	assert_non_null(strstr(text, ": 10\n"));
	assert_true(n < sizeof(text) - 1);		/* 50000 lines would not have fitted */
	assert_non_null(strstr(text, "more lines are left out\n"));
}

static int set_up(void **state)
{
	(void)state;
	loop = loop_new();
	return signals_open() == -1 || !loop;
}

static int tear_down(void **state)
{
	(void)state;
	buf_free(&seen.lines);
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_go_both_ways),
		cmocka_unit_test(test_what_does_not_fit_into_a_pipe_follows),
		cmocka_unit_test(test_ends_are_told_apart),
		cmocka_unit_test(test_last_words_are_heard),
		cmocka_unit_test(test_a_program_that_is_not_there),
		cmocka_unit_test(test_a_line_without_end_is_seen_at_the_cap),
		cmocka_unit_test(test_half_a_line_is_no_quiet),
		cmocka_unit_test(test_nothing_that_it_started_stays),
		cmocka_unit_test(test_a_stop_is_a_request_first),
		cmocka_unit_test(test_freeing_it_ends_it),
		cmocka_unit_test(test_its_complaints_go_to_the_log_clean),
	};

	return cmocka_run_group_tests_name("program", tests, set_up, tear_down);
}
