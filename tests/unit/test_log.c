/* Log lines: one event, one write, one line, whatever the message holds; files that are rotated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <limits.h>
#include <regex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

#define STAMP "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "

static char dir[] = "/tmp/test_log.XXXXXX";
static char text[65536];

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *read_file(const char *name)
{
	FILE *f = fopen(path_of(name), "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void assert_match(const char *line, const char *pattern)
{
	regex_t regex;
	int rc;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	rc = regexec(&regex, line, 0, NULL, 0);
	regfree(&regex);
	if (rc != 0)
		fail_msg("\"%s\" is not like %s", line, pattern);
}

static int open_log(void **state)
{
	struct err err;

	(void)state;
	unlink(path_of("log"));
	log_identify("main", -1);
	return log_open(path_of("log"), LOG_LEVEL_INFO, &err);
}

static void test_form(void **state)
{
	char pattern[200];

	(void)state;
	log_info("claimed %d jobs", 7);
	snprintf(pattern, sizeof(pattern), STAMP "info  main\\[%d\\]: claimed 7 jobs\n$",
		 (int)getpid());
	assert_match(read_file("log"), pattern);
	log_identify("worker", 12);
	log_error("no");
	snprintf(pattern, sizeof(pattern), "\n[0-9: .-]+ error worker/12\\[%d\\]: no\n$",
		 (int)getpid());
	assert_match(read_file("log"), pattern);
}

static void test_no_message_makes_two_lines(void **state)
{
	(void)state;
	log_warn("a\nb\tc\rd\033[31me\177f %s\n",
		 "x\n2026-01-01 00:00:00.000 info  main[1]: forged");
	read_file("log");
	assert_match(text,
		     "warn  main\\[[0-9]+\\]: a b c\\?d\\?\\[31me\\?f x 2026-01-01 .* forged ?\n$");
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_utf8_passes(void **state)
{
	(void)state;
	log_info("%s", "\xe2\x82\xac h\xc3\xa9");
	assert_non_null(strstr(read_file("log"), ": \xe2\x82\xac h\xc3\xa9\n"));
}

static void write_all_levels(void)
{
	log_error("E");
	log_warn("W");
	log_info("I");
	log_debug("D");
}

/* The last letters of the lines so far. */
static void assert_written(const char *letters)
{
	char seen[16] = "";
	size_t n = 0;

	read_file("log");
	for (const char *end = text; (end = strchr(end, '\n')) && n < sizeof(seen) - 1; end++)
		seen[n++] = end[-1];
	assert_string_equal(seen, letters);
}

static void test_levels(void **state)
{
	(void)state;
	write_all_levels();
	assert_written("EWI");
	log_set_level(LOG_LEVEL_ERROR);
	write_all_levels();
	assert_written("EWIE");
	log_set_level(LOG_LEVEL_DEBUG);
	write_all_levels();
	assert_written("EWIEEWID");
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
}

static void test_level_names(void **state)
{
	(void)state;
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++)
		assert_int_equal(log_level_parse(log_level_name((enum log_level)i)), i);
	assert_int_equal(log_level_parse("warning"), -1);
	assert_int_equal(log_level_parse(""), -1);
}

/* What the supervisor does with a word on the socket holds in every child at once. */
static void test_shared_level(void **state)
{
	static struct log_common cell = { .level = LOG_LEVEL_DEBUG };

	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	log_share(&cell);
	assert_int_equal(atomic_load(&cell.level), LOG_LEVEL_WARN);	/* it is kept */
	write_all_levels();
	assert_written("EW");
	atomic_store(&cell.level, LOG_LEVEL_ERROR);
	write_all_levels();
	assert_written("EWE");
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(atomic_load(&cell.level), LOG_LEVEL_INFO);
}

