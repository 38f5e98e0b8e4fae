/*
 * The keeper process: starts one program, waits for an order or its end, then leaves nothing of it
 * alive. It is a fork of a worker that touches none of what it inherited: no database, no log, no
 * memory but its stack. It is outlived by nothing it started, except when it is itself killed with
 * SIGKILL: then the program goes (its parent-death signal), and program.c kills its process group.
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"

#define NOT_EXECUTED 127	/* as shells say it */

static void report(int fd, int what, int value)
{
	struct keeper_report r = { what, value };

	if (write(fd, &r, sizeof(r)) == -1)
		return;		/* the worker is gone, which the orders will say */
}

/* ---- the program, before it is one ---- */

static void reset_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	sigemptyset(&none);
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		sigaction(signo, &sa, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* First out of the way: one of them may have a number that another is to get. */
static int take_descriptors(const struct keeper_task *task)
{
	int fds[] = { task->in, task->out, task->err, task->reports };

	for (int i = 0; i < 4; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 4);
	for (int i = 0; i < 3; i++)
		dup2(fds[i], i);
	descriptors_close(3, ~0U, CLOSE_RANGE_CLOEXEC);
	return fds[3];
}

/*
 * A session of its own: no terminal, and a process group that can be killed as one. It can gain no
 * privileges (set-user-ID), since it could then no longer be killed.
 */
static void __attribute__((noreturn)) become_program(const struct keeper_task *task, pid_t keeper)
{
	int reports = take_descriptors(task);

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (getppid() != keeper)
		_exit(NOT_EXECUTED);
	reset_signals();
	if (chdir("/") == 0)
		execve(task->argv[0], task->argv, task->env);
	report(reports, KEEPER_NOT_STARTED, errno);
	_exit(NOT_EXECUTED);
}

/* ---- ending it ---- */

/* Kills our children and counts them. A number in the list is whole when a blank follows it. */
static int kill_children(void)
{
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC), n = 0;
	char text[4096];
	ssize_t len = fd == -1 ? -1 : read(fd, text, sizeof(text));
	pid_t pid = 0;

	for (ssize_t i = 0; i < len; i++) {
		if (text[i] != ' ') {
			pid = pid * 10 + (text[i] - '0');
			continue;
		}
		kill(pid, SIGKILL);
		pid = 0;
		n++;
	}
	if (fd != -1)
		close(fd);
	return n;
}

/*
 * The group first: a fork within it cannot slip through. What left the group becomes our child as
 * soon as its own parent is dead, until there is none.
 */
static int sweep(pid_t program)
{
	int status = 0;

	kill(-program, SIGKILL);
	kill(program, SIGKILL);		/* it may not have made its group yet */
	while (waitpid(program, &status, 0) == -1 && errno == EINTR)
		;
	while (kill_children() > 0)
		waitpid(-1, NULL, 0);
	return status;
}

/* ---- waiting ---- */

static void close_all_but(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3 && null != -1; fd++)
		if (fd != a && fd != b)
			dup2(null, fd);
	descriptors_close(3, low - 1, 0);
	descriptors_close(low < 3 ? 3 : low + 1, high - 1, 0);
	descriptors_close(high < 3 ? 3 : high + 1, ~0U, 0);
}

/* Reaps orphans that ended by themselves; true when the program has, which is left for sweep(). */
static bool has_ended(pid_t program)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 || info.si_pid == 0)
			return false;
		if (info.si_pid == program)
			return true;
		waitpid(info.si_pid, NULL, 0);
	}
}

/* Until it has ended, or must. */
static void wait_for_end(int orders, int signals, pid_t program)
{
	struct pollfd fds[] = { { .fd = orders, .events = POLLIN },
				{ .fd = signals, .events = POLLIN } };
	struct signalfd_siginfo info;
	char order;

	while (!has_ended(program)) {
		if (poll(fds, 2, -1) == -1 && errno != EINTR)
			return;
		if (fds[1].revents && read(signals, &info, sizeof(info)) == -1 && errno != EAGAIN)
			return;
		if (!fds[0].revents)
			continue;
		if (read(orders, &order, 1) != 1 || order == KEEPER_KILL)
			return;
		kill(-program, SIGTERM);
	}
}

void keeper_main(const struct keeper_task *task)
{
	pid_t self = getpid(), program;
	sigset_t child;
	int signals;

	prctl(PR_SET_NAME, "grd-keeper");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	program = _Fork();
	if (program == 0)
		become_program(task, self);
	close_all_but(task->orders, task->reports);
	if (program == -1) {
		report(task->reports, KEEPER_NOT_STARTED, errno);
		_exit(1);
	}
	report(task->reports, KEEPER_PID, program);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals != -1)
		wait_for_end(task->orders, signals, program);
	report(task->reports, KEEPER_ENDED, sweep(program));
	_exit(0);
}
