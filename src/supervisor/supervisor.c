/*
 * The parent's life: setting up, signals, being up, the end; one loop. It calls no libpq, libcurl or json-c
 * and touches no job, so neither a database nor a provider can hang it; what needs either runs in a
 * child that it restarts. Nothing here blocks but poll(2).
 */
#include "supervisor_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "config/config_load.h"
#include "process/daemon.h"
#include "process/notify.h"
#include "process/signals.h"
#include "process/wake.h"

#define START_PATIENCE_MS 10000		/* -d: for the pool to be up */

void supervisor_set_timer(struct supervisor *s, struct loop_timer *timer, int64_t delay_ms, loop_timer_fn *fn,
			  void *arg)
{
	if (loop_timer_set(s->loop, timer, delay_ms, fn, arg) == -1)
		log_error("out of memory: a timer could not be set");
}

void supervisor_fail(struct supervisor *s, int status, const char *reason)
{
	if (s->exit_status == EXIT_STOPPED) {
		s->exit_status = status;
		snprintf(s->reason, sizeof(s->reason), "%s", reason);
	}
	children_stop(s, true);
}

/* ---- up or not ---- */

static void pool_is_up(struct supervisor *s)
{
	s->up = true;
	loop_timer_stop(s->loop, &s->patience_timer);
	if (!s->stopping)
		atomic_store(&s->sb->phase, POOL_UP);
	log_info("the pool is up: %" PRId64 " workers", s->config->pool.workers);
	notify_ready();
	daemon_report(s->ready_fd, EXIT_STOPPED, "ok");
	s->ready_fd = -1;
}

static void on_child_ready(void *arg, int fd, short revents)
{
	struct supervisor *s = arg;

	(void)revents;
	wake_drain(fd);
	if (!s->up && children_all_ready(s))
		pool_is_up(s);
	children_roll_on(s);
}

/* -d only: the command that waits for us gets a reason instead of a pool. */
static void out_of_patience(void *arg)
{
	struct supervisor *s = arg;
	char reason[SCOREBOARD_TEXT] = "the pool did not come up in time";

	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].wanted && !atomic_load(&s->sb->slots[i].ever_ready) &&
		    atomic_load(&s->sb->slots[i].error.wall_ms) &&
		    shared_text_get(&s->sb->slots[i].error, reason))
			break;
	supervisor_fail(s, EXIT_TRY_LATER, reason);
}

/* ---- signals ---- */

static void on_term(struct supervisor *s)
{
	children_stop(s, s->stopping);
}

static void on_quit(struct supervisor *s)
{
	children_stop(s, true);
}

static void on_hup(struct supervisor *s)
{
	struct err err;

	supervisor_reload(s, &err);
}

static void on_usr1(struct supervisor *s)
{
	log_reopen();
	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].pid)
			kill(s->slots[i].pid, SIGUSR1);
}

static void on_signals(void *arg, int fd, short revents)
{
	static const struct { int signo; void (*handle)(struct supervisor *); } handlers[] = {
		{ SIGCHLD, children_reap }, { SIGTERM, on_term }, { SIGINT, on_term }, { SIGQUIT, on_quit },
		{ SIGHUP, on_hup }, { SIGUSR1, on_usr1 },
	};
	int signo;

	(void)revents;
	while ((signo = signals_next(fd)) != 0)
		for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
			if (handlers[i].signo == signo)
				handlers[i].handle(arg);
}

static void feed_watchdog(void *arg)
{
	struct supervisor *s = arg;

	notify_watchdog();
	supervisor_set_timer(s, &s->watchdog_timer, notify_watchdog_ms(), feed_watchdog, s);
}

static void take_sample(void *arg)
{
	struct supervisor *s = arg;

	recent_take(&s->recent, s->sb, now_ms());
	supervisor_set_timer(s, &s->recent_timer, RECENT_EVERY_MS, take_sample, s);
}

/* ---- the whole life ---- */

