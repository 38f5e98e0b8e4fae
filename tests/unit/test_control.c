/*
 * server.c and control_socket.c over real sockets in a temporary directory. The loop is stepped by
 * the test itself, so client and server take turns in one process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "control/commands.h"
#include "control/server.h"
#include "fake_pool.h"
#include "base/log.h"

#define PATIENCE_MS 5000

static char dir[64], path[96], lock_path[104];
static struct loop *loop;
static struct control *control;
static struct err err;
static struct buf got;
static int descriptors;
static int rows;		/* how much "show config" has to say; 0: as ever */

/*
 * The commands, as the supervisor has them answered, but for an answer as large as a test wants it.
 */
static int handle(void *arg, const char *line, bool admin, struct buf *out, struct err *reason)
{
	assert_ptr_equal(arg, &rows);
	if (rows == 0 || strncmp(line, "show config", 11) != 0)
		return command_run(&fake.pool, line, admin, out, reason);
	for (int i = 0; i < rows; i++)
		buf_printf(out, "openai.model  model-x  line %8d of the answer\n", i);
	return 0;
}

static int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int set_up_closed(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/run/control.sock", dir);
	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	fake_reset();
	rows = 0;
	buf_init(&got, 8 << 20);
	loop = loop_new();
	control = NULL;
	descriptors = count_descriptors();
	return 0;
}

static int set_up(void **state)
{
	set_up_closed(state);
	control = control_open(path, "", loop, handle, &rows, &err);
	return control ? 0 : -1;
}

/* After every test: nothing is left of the sockets, in the file system or in the process. */
static int tear_down(void **state)
{
	char run[80];

	(void)state;
	control_close(control);
	assert_int_equal(count_descriptors(), descriptors);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(lock_path, F_OK), -1);
	loop_free(loop);
	buf_free(&got);
	snprintf(run, sizeof(run), "%s/run", dir);
	rmdir(run);
	return rmdir(dir);
}

/* ---- a client ---- */

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	assert_true(fd != -1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void turns(int n)
{
	while (n-- > 0)
		loop_turn(loop, 0);
}

/* All that comes until the server closes. */
static const char *hear(int fd)
{
	int64_t until = now_ms() + PATIENCE_MS;
	char bytes[65536];
	ssize_t n;

	buf_reset(&got);
	for (;;) {
		loop_turn(loop, 1);
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n > 0)
			buf_add(&got, bytes, (size_t)n);
		else if (n == 0 || errno != EAGAIN)
			break;
		assert_true(now_ms() < until);
	}
	close(fd);
	return buf_text(&got);
}

static const char *ask(const char *line)
{
	int fd = dial();

	say(fd, line);
	return hear(fd);
}

/* Checks the frame and returns what is in it. */
static const char *body_of(const char *reply)
{
	size_t len;
	int head;

	assert_int_equal(sscanf(reply, "ok %zu%n", &len, &head), 1);
	assert_int_equal(reply[head], '\n');
	assert_int_equal(strlen(reply + head + 1), len);
	return reply + head + 1;
}

static void assert_serving(void)
{
	assert_non_null(strstr(body_of(ask("show version\n")), "version:"));
}

/* Every place of a client is free again: as many as allowed can be there at once. */
static void assert_all_places_free(void)
{
	int fds[CONTROL_CLIENTS];

	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		fds[i] = dial();
		turns(1);
	}
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		say(fds[i], "show version\n");
		body_of(hear(fds[i]));
	}
}

/* ---- framing ---- */

static void test_one_line_in_one_frame_out(void **state)
{
	(void)state;
	assert_non_null(strstr(body_of(ask("show version\n")), "pid:"));
	assert_int_equal(body_of(ask("sh ver json\n"))[0], '{');
	body_of(ask("show status\r\n"));
	assert_string_equal(ask("show nothing\n"),
			    "err unknown word \"nothing\"; possible: status, workers, queue, "
			    "metrics, config, errors, limits, version\n");
	assert_string_equal(ask("\n"),
			    "err do what? Possible: show, pause, resume, drain, reload, scale, "
			    "recycle, log, open, close, help\n");
}

static void test_line_in_pieces(void **state)
{
	const char *line = "scale 16\n";
	int fd = dial();

	(void)state;
	for (const char *p = line; *p; p++) {
		assert_int_equal(fake.actions, 0);
		assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
		turns(2);
	}
	assert_string_equal(body_of(hear(fd)), "scaling to 16 workers\n");
	assert_string_equal(fake.last, "scale 16");
}

