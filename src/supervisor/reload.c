/*
 * Before a reload: whether the raters of the configuration to come can be opened, and its database lets us in. That
 * needs libraries which the supervisor does without, so a child of its own finds out and writes one word, or what is
 * wrong, into a pipe. Runs in the parent, which goes on meanwhile; one trial at a time.
 */
#include "supervisor_state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "config/config_load.h"
#include "gradingd/check.h"
#include "process/signals.h"

#define TRIAL_MS 4000	/* a matter of milliseconds; within a control client's patience (CONTROL_DEADLINE_MS) */

/* Gone when the parent is: nothing else would tell it. */
static void __attribute__((noreturn)) become_trial(struct supervisor *s, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(s->deadman[1]);
	if (s->control)
		control_forget(s->control);
	check_reload_main(s->trial.fresh, fd);
}

static void trial_over(struct trial *t, struct loop *loop)
{
	loop_timer_stop(loop, &t->timer);
	loop_unwatch(loop, t->fd);
	close(t->fd);
	kill(t->pid, SIGKILL);		/* reaped with the others */
	*t = (struct trial){ .fd = -1 };
}

static void trial_end(struct supervisor *s, const char *what)
{
	struct config *fresh = s->trial.fresh;
	struct err err = { .kind = ERR_NONE };

	if (strcmp(what, CHECK_OK) != 0)
		err_set(&err, ERR_CONFIG, "%s", what);
	trial_over(&s->trial, s->loop);
	supervisor_tried(s, fresh, &err);
}

static void on_late(void *arg)
{
	trial_end(arg, "to try the rater takes too long");
}

/* Up to the end of what the child says, which is its own end. */
static void on_word(void *arg, int fd, short revents)
{
	struct supervisor *s = arg;
	struct trial *t = &s->trial;
	ssize_t n = read(fd, t->said + t->len, sizeof(t->said) - 1 - t->len);

	(void)revents;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		t->len += (size_t)n;
	if (n <= 0 || t->len == sizeof(t->said) - 1) {
		char said[sizeof(t->said)];

		memcpy(said, t->said, sizeof(said));
		trial_end(s, said[0] ? said : "the attempt to use it crashed");
	}
}

void trial_cancel(struct supervisor *s)
{
	struct config *fresh = s->trial.fresh;

	if (!fresh)
		return;
	trial_over(&s->trial, s->loop);
	config_free(fresh);
}

int trial_begin(struct supervisor *s, struct config *fresh, struct err *err)
{
	struct trial *t = &s->trial;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return err_set(err, ERR_RETRY, "cannot make a pipe: %s", strerror(errno));
	*t = (struct trial){ .fresh = fresh, .fd = fds[0] };
	signals_block_all();
	t->pid = fork();
	if (t->pid == 0)
		become_trial(s, fds[1]);
	signals_unblock_all();
	close(fds[1]);
	if (t->pid > 0 && loop_watch(s->loop, t->fd, POLLIN, on_word, s) == 0) {
		supervisor_set_timer(s, &t->timer, TRIAL_MS, on_late, s);
		return 0;
	}
	err_set(err, ERR_RETRY, "cannot try the configuration: %s", strerror(errno));
	if (t->pid > 0)
		kill(t->pid, SIGKILL);
	close(t->fd);
	*t = (struct trial){ .fd = -1 };
	return -1;
}
