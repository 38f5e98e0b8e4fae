/* The log waits for nobody: full pipes and sockets, full disks, a syslogd that hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/log_sink.h"
#include "base/log_syslog.h"

static char dir[] = "/tmp/test_log_waits.XXXXXX";
static char text[1 << 21];		/* more than any pipe holds */
static struct log_loss loss;
static struct log_common common = { .level = LOG_LEVEL_INFO };

static const char *path_of(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Writes until nothing is taken any more, and makes the descriptor wait again. */
static void fill(int fd)
{
	static const char dots[1024];
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while (write(fd, dots, sizeof(dots)) > 0)
		;
	while (write(fd, dots, 1) > 0)
		;
	fcntl(fd, F_SETFL, flags);
}

static const char *drain(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	size_t n = 0;
	ssize_t got;

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	fcntl(fd, F_SETFL, flags);
	text[n] = '\0';
	for (char *p = text; p < text + n; p++)		/* what it was filled with */
		if (*p == '\0')
			*p = '.';
	return text;
}

/* ---- ways ---- */

static void assert_nothing_waits(struct log_sink sink, int reader)
{
	static const char line[] = "a line\n";

	assert_int_equal(log_sink_write(&sink, line, strlen(line)), strlen(line));
	fill(sink.fd);
	assert_int_equal(log_sink_write(&sink, line, strlen(line)), -1);
	assert_int_equal(errno, EAGAIN);
	drain(reader);
	assert_int_equal(log_sink_write(&sink, line, strlen(line)), strlen(line));
	assert_non_null(strstr(drain(reader), line));
}

static void test_pipe_of_ours(void **state)
{
	struct log_sink sink;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sink = log_sink_inherited(fds[1]);
	assert_int_equal(sink.way, LOG_BY_WRITE);
	assert_true(sink.own && sink.fd != fds[1]);
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);	/* it is shared */
	assert_true(fcntl(sink.fd, F_GETFD) & FD_CLOEXEC);
	assert_nothing_waits(sink, fds[0]);
	log_sink_close(&sink);
	assert_int_equal(sink.fd, -1);
	close(fds[0]);
	close(fds[1]);
}

/* As when it is somebody else's, whom we may not imitate. */
static void test_pipe_by_splice(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_nothing_waits((struct log_sink){ .fd = fds[1], .way = LOG_BY_SPLICE }, fds[0]);
	close(fds[0]);
	close(fds[1]);
}

/* Which older kernels do not know for pipes, and then it is the same. */
static void test_pipe_by_nowait(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_nothing_waits((struct log_sink){ .fd = fds[1], .way = LOG_BY_NOWAIT }, fds[0]);
	close(fds[0]);
	close(fds[1]);
}