static void test_unfinished_line_is_not_run(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "scale 1");
	shutdown(fd, SHUT_WR);
	assert_string_equal(hear(fd), "");
	assert_int_equal(fake.actions, 0);
}

static void test_half_closed_client_gets_its_answer(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "show version\n");
	shutdown(fd, SHUT_WR);
	body_of(hear(fd));
}

static void test_who_asks_for_a_reload_waits_for_its_end(void **state)
{
	static const struct err fine = { .kind = ERR_NONE },
				wrong = { .kind = ERR_CONFIG, .text = "no such model" };
	int patient = dial(), gone = dial(), other = dial();
	char byte;

	(void)state;
	say(patient, "reload\n");
	say(gone, "reload\n");
	turns(10);
	assert_int_equal(recv(patient, &byte, 1, MSG_DONTWAIT), -1);
	close(gone);
	body_of(ask("show version\n"));	/* the others are answered meanwhile */
	control_answer(control, &fine, "reloaded\n");
	assert_string_equal(hear(patient), "ok 9\nreloaded\n");
	say(other, "reload\n");
	turns(10);
	control_answer(control, &wrong, "reloaded\n");
	assert_string_equal(hear(other), "err no such model\n");
	control_answer(control, &fine, "reloaded\n");	/* to nobody */
	assert_serving();
}

static void test_only_the_first_line_counts(void **state)
{
	(void)state;
	body_of(ask("show version\npause\ndrain\n\x01\x02\x03"));
	assert_int_equal(fake.actions, 0);
	assert_serving();
}

static void test_large_answer_arrives_whole(void **state)
{
	(void)state;
	rows = 40000;
	assert_true(strlen(body_of(ask("show config\n"))) > 1000000);
}

static void test_answer_above_the_cap_is_refused(void **state)
{
	(void)state;
	rows = 100000;
	assert_string_equal(ask("show config json\n"), "err the answer does not fit into memory\n");
	assert_serving();
}

/* ---- clients that mean no good ---- */

static void test_longest_line(void **state)
{
	char line[CONTROL_LINE_CAP + 2];

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, "show version", 12);
	strcpy(line + CONTROL_LINE_CAP - 1, "\n");
	body_of(ask(line));
	strcpy(line + CONTROL_LINE_CAP - 1, " \n");
	assert_string_equal(ask(line), "err the request line is too long\n");
}

/* Answered at once; what still comes is thrown away for a while, then the connection ends. */
static void test_endless_line(void **state)
{
	char flood[4096], answer[100];
	int fd = dial();
	size_t sent = 0;
	ssize_t n;

	(void)state;
	memset(flood, 'x', sizeof(flood));
	assert_int_equal(send(fd, flood, sizeof(flood), MSG_NOSIGNAL), sizeof(flood));
	turns(2);
	n = recv(fd, answer, sizeof(answer) - 1, 0);
	assert_true(n > 0);
	answer[n] = '\0';
	assert_string_equal(answer, "err the request line is too long\n");
	do {
		n = send(fd, flood, sizeof(flood), MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		turns(1);
	} while (n > 0 || (errno == EAGAIN && sent < 4 << 20));
	assert_true(errno == EPIPE || errno == ECONNRESET);
	assert_in_range(sent, 512 << 10, 2 << 20);
	close(fd);
	assert_serving();
}

static void test_garbage(void **state)
{
	unsigned seed = 1;
	char bytes[64];

	(void)state;
	for (int i = 0; i < 500; i++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(bytes);
		const char *reply;
		int fd = dial();

		for (size_t k = 0; k < len; k++)
			bytes[k] = (char)rand_r(&seed);
		assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
		say(fd, "\n");
		reply = hear(fd);
		assert_memory_equal(reply, "err ", 4);
		assert_ptr_equal(strchr(reply, '\n'), reply + strlen(reply) - 1);
	}
	assert_int_equal(fake.actions, 0);
	assert_all_places_free();
}

static void test_nul_bytes_are_no_words(void **state)
{
	int fd = dial();

	(void)state;
	assert_int_equal(send(fd, "pause\0\n", 7, MSG_NOSIGNAL), 7);
	assert_string_equal(hear(fd), "err the request holds bytes that are no words\n");
	assert_int_equal(fake.actions, 0);
}

static void test_clients_that_leave_early(void **state)
{
	(void)state;
	rows = 40000;
	for (int i = 0; i < 3 * CONTROL_CLIENTS; i++) {
		int fd = dial();

		if (i % 3)
			say(fd, i % 3 == 1 ? "show st" : "show config\n");
		turns(i % 4);
		close(fd);
	}
	turns(10);
	rows = 0;
	assert_all_places_free();
}

/* None of them may be sent away: all have asked and wait. */
static void test_too_many_clients(void **state)
{
	static const struct err fine = { .kind = ERR_NONE };
	int fds[CONTROL_CLIENTS];

	(void)state;
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		fds[i] = dial();
		say(fds[i], "reload\n");
		turns(2);
	}
	assert_string_equal(ask(""), "err too many clients\n");
	control_answer(control, &fine, "reloaded\n");
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		assert_string_equal(hear(fds[i]), "ok 9\nreloaded\n");
	assert_all_places_free();
}