static int set_up(struct supervisor *s, struct err *err)
{
	int signal_fd;

	s->loop = loop_new();
	signals_block_all();
	signal_fd = signals_open();
	signals_unblock_all();
	if (!s->loop || signal_fd == -1 || pipe2(s->deadman, O_CLOEXEC) == -1 || wake_init() == -1 ||
	    loop_watch(s->loop, signal_fd, POLLIN, on_signals, s) == -1 ||
	    loop_watch(s->loop, wake_supervisor_fd(), POLLIN, on_child_ready, s) == -1)
		return err_set(err, ERR_RETRY, "cannot set up the supervisor: %s%s", strerror(errno),
			       errno == EMFILE ? "; raise its limit (ulimit -n)" : "");
	log_share_level(&s->sb->log_level);
	if (s->options.once)
		return 0;
	snprintf(s->directory, sizeof(s->directory), "%.*s",
		 (int)(strrchr(s->config->control.socket, '/') - s->config->control.socket), s->config->control.socket);
	if (access(s->directory, F_OK) == 0)
		s->directory[0] = '\0';
	s->control = control_open(s->config->control.socket, s->config->control.group, s->loop, s, err);
	return s->control ? 0 : -1;
}

/* With -d: after the lock is ours, so that a second daemon does not overwrite the first one's. */
static int take_place(struct supervisor *s, struct err *err)
{
	const struct config *config = s->config;
	const char *pid_file = s->options.pid_file;
	char lock[PATH_MAX];
	const char *const paths[] = { config->control.socket, lock, pid_file ? pid_file : lock,
		s->directory[0] ? s->directory : lock, NULL };

	snprintf(lock, sizeof(lock), "%s.lock", config->control.socket);
	if (pid_file && pid_file_write(pid_file, err) == -1)
		return -1;
	return drop_privileges(config->pool.user, paths, err);
}

static void start(struct supervisor *s)
{
	take_sample(s);
	children_start(s);
	if (s->ready_fd != -1)
		supervisor_set_timer(s, &s->patience_timer, START_PATIENCE_MS, out_of_patience, s);
	if (notify_watchdog_ms() > 0)
		feed_watchdog(s);
}

/* --once: what was done, as one line of JSON on standard output. */
static void print_summary(const struct supervisor *s)
{
	const struct scoreboard *sb = s->sb;
	double seconds = (double)(now_ms() - atomic_load(&sb->started_ms)) / 1000;

	printf("{\"claimed\":%" PRIu64 ",\"completed\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"retried\":%" PRIu64
	       ",\"released\":%" PRIu64 ",\"lines_rated\":%" PRIu64 ",\"cache_hits\":%" PRIu64
	       ",\"seconds\":%.3f}\n",
	       scoreboard_sum(sb, COUNTER_JOBS_CLAIMED), scoreboard_sum(sb, COUNTER_JOBS_COMPLETED),
	       scoreboard_sum(sb, COUNTER_JOBS_FAILED), scoreboard_sum(sb, COUNTER_JOBS_RETRIED),
	       scoreboard_sum(sb, COUNTER_JOBS_RELEASED), scoreboard_sum(sb, COUNTER_LINES_RATED),
	       scoreboard_sum(sb, COUNTER_CACHE_HITS), seconds);
	fflush(stdout);
}

static void tear_down(struct supervisor *s)
{
	daemon_report(s->ready_fd, s->exit_status ? s->exit_status : EXIT_FAILED,
		      s->reason[0] ? s->reason : "stopped before the pool was up");
	if (s->exit_status != EXIT_STOPPED)
		log_error("stopped: %s", s->reason);
	else
		log_info("stopped");
	if (s->control)
		control_close(s->control);
	if (s->options.pid_file)
		unlink(s->options.pid_file);
	loop_free(s->loop);
	config_free(s->config);
}

int supervisor_run(struct config *config, struct scoreboard *sb, const struct supervisor_options *options)
{
	static struct supervisor s;	/* large, and there is one */
	struct err err;
	int status;

	s = (struct supervisor){ .options = *options, .config = config, .sb = sb, .ready_fd = options->ready_fd,
				 .deadman = { -1, -1 } };
	if (options->max_jobs > 0)
		atomic_store(&sb->job_budget, options->max_jobs);
	if (set_up(&s, &err) == -1 || take_place(&s, &err) == -1) {
		snprintf(s.reason, sizeof(s.reason), "%.*s", SCOREBOARD_TEXT - 1, err.text);
		s.exit_status = err.kind == ERR_CONFIG ? EXIT_BAD_CONFIG : EXIT_FAILED;
		s.options.pid_file = NULL;
	} else {
		start(&s);
		while (children_any(&s))
			loop_turn(s.loop, -1);
		if (options->once && s.exit_status != EXIT_BAD_CONFIG)
			print_summary(&s);
	}
	status = s.exit_status;
	tear_down(&s);
	return status;
}
