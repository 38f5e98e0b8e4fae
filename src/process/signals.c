/* Self-pipe signals; every process makes its own right after fork. */
#include "process/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static const int piped[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD };
/* Each would end or stop us for a line of the log: a reader gone, a file too large, stty tostop. */
static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGTTOU };
static int pipe_fds[2] = { -1, -1 };

static void on_signal(int signo)
{
	int saved_errno = errno;
	unsigned char byte = (unsigned char)signo;

	/* A full pipe already holds enough to wake the reader. */
	if (write(pipe_fds[1], &byte, 1) == -1)
		errno = saved_errno;
	errno = saved_errno;
}

void signals_block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

void signals_unblock_all(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void handle(int signo, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigemptyset(&sa.sa_mask);
	sigaction(signo, &sa, NULL);
}

int signals_open(void)
{
	for (int i = 0; i < 2; i++)
		if (pipe_fds[i] != -1)
			close(pipe_fds[i]);
	if (pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) == -1)
		return -1;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		handle(ignored[i], SIG_IGN);
	for (size_t i = 0; i < sizeof(piped) / sizeof(piped[0]); i++)
		handle(piped[i], on_signal);
	return pipe_fds[0];
}

int signals_next(int fd)
{
	unsigned char byte;

	return read(fd, &byte, 1) == 1 ? byte : 0;
}
