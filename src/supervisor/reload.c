/*
 * Whether a configuration can be in force: its log can be opened, its raters too, and its database
 * lets us in. The last two need libraries which the supervisor does without, so a child finds out
 * and writes one word, or what is wrong, into a pipe. Runs in the parent; it never waits for that
 * child and puts nothing in force itself.
 */
#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/exit_code.h"
#include "base/log.h"
#include "config/config_check.h"
#include "config/config_load.h"
#include "process/daemon.h"
#include "process/notify.h"
#include "process/signals.h"
#include "patient_timer.h"

/* A matter of milliseconds; within a control client's patience (CONTROL_DEADLINE_MS). */
#define TRIAL_AWAITED_MS 4000
#define TRIAL_MS 30000

/* ---- the end ---- */

static int refuse(struct reload *r, struct config *fresh, const struct err *err)
{
	log_error("the configuration is not reloaded, the old one stays: %s", err->text);
	config_free(fresh);
	notify_ready();
	r->owner.over(r->owner.arg, NULL, err);
	return -1;
}

static void trial_over(struct reload *r)
{
	loop_timer_stop(r->loop, &r->timer);
	loop_unwatch(r->loop, r->fd);
	close(r->fd);
	kill(r->pid, SIGKILL);		/* reaped with the others */
	r->fresh = NULL;
}

static void trial_end(struct reload *r, const char *said)
{
	struct config *fresh = r->fresh;
	struct err err = { .kind = ERR_NONE };

	if (strcmp(said, TRIAL_OK) != 0)
		err_set(&err, ERR_CONFIG, "%s", said);
	trial_over(r);
	if (err.kind == ERR_NONE && daemon_open_log(fresh, r->daemon, &err) == 0)
		r->owner.over(r->owner.arg, fresh, &err);
	else
		refuse(r, fresh, &err);
}

static void on_late(void *arg)
{
	trial_end(arg, "to try the rater takes too long");
}

/* Up to the end of what the child says, which is its own end. */
static void on_word(void *arg, int fd, short revents)
{
	struct reload *r = arg;
	ssize_t n = read(fd, r->said + r->len, sizeof(r->said) - 1 - r->len);

	(void)revents;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		r->len += (size_t)n;
	if (n > 0 && r->len < sizeof(r->said) - 1)
		return;
	r->said[r->len] = '\0';
	trial_end(r, r->len ? r->said : "the attempt to use it crashed");
}

void reload_cancel(struct reload *r)
{
	struct config *fresh = r->fresh;

	if (!fresh)
		return;
	trial_over(r);
	config_free(fresh);
}

void reload_forget(const struct reload *r)
{
	if (r->fresh)
		close(r->fd);
}

/* ---- the beginning ---- */

/* Gone when the parent is: nothing else would tell it. */
static void __attribute__((noreturn)) become_trial(const struct reload *r, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r->owner.after_fork(r->owner.arg);
	r->trial(r->fresh, fd);
	_exit(EXIT_FAILED);
}

/* Takes fresh over when it returns 0. */
static int trial_begin(struct reload *r, struct config *fresh, bool awaited, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return err_set(err, ERR_RETRY, "cannot make a pipe: %s", strerror(errno));
	r->fresh = fresh;
	r->fd = fds[0];
	r->len = 0;
	signals_block_all();
	r->pid = fork();
	if (r->pid == 0)
		become_trial(r, fds[1]);
	signals_unblock_all();
	close(fds[1]);
	if (r->pid > 0 && loop_watch(r->loop, r->fd, POLLIN, on_word, r) == 0) {
		patient_timer_set(r->loop, &r->timer, awaited ? TRIAL_AWAITED_MS : TRIAL_MS,
				  on_late, r);
		return 0;
	}
	err_set(err, ERR_RETRY, "cannot try the configuration: %s", strerror(errno));
	if (r->pid > 0)
		kill(r->pid, SIGKILL);
	close(r->fd);
	r->fresh = NULL;
	return -1;
}

int reload_begin(struct reload *r, const struct config *current, bool awaited, struct err *err)
{
	struct config *fresh;

	reload_cancel(r);
	notify_reloading();
	fresh = config_load(r->config_path, err);
	if (!fresh || config_check_reload(current, fresh, err) == -1 ||
	    trial_begin(r, fresh, awaited, err) == -1)
		return refuse(r, fresh, err);
	return 0;
}