/*
 * Whoever came first of them makes room, and hears why; not who waits, is reading, or has asked
 * just now.
 */
static void test_silent_clients_make_room(void **state)
{
	static const struct err fine = { .kind = ERR_NONE };
	int waiting = dial(), reading = dial(), asking = dial(), first = dial(),
	    more[CONTROL_CLIENTS];
	int64_t start = now_ms();
	char byte;

	(void)state;
	rows = 40000;
	say(waiting, "reload\n");
	say(reading, "show config\n");
	say(first, "show st");
	turns(10);
	for (int i = 4; i < CONTROL_CLIENTS; i++) {
		more[i] = dial();
		turns(1);
	}
	while (now_ms() < start + CONTROL_GRACE_MS)
		loop_turn(loop, 10);
	say(asking, "show version\n");
	assert_serving();
	body_of(hear(asking));
	more[0] = dial();
	turns(2);
	assert_int_equal(recv(first, &byte, 1, MSG_DONTWAIT), -1);
	assert_serving();
	assert_string_equal(hear(first), "err too many clients\n");
	control_answer(control, &fine, "reloaded\n");
	assert_string_equal(hear(waiting), "ok 9\nreloaded\n");
	assert_true(strlen(body_of(hear(reading))) > 1000000);
	close(more[0]);
	for (int i = 4; i < CONTROL_CLIENTS; i++)
		close(more[i]);
}

/*
 * One silent, one in the middle of its line, one that never reads: gone at the deadline, not
 * before.
 */