/* On a datagram socket each write(2) is one packet. */
static void test_one_write_a_line(void **state)
{
	char *longest = malloc(3 * PIPE_BUF);
	int fds[2], saved = dup(STDERR_FILENO);
	struct err err;
	ssize_t n;

	(void)state;
	memset(longest, 'x', 3 * PIPE_BUF);
	longest[3 * PIPE_BUF - 1] = '\0';
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	dup2(fds[0], STDERR_FILENO);
	assert_int_equal(log_open("stderr", LOG_LEVEL_INFO, &err), 0);
	log_info("one");
	log_info("%s", longest);
	log_info("%s", "");
	dup2(saved, STDERR_FILENO);
	close(saved);
	free(longest);
	for (int i = 0; i < 3; i++) {
		n = recv(fds[1], text, sizeof(text) - 1, MSG_DONTWAIT);
		assert_in_range(n, 1, PIPE_BUF);
		text[n] = '\0';
		assert_ptr_equal(strchr(text, '\n'), text + n - 1);
	}
	assert_int_equal(recv(fds[1], text, sizeof(text), MSG_DONTWAIT), -1);
	close(fds[0]);
	close(fds[1]);
}

static void test_reopen_after_rotation(void **state)
{
	char old[128];
	int fd = log_fd();

	(void)state;
	snprintf(old, sizeof(old), "%s", path_of("old"));
	log_info("first");
	assert_int_equal(rename(path_of("log"), old), 0);
	log_info("second");
	assert_non_null(strstr(read_file("old"), "second\n"));
	assert_int_equal(log_reopen(), 0);
	assert_int_equal(log_fd(), fd);
	log_info("third");
	assert_null(strstr(read_file("old"), "third"));
	assert_null(strstr(read_file("log"), "second"));
	assert_non_null(strstr(text, "third\n"));
	unlink(old);
}

static void test_reopen_that_fails_keeps_the_old_file(void **state)
{
	char log[128], old[128];

	(void)state;
	snprintf(log, sizeof(log), "%s", path_of("log"));
	snprintf(old, sizeof(old), "%s", path_of("old"));
	assert_int_equal(rename(log, old), 0);
	assert_int_equal(mkdir(log, 0700), 0);		/* even root cannot write to this one */
	assert_int_equal(log_reopen(), -1);
	log_info("still here");
	assert_non_null(strstr(read_file("old"), "cannot open the log file"));
	assert_non_null(strstr(text, "still here\n"));
	assert_int_equal(rmdir(log), 0);
	unlink(old);
}

static void test_open_that_fails_changes_nothing(void **state)
{
	struct err err = { .kind = ERR_NONE };

	(void)state;
	assert_int_equal(log_open(path_of("no/such/log"), LOG_LEVEL_DEBUG, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "no/such/log: No such file or directory"));
	write_all_levels();
	assert_written("EWI");
}

static void test_file_is_private(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(path_of("log"), &st), 0);
	assert_int_equal(st.st_mode & 07137, 0);
}

static void test_errno_survives(void **state)
{
	(void)state;
	errno = EILSEQ;
	log_info("x");
	assert_int_equal(errno, EILSEQ);
}

static void test_fatal(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		fatal("slot %d is broken", 3);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_non_null(strstr(read_file("log"), "error main"));
	assert_non_null(strstr(text, "slot 3 is broken\n"));
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	struct err err;

	(void)state;
	log_open("stderr", LOG_LEVEL_INFO, &err);
	unlink(path_of("log"));
	return rmdir(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, open_log)
	const struct CMUnitTest tests[] = {
		TEST(test_form),
		TEST(test_no_message_makes_two_lines),
		TEST(test_utf8_passes),
		TEST(test_levels),
		TEST(test_level_names),
		TEST(test_one_write_a_line),
		TEST(test_reopen_after_rotation),
		TEST(test_reopen_that_fails_keeps_the_old_file),
		TEST(test_open_that_fails_changes_nothing),
		TEST(test_file_is_private),
		TEST(test_errno_survives),
		TEST(test_fatal),
		TEST(test_shared_level),	/* last: the level stays in the shared cell */
	};

	return cmocka_run_group_tests_name("log", tests, make_directory, remove_directory);
}