/* Each process has a pipe in between of its own. */
static void test_splice_after_a_fork(void **state)
{
	struct log_sink sink = { .way = LOG_BY_SPLICE };
	int fds[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sink.fd = fds[1];
	assert_int_equal(log_sink_write(&sink, "parent\n", 7), 7);
	pid = fork();
	if (pid == 0)
		_exit(log_sink_write(&sink, "child\n", 6) == 6 ? 0 : 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(log_sink_write(&sink, "parent\n", 7), 7);
	assert_string_equal(drain(fds[0]), "parent\nchild\nparent\n");
	close(fds[0]);
	close(fds[1]);
}

static void test_socket(void **state)
{
	struct log_sink sink;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	sink = log_sink_inherited(fds[1]);
	assert_int_equal(sink.way, LOG_BY_SEND);
	assert_nothing_waits(sink, fds[0]);
	close(fds[0]);
	close(fds[1]);
}

static void test_file_is_left_as_it_is(void **state)
{
	int fd = open(path_of("file"), O_WRONLY | O_CREAT, 0600);
	struct log_sink sink = log_sink_inherited(fd);

	(void)state;
	assert_int_equal(sink.fd, fd);		/* its offset is shared with others */
	assert_true(sink.is_file && !sink.own);
	assert_int_equal(log_sink_write(&sink, "x\n", 2), 2);
	close(fd);
	unlink(path_of("file"));
}

static void test_device_that_is_full(void **state)
{
	int fd = open("/dev/full", O_WRONLY);
	struct log_sink sink = log_sink_inherited(fd);

	(void)state;
	assert_int_equal(log_sink_write(&sink, "x\n", 2), -1);
	assert_int_equal(errno, ENOSPC);
	assert_string_equal(log_sink_reason(errno), "No space left on device");
	log_sink_close(&sink);
	close(fd);
}

/* ---- the account ---- */

static int open_pipe(void **state)
{
	static int fds[2];

	if (pipe(fds) == -1)
		return -1;
	loss = (struct log_loss){ 0 };
	atomic_store(&common.half_line, 0);
	*state = fds;
	return 0;
}

/* Standard error leads into the pipe while f() runs. */
static void with_stderr(int fd, void (*f)(int fd, int reader), int reader)
{
	int saved = dup(STDERR_FILENO);
	struct err err;

	dup2(fd, STDERR_FILENO);
	assert_int_equal(log_open("stderr", LOG_LEVEL_INFO, &err), 0);
	f(fd, reader);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(log_open("syslog", LOG_LEVEL_INFO, &err), 0);
}

static void lose_three(int fd, int reader)
{
	log_info("before");
	fill(fd);
	errno = EILSEQ;
	for (int i = 0; i < 3; i++)
		log_info("lost %d", i);
	log_catch_up();
	assert_int_equal(errno, EILSEQ);
	assert_int_equal(atomic_load(&loss.dropped), 3);
	assert_int_equal(atomic_load(&loss.said), 0);
	assert_int_equal(atomic_load(&loss.failing), 1);
	assert_true(atomic_load(&loss.wall_ms) > 0);
	assert_string_equal(log_loss_reason(&loss), "nobody reads what is full");
	drain(reader);
	assert_null(strstr(text, "lost"));
	log_info("after");
	drain(reader);
	assert_non_null(strstr(text, "]: 3 lines of the log were dropped: nobody reads what "
			       "is full\n"));
	assert_true(strstr(text, "3 lines") < strstr(text, "]: after\n"));
	assert_int_equal(atomic_load(&loss.failing), 0);
	fill(fd);
	log_info("lost");
	drain(reader);
	log_catch_up();
	assert_non_null(strstr(drain(reader), "]: 1 line of the log was dropped: "));
	log_catch_up();
	assert_string_equal(drain(reader), "");		/* once */
	assert_int_equal(atomic_load(&loss.dropped), 4);
}

static void test_what_is_dropped_is_said(void **state)
{
	int *fds = *state;

	with_stderr(fds[1], lose_three, fds[0]);
	close(fds[0]);
	close(fds[1]);
}

/* The next process in a slot says what the one before had no time to say. */
static void say_of_forerunner(int fd, int reader)
{
	(void)fd;
	atomic_store(&loss.dropped, 9);
	atomic_store(&loss.said, 2);
	atomic_store(&loss.reason, ENOSPC);
	log_catch_up();
	assert_non_null(strstr(drain(reader), "]: 7 lines of the log were dropped: No space left"));
}

static void test_what_a_forerunner_dropped_is_said(void **state)
{
	int *fds = *state;

	with_stderr(fds[1], say_of_forerunner, fds[0]);
	close(fds[0]);
	close(fds[1]);
}

static const char *read_log(void)
{
	FILE *f = fopen(path_of("log"), "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_half_a_line_is_ended(void **state)
{
	int *fds = *state;
	char before[512], *half;
	struct err err;

	close(fds[0]);
	close(fds[1]);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(log_open(path_of("log"), LOG_LEVEL_INFO, &err), 0);
	log_info("whole");
	limit_files(strlen(read_log()) + 30);
	log_info("this is cut");
	log_info("this is lost");
	snprintf(before, sizeof(before), "%s", read_log());
	assert_int_equal(atomic_load(&loss.dropped), 2);
	assert_int_equal(atomic_load(&common.half_line), 1);
	half = strchr(before, '\n') + 1;
	assert_int_equal(strlen(half), 30);
	limit_files(RLIM_INFINITY);
	log_info("next");
	read_log();
	assert_int_equal(strncmp(text, before, strlen(before)), 0);
	assert_int_equal(text[strlen(before)], '\n');
	assert_non_null(strstr(text, "]: 2 lines of the log were dropped: "));
	assert_int_equal(strcmp(text + strlen(text) - 8, "]: next\n"), 0);
	unlink(path_of("log"));
	assert_int_equal(log_open("syslog", LOG_LEVEL_INFO, &err), 0);
}

static void test_half_a_line_of_another_time(void **state)
{
	int *fds = *state;
	struct err err;
	FILE *f = fopen(path_of("log"), "w");

	close(fds[0]);
	close(fds[1]);
	fputs("half", f);
	fclose(f);
	assert_int_equal(log_open(path_of("log"), LOG_LEVEL_INFO, &err), 0);
	log_info("whole");
	assert_int_equal(strncmp(read_log(), "half\n2", 6), 0);
	unlink(path_of("log"));
	assert_int_equal(log_open("syslog", LOG_LEVEL_INFO, &err), 0);
}

static void test_links_are_refused_where_they_are_not_trusted(void **state)
{
	struct err err;
	char link_path[128], target[128];

	(void)state;
	snprintf(target, sizeof(target), "%s", path_of("target"));
	snprintf(link_path, sizeof(link_path), "%s", path_of("link"));
	close(open(target, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlink(target, link_path), 0);
	log_refuse_links(true);
	assert_int_equal(log_open(link_path, LOG_LEVEL_INFO, &err), -1);
	assert_non_null(strstr(err.text, "it is a link"));
	unlink(link_path);
	assert_int_equal(link(target, link_path), 0);
	assert_int_equal(log_open(link_path, LOG_LEVEL_INFO, &err), -1);
	unlink(link_path);
	assert_int_equal(log_open(target, LOG_LEVEL_INFO, &err), 0);
	log_refuse_links(false);
	unlink(target);
	assert_int_equal(log_open("syslog", LOG_LEVEL_INFO, &err), 0);
}

/* ---- syslogd ---- */

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static const char *receive(int fd)
{
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_syslog(void **state)
{
	char path[100], pid[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", path_of("devlog"));
	snprintf(pid, sizeof(pid), " gradingd[%d]: worker/1: hello", (int)getpid());
	assert_int_equal(log_syslog_send(path, LOG_ERR, "worker/1", "hello"), -1);
	assert_string_equal(log_sink_reason(errno), "no syslogd takes them");
	fd = listen_at(path);
	assert_int_equal(log_syslog_send(path, LOG_ERR, "worker/1", "hello"), 0);
	assert_int_equal(strncmp(receive(fd), "<27>", 4), 0);		/* daemon, err */
	assert_non_null(strstr(text, pid));
	/* It hangs: what does not fit is not waited for. */
	for (int i = 0; i < 100000 && log_syslog_send(path, LOG_INFO, "main", "more") == 0; i++)
		;
	assert_int_equal(errno, EAGAIN);
	/* It is started again. */
	close(fd);
	fd = listen_at(path);
	assert_int_equal(log_syslog_send(path, LOG_INFO, "main", "again"), 0);
	assert_non_null(strstr(receive(fd), "main: again"));
	log_syslog_close();
	close(fd);
	unlink(path);
}

static void test_syslog_over_a_stream(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), peer;
	ssize_t n;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path_of("devlog"));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(log_syslog_send(address.sun_path, LOG_INFO, "main", "one"), 0);
	peer = accept(fd, NULL, NULL);
	n = read(peer, text, sizeof(text));
	assert_int_equal(n, strlen(text) + 1);		/* its NUL came with it */
	assert_non_null(strstr(text, "main: one"));
	log_syslog_close();
	close(peer);
	close(fd);
	unlink(address.sun_path);
}

static int make_directory(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	log_share(&common);
	log_account(&loss);
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, open_pipe)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe_of_ours),
		cmocka_unit_test(test_pipe_by_splice),
		cmocka_unit_test(test_pipe_by_nowait),
		cmocka_unit_test(test_splice_after_a_fork),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_file_is_left_as_it_is),
		cmocka_unit_test(test_device_that_is_full),
		TEST(test_what_is_dropped_is_said),
		TEST(test_what_a_forerunner_dropped_is_said),
		TEST(test_half_a_line_is_ended),
		TEST(test_half_a_line_of_another_time),
		cmocka_unit_test(test_links_are_refused_where_they_are_not_trusted),
		cmocka_unit_test(test_syslog),
		cmocka_unit_test(test_syslog_over_a_stream),
	};

	return cmocka_run_group_tests_name("log_waits", tests, make_directory, remove_directory);
}