static void test_slow_clients_meet_the_deadline(void **state)
{
	int silent, half, deaf;
	int64_t start = now_ms();
	char byte;

	(void)state;
	rows = 40000;
	silent = dial();
	half = dial();
	deaf = dial();
	say(half, "show st");
	say(deaf, "show config\n");
	while (now_ms() < start + CONTROL_DEADLINE_MS - 500)
		loop_turn(loop, 100);
	say(half, "a");
	turns(2);
	assert_int_equal(recv(silent, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(recv(half, &byte, 1, MSG_DONTWAIT), -1);
	rows = 0;
	assert_serving();
	assert_string_equal(hear(silent), "");
	assert_string_equal(hear(half), "");
	assert_true(now_ms() - start >= CONTROL_DEADLINE_MS);
	assert_true(strlen(hear(deaf)) < 1000000);
	assert_all_places_free();
}

/*
 * accept(2) fails while the connection waits: without a pause, poll(2) would return at once for
 * ever.
 */
static void test_no_descriptor_left_is_waited_out(void **state)
{
	struct rlimit old, none;
	int fd, n = 0;
	int64_t until;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	fd = dial();
	none = old;
	none.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (until = now_ms() + 300; now_ms() < until; n++)
		loop_turn(loop, 1000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_in_range(n, 1, 10);
	say(fd, "show version\n");
	body_of(hear(fd));
}

/* ---- who may say what ---- */

static void test_strangers_only_read(void **state)
{
	int64_t until;
	pid_t pid;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(path, 0666), 0);
	until = now_ms() + PATIENCE_MS;
	pid = fork();
	if (pid == 0) {
		char bytes[256];
		int fd, n;

		if (setgid(65534) == -1 || setuid(65534) == -1)
			_exit(2);
		for (int i = 0; i < 2; i++) {
			fd = dial();
			fcntl(fd, F_SETFL, 0);
			say(fd, i ? "show version\n" : "pause\n");
			n = (int)recv(fd, bytes, sizeof(bytes), 0);
			if (n < 3 ||
			    memcmp(bytes, i ? "ok " : "err \"pause\" is for root", i ? 3 : 23) != 0)
				_exit(3);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		loop_turn(loop, 10);
		if (now_ms() > until)
			kill(pid, SIGKILL);	/* and its status is that */
	}
	assert_int_equal(status, 0);
	assert_int_equal(fake.actions, 0);
	body_of(ask("pause\n"));
	assert_string_equal(fake.last, "pause 1");
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st.st_mode & 07777;
}

static void test_modes(void **state)
{
	char run[80];
	struct group *group = getgrgid(getegid());
	mode_t mask = umask(0);

	(void)state;
	snprintf(run, sizeof(run), "%s/run", dir);
	control = control_open(path, "", loop, handle, &rows, &err);
	assert_non_null(control);
	assert_int_equal(mode_of(run), 0755);
	assert_int_equal(mode_of(path), 0600);
	control_close(control);
	control = control_open(path, group->gr_name, loop, handle, &rows, &err);
	assert_non_null(control);
	assert_int_equal(mode_of(path), 0660);
	assert_int_equal(umask(mask), 0);
}

/* ---- opening ---- */

static void assert_refused(const char *where, const char *group, const char *why)
{
	err = (struct err){ 0 };
	assert_null(control_open(where, group, loop, handle, &rows, &err));
	if (!strstr(err.text, why))
		fail_msg("\"%s\" is not in \"%s\"", why, err.text);
}

static void test_second_daemon_is_refused(void **state)
{
	char why[256];

	(void)state;
	snprintf(why, sizeof(why), "another gradingd (pid %d) holds %s", (int)getpid(), lock_path);
	assert_refused(path, "", why);
	assert_serving();
	assert_int_equal(truncate(lock_path, 0), 0);
	snprintf(why, sizeof(why), "another gradingd holds %s", lock_path);
	assert_refused(path, "", why);
}

static void test_dead_daemons_socket_is_replaced(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(control_open(path, "", loop, handle, &rows, &err) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(access(path, F_OK), 0);
	control = control_open(path, "", loop, handle, &rows, &err);
	assert_non_null(control);
	assert_serving();
}

/* A worker that outlives its supervisor must not keep the next one from starting. */
static void test_forgetful_child_holds_nothing(void **state)
{
	int pipe_fds[2], status, guest = dial();
	pid_t pid;
	char byte;

	(void)state;
	turns(2);
	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		control_forget(control);
		if (write(pipe_fds[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	assert_int_equal(access(path, F_OK), 0);
	assert_serving();
	control_close(control);
	assert_int_equal(recv(guest, &byte, 1, 0), 0);
	control = control_open(path, "", loop, handle, &rows, &err);
	assert_non_null(control);
	assert_serving();
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(guest);
}

static void test_places_that_cannot_be(void **state)
{
	char longest[200], deep[128], file[96];
	FILE *f;

	(void)state;
	memset(longest, 'p', sizeof(longest));
	longest[0] = '/';
	longest[108] = '\0';
	assert_refused(longest, "", "control.socket must have 1 to 107 characters, not 108");
	assert_refused("", "", "control.socket must have 1 to 107 characters, not 0");
	snprintf(deep, sizeof(deep), "%s/a/b/control.sock", dir);
	assert_refused(deep, "", "cannot make the directory");
	assert_refused(path, "no-such-group", "there is no group \"no-such-group\"");
	assert_int_equal(access(path, F_OK), -1);

	snprintf(file, sizeof(file), "%s/run/a-file", dir);
	f = fopen(file, "w");
	assert_non_null(f);
	fclose(f);
	assert_refused(file, "", "exists and is no socket");
	assert_int_equal(access(file, F_OK), 0);
	unlink(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_CLOSED(name) cmocka_unit_test_setup_teardown(name, set_up_closed, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_line_in_one_frame_out),
		TEST(test_line_in_pieces),
		TEST(test_unfinished_line_is_not_run),
		TEST(test_half_closed_client_gets_its_answer),
		TEST(test_who_asks_for_a_reload_waits_for_its_end),
		TEST(test_only_the_first_line_counts),
		TEST(test_large_answer_arrives_whole),
		TEST(test_answer_above_the_cap_is_refused),
		TEST(test_longest_line),
		TEST(test_endless_line),
		TEST(test_garbage),
		TEST(test_nul_bytes_are_no_words),
		TEST(test_clients_that_leave_early),
		TEST(test_too_many_clients),
		TEST(test_silent_clients_make_room),
		TEST(test_slow_clients_meet_the_deadline),
		TEST(test_no_descriptor_left_is_waited_out),
		TEST(test_strangers_only_read),
		TEST(test_second_daemon_is_refused),
		TEST(test_forgetful_child_holds_nothing),
		TEST_CLOSED(test_modes),
		TEST_CLOSED(test_dead_daemons_socket_is_replaced),
		TEST_CLOSED(test_places_that_cannot_be),
	};

	if (log_open("/dev/null", LOG_LEVEL_DEBUG, &err) == -1)
		return 1;
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
