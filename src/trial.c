/*
 * Tries a configuration's raters before a reload puts it in force. Runs in the supervisor and waits for the child that
 * opens them, as this needs libraries that the supervisor does without; never for longer than TRIAL_MS.
 */
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "restart.h"
#include "signals.h"

/* Up to the end of what the child says, which is its end. False: it takes too long. */
static bool read_word(int fd, char *text, size_t size)
{
	int64_t until = now_ms() + TRIAL_MS, left;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t got = 1;

	while (got > 0 && n < size - 1 && (left = until - now_ms()) > 0)
		if (poll(&poll_fd, 1, (int)left) > 0 && (got = read(fd, text + n, size - 1 - n)) > 0)
			n += (size_t)got;
	text[n] = '\0';
	return got <= 0 || n == size - 1;
}

int trial_raters(const struct config *config, struct err *err)
{
	int fds[2], status = 0;
	char text[sizeof(err->text)];
	bool over;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_set(err, ERR_RETRY, "cannot make a pipe: %s", strerror(errno));
	signals_block_all();
	pid = fork();
	if (pid == 0)
		check_raters_main(config, fds[1]);
	signals_unblock_all();
	close(fds[1]);
	over = pid != -1 && read_word(fds[0], text, sizeof(text));
	close(fds[0]);
	if (pid == -1)
		return err_set(err, ERR_RETRY, "cannot fork to check the rater: %s", strerror(errno));
	if (!over)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (over && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STOPPED)
		return 0;
	return err_set(err, ERR_CONFIG, "%s", over && text[0] ? text : "the rater could not be checked");
}
