/*
 * The parent: child slots, signals, the control socket, one loop. It calls no libpq, libcurl or json-c
 * and touches no job, so neither a database nor a provider can hang it; what needs either runs in a
 * child that it restarts. Nothing here blocks but poll(2).
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "breaker.h"
#include "child.h"
#include "clock.h"
#include "control.h"
#include "daemon.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "restart.h"
#include "signals.h"
#include "wake.h"

#define START_PATIENCE_MS 10000		/* -d: for the pool to be up */
#define KILL_GRACE_MS 2000		/* after the drain time, and between ABRT and KILL */
#define AT_ONCE_GRACE_MS 1500
#define FORK_RETRY_MS 1000
/* A stopped worker left jobs behind, and none of them is to blame (see janitor.c). */
#define NO_JOB "00000000-0000-0000-0000-000000000000"

struct child_slot {
	struct supervisor *s;
	int index;
	pid_t pid;			/* 0: none */
	bool wanted;			/* to be there, and to be started again when it ends */
	bool stopping;			/* was asked to stop */
	bool aborted;			/* was sent ABRT for a stale beat */
	bool stale;			/* runs an older configuration, or is to be recycled */
	struct restart_history history;
	uint64_t settled;		/* jobs of the slot when this child began */
	struct loop_timer timer;	/* without a child: its start; with one: KILL */
};

struct supervisor {
	struct supervisor_options options;
	struct config *config;
	struct scoreboard *sb;
	struct loop *loop;
	struct control *control;
	int deadman[2];			/* children watch [0]; only we hold [1] */
	int ready_fd;
	struct child_slot slots[SLOT_COUNT];
	struct loop_timer beat_timer, patience_timer, watchdog_timer;
	bool stopping, at_once, up;
	int exit_status;
	char reason[SCOREBOARD_TEXT];	/* why it ends with another status than 0 */
};

static void spawn(void *arg);
static void roll_on(struct supervisor *s);

static struct slot *shared(const struct child_slot *cs)
{
	return &cs->s->sb->slots[cs->index];
}

static const char *role(const struct child_slot *cs)
{
	return cs->index == SLOT_JANITOR ? "janitor" : "worker";
}

static bool set_timer(struct supervisor *s, struct loop_timer *timer, int64_t delay_ms, loop_timer_fn *fn, void *arg)
{
	if (loop_timer_set(s->loop, timer, delay_ms, fn, arg) == 0)
		return true;
	log_error("out of memory: a timer could not be set");
	return false;
}

/* ---- starting children ---- */

static void __attribute__((noreturn)) become_child(struct child_slot *cs)
{
	struct supervisor *s = cs->s;
	struct child child = {
		.index = cs->index, .sb = s->sb, .config = s->config, .once = s->options.once,
	};

	close(s->deadman[1]);
	if (s->ready_fd != -1)
		close(s->ready_fd);
	if (s->control)
		control_forget(s->control);
	child_begin(&child, role(cs), s->deadman[0]);
	exit(cs->index == SLOT_JANITOR ? janitor_main(&child) : worker_main(&child));
}

static void reset_slot(struct slot *slot, enum slot_state state)
{
	atomic_store(&slot->in_flight, 0);
	atomic_store(&slot->hungry, 0);
	atomic_store(&slot->woken, 0);
	atomic_store(&slot->ever_ready, 0);
	atomic_store(&slot->started_ms, now_ms());
	atomic_store(&slot->beat_ms, now_ms());
	shared_text_set(&slot->identity, "");
	atomic_store(&slot->state, state);
}

static uint64_t jobs_settled(const struct slot *slot)
{
	return atomic_load(&slot->counters[COUNTER_JOBS_COMPLETED]) +
	       atomic_load(&slot->counters[COUNTER_JOBS_FAILED]);
}

/* A fork that fails is a start that comes later. */
static void spawn(void *arg)
{
	struct child_slot *cs = arg;
	struct slot *slot = shared(cs);
	pid_t pid;

	if (cs->pid || !cs->wanted)
		return;
	reset_slot(slot, SLOT_STARTING);
	signals_block_all();
	pid = fork();
	if (pid == 0)
		become_child(cs);
	signals_unblock_all();
	if (pid == -1) {
		log_error("cannot fork a %s: %s; trying again in %d ms", role(cs), strerror(errno), FORK_RETRY_MS);
		atomic_store(&slot->state, SLOT_WAITING);
		set_timer(cs->s, &cs->timer, FORK_RETRY_MS, spawn, cs);
		return;
	}
	cs->pid = pid;
	cs->stopping = cs->aborted = cs->stale = false;
	cs->settled = jobs_settled(slot);
	atomic_store(&slot->pid, pid);
	atomic_fetch_add(&slot->generation, 1);
}

/* ---- stopping children ---- */

static void kill_late(void *arg)
{
	struct child_slot *cs = arg;

	if (!cs->pid)
		return;
	log_warn("%s %d (pid %d) did not end in time; killing it", role(cs), cs->index, (int)cs->pid);
	kill(cs->pid, SIGKILL);
}

static void stop_child(struct child_slot *cs, int signo, int64_t patience_ms)
{
	if (!cs->pid)
		return;
	cs->stopping = true;
	kill(cs->pid, signo);
	set_timer(cs->s, &cs->timer, patience_ms, kill_late, cs);
}

static void drain_child(struct child_slot *cs)
{
	stop_child(cs, SIGTERM, cs->s->config->pool.drain_ms + KILL_GRACE_MS);
}

static bool any_worker(const struct supervisor *s)
{
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++)
		if (s->slots[i].pid)
			return true;
	return false;
}

/* Workers first; the janitor goes last, since it puts back what they leave behind. */
static void stop_all(struct supervisor *s, bool at_once)
{
	if (!s->stopping)
		log_info(at_once ? "stopping at once" : "draining, then stopping");
	s->stopping = true;
	s->at_once |= at_once;
	atomic_store(&s->sb->phase, POOL_DRAINING);
	notify_stopping();
	for (int i = SLOT_COUNT - 1; i >= 0; i--) {
		struct child_slot *cs = &s->slots[i];

		cs->wanted = false;
		if (!cs->pid) {
			loop_timer_stop(s->loop, &cs->timer);
			atomic_store(&shared(cs)->state, SLOT_EMPTY);
		} else if (i != SLOT_JANITOR && at_once) {
			stop_child(cs, SIGQUIT, AT_ONCE_GRACE_MS);
		} else if (i != SLOT_JANITOR) {
			drain_child(cs);
		}
	}
	if (!any_worker(s))
		stop_child(&s->slots[SLOT_JANITOR], SIGTERM, KILL_GRACE_MS);
}

static void fail(struct supervisor *s, int status, const char *reason)
{
	if (s->exit_status == EXIT_STOPPED) {
		s->exit_status = status;
		snprintf(s->reason, sizeof(s->reason), "%s", reason);
	}
	stop_all(s, true);
}

/* ---- reaping ---- */

static void describe_end(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "ended with exit status %d", WEXITSTATUS(status));
}

/* For the janitor: whose jobs to put back, and which job to blame, if any. */
static void report_death(struct child_slot *cs, int status, const char *how)
{
	struct slot *slot = shared(cs);
	struct death d;
	char text[SCOREBOARD_TEXT];
	bool orderly = WIFEXITED(status) && WEXITSTATUS(status) != EXIT_FAILED;

	if (cs->index == SLOT_JANITOR || !shared_text_get(&slot->identity, text) || !text[0])
		return;
	snprintf(d.identity, sizeof(d.identity), "%.*s", IDENTITY_SIZE - 1, text);
	snprintf(d.how, sizeof(d.how), "%s", how);
	if (!shared_text_get(&slot->in_hand, text))
		text[0] = '\0';
	snprintf(d.in_hand, sizeof(d.in_hand), "%.*s", UUID_SIZE - 1, orderly || cs->stopping ? NO_JOB : text);
	if (!deaths_push(cs->s->sb, &d))
		log_warn("too many dead workers at once; the janitor finds this one's jobs by itself");
	wake_slot(SLOT_JANITOR);
}

static void start_later(struct child_slot *cs, int64_t delay_ms)
{
	atomic_store(&shared(cs)->state, delay_ms > 0 ? SLOT_WAITING : SLOT_STARTING);
	if (delay_ms > 0)
		set_timer(cs->s, &cs->timer, delay_ms, spawn, cs);
	else
		spawn(cs);
}

static void restart_or_not(struct child_slot *cs, pid_t pid, int status, int64_t lived_ms, const char *how)
{
	struct supervisor *s = cs->s;
	bool useful = jobs_settled(shared(cs)) > cs->settled;
	struct restart_decision d = restart_decide(&cs->history, status, lived_ms, useful, (uint32_t)random());
	bool unexpected = !cs->stopping && !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STOPPED);

	if (unexpected && cs->wanted && !d.stop_all) {
		atomic_fetch_add(&s->sb->restarts, 1);
		log_error("%s %d (pid %d) %s; starting it again %s", role(cs), cs->index, (int)pid, how,
			  d.delay_ms ? "later" : "at once");
	}
	if (cs->stopping)
		d = (struct restart_decision){ false, 0 };
	if (d.stop_all) {
		char reason[SCOREBOARD_TEXT];

		shared_text_get(&shared(cs)->error, reason);
		fail(s, EXIT_BAD_CONFIG, reason);
	} else if (cs->wanted) {
		start_later(cs, d.delay_ms);
	} else {
		atomic_store(&shared(cs)->state, SLOT_EMPTY);
	}
}

/* --once: a worker that found the queue empty is done; trouble with the database ends them all. */
static void once_ended(struct child_slot *cs, int status)
{
	char reason[SCOREBOARD_TEXT];

	if (!WIFEXITED(status))
		return;
	if (WEXITSTATUS(status) == EXIT_STOPPED) {
		cs->wanted = cs->index == SLOT_JANITOR;
	} else if (WEXITSTATUS(status) == EXIT_TRY_LATER) {
		cs->wanted = false;
		shared_text_get(&shared(cs)->error, reason);
		fail(cs->s, EXIT_TRY_LATER, reason[0] ? reason : "the rater is not available");
	}
}

static void child_ended(struct child_slot *cs, int status)
{
	struct supervisor *s = cs->s;
	struct slot *slot = shared(cs);
	int64_t lived = now_ms() - atomic_load(&slot->started_ms);
	pid_t pid = cs->pid;
	char how[96];

	describe_end(status, how, sizeof(how));
	loop_timer_stop(s->loop, &cs->timer);
	cs->pid = 0;
	atomic_store(&slot->pid, 0);
	report_death(cs, status, how);
	if (s->options.once)
		once_ended(cs, status);
	restart_or_not(cs, pid, status, lived, how);
	if ((s->stopping || s->options.once) && !any_worker(s) && s->slots[SLOT_JANITOR].pid) {
		s->slots[SLOT_JANITOR].wanted = false;
		stop_child(&s->slots[SLOT_JANITOR], SIGTERM, KILL_GRACE_MS);
	}
	roll_on(s);
}

static void reap_children(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SLOT_COUNT; i++)
			if (s->slots[i].pid == pid) {
				child_ended(&s->slots[i], status);
				break;
			}
}

/* ---- hung children ---- */

static void check_beats(void *arg)
{
	struct supervisor *s = arg;
	int64_t limit = s->config->pool.beat_ms, now = now_ms();

	set_timer(s, &s->beat_timer, limit / 4, check_beats, s);
	for (int i = 0; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &s->slots[i];
		int64_t silent = now - atomic_load(&shared(cs)->beat_ms);

		if (!cs->pid || cs->aborted || silent <= limit)
			continue;
		log_error("%s %d (pid %d) has not been heard of for %d ms; it hangs: aborting it", role(cs), i,
			  (int)cs->pid, (int)silent);
		cs->aborted = true;
		kill(cs->pid, SIGABRT);
		set_timer(s, &cs->timer, KILL_GRACE_MS, kill_late, cs);
	}
}

/* ---- up or not ---- */

static bool all_ready(const struct supervisor *s)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].wanted && !atomic_load(&s->sb->slots[i].ever_ready))
			return false;
	return true;
}

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
	if (!s->up && all_ready(s))
		pool_is_up(s);
	roll_on(s);
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
	fail(s, EXIT_TRY_LATER, reason);
}

/* ---- rolling replacement ---- */

/* Replaces stale children, at most half of the pool at a time, the next when a fresh one is at work. */
static void roll_on(struct supervisor *s)
{
	int away = 0, allowed = (int)(s->config->pool.workers + 1) / 2;	/* 1 at least */

	if (s->stopping)
		return;
	for (int i = 0; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &s->slots[i];
		bool at_work = atomic_load(&shared(cs)->ever_ready);

		if (cs->stale && cs->pid && !cs->stopping && !at_work)
			drain_child(cs);	/* nobody misses it, and the old settings may be why */
		away += cs->wanted && (cs->stopping || !at_work);
	}
	for (int i = 0; i < SLOT_COUNT && away < allowed; i++) {
		struct child_slot *cs = &s->slots[i];

		if (!cs->stale || cs->stopping || !cs->pid)
			continue;
		drain_child(cs);
		away++;
	}
}

static void set_workers(struct supervisor *s, int64_t n)
{
	atomic_store(&s->sb->workers, (uint32_t)n);
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &s->slots[i];
		bool wanted = i <= n && !s->stopping;

		if (wanted && !cs->wanted) {
			cs->wanted = true;
			cs->history = (struct restart_history){ 0 };
			spawn(cs);
		} else if (!wanted && cs->wanted) {
			cs->wanted = false;
			if (cs->pid) {
				drain_child(cs);
			} else {
				loop_timer_stop(s->loop, &cs->timer);
				atomic_store(&shared(cs)->state, SLOT_EMPTY);
			}
		}
	}
}

/* ---- what the control socket asks ---- */

const struct config *supervisor_config(const struct supervisor *s)
{
	return s->config;
}

struct scoreboard *supervisor_scoreboard(const struct supervisor *s)
{
	return s->sb;
}

unsigned supervisor_restarts(const struct supervisor *s, int slot)
{
	return s->slots[slot].history.crashes;
}

int64_t supervisor_restart_in_ms(const struct supervisor *s, int slot)
{
	const struct child_slot *cs = &s->slots[slot];
	int64_t in;

	if (cs->pid || !cs->wanted || !loop_timer_is_set(&cs->timer))
		return -1;
	in = cs->timer.at_ms - now_ms();
	return in > 0 ? in : 0;
}

static void wake_workers(const struct supervisor *s)
{
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++)
		if (s->slots[i].pid)
			wake_slot(i);
}

void supervisor_pause(struct supervisor *s, bool paused)
{
	log_info(paused ? "paused by an operator: nothing is claimed" : "resumed by an operator");
	atomic_store(&s->sb->paused, paused);
	if (!paused)
		wake_workers(s);
}

void supervisor_close_breaker(struct supervisor *s)
{
	log_info("the breaker is closed by an operator");
	breaker_release(s->sb);
	wake_workers(s);
}

void supervisor_drain(struct supervisor *s)
{
	stop_all(s, false);
}

int supervisor_scale(struct supervisor *s, int64_t workers, struct err *err)
{
	if (s->stopping)
		return err_set(err, ERR_PERMANENT, "the pool is stopping");
	if (workers < 1 || workers > SLOT_MAX_WORKERS)
		return err_set(err, ERR_PERMANENT, "%" PRId64 " workers; it must be from 1 to %d", workers,
			       SLOT_MAX_WORKERS);
	log_info("scaling to %" PRId64 " workers", workers);
	s->config->pool.workers = workers;
	set_workers(s, workers);
	return 0;
}

int supervisor_recycle(struct supervisor *s, int slot, struct err *err)
{
	if (slot >= SLOT_COUNT || (slot >= 0 && !s->slots[slot].pid))
		return err_set(err, ERR_PERMANENT, "there is no child in slot %d", slot);
	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].pid && (i == slot || (slot < 0 && i != SLOT_JANITOR)))
			s->slots[i].stale = true;
	roll_on(s);
	return 0;
}

int supervisor_reload(struct supervisor *s, struct err *err)
{
	struct config *fresh, *old = s->config;

	if (s->stopping)
		return err_set(err, ERR_PERMANENT, "the pool is stopping");
	notify_reloading();
	fresh = config_load(s->options.config_path, err);
	if (!fresh || config_check_reload(old, fresh, err) == -1 ||
	    log_open(fresh->log.to, (enum log_level)fresh->log.level, err) == -1) {
		log_error("the configuration is not reloaded, the old one stays: %s", err->text);
		config_free(fresh);
		notify_ready();
		return -1;
	}
	s->config = fresh;
	config_free(old);
	atomic_fetch_add(&s->sb->reloads, 1);
	log_info("the configuration is reloaded; replacing the children one after another");
	for (int i = 0; i < SLOT_COUNT; i++)
		s->slots[i].stale = s->slots[i].pid != 0;
	set_workers(s, fresh->pool.workers);
	roll_on(s);
	notify_ready();
	return 0;
}

/* ---- signals ---- */

static void on_term(struct supervisor *s)
{
	stop_all(s, s->stopping);
}

static void on_quit(struct supervisor *s)
{
	stop_all(s, true);
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
		{ SIGCHLD, reap_children }, { SIGTERM, on_term }, { SIGINT, on_term }, { SIGQUIT, on_quit },
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
	set_timer(s, &s->watchdog_timer, notify_watchdog_ms() / 2, feed_watchdog, s);
}

/* ---- the whole life ---- */

static bool anything_alive(const struct supervisor *s)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].pid || s->slots[i].wanted)
			return true;
	return false;
}

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
		return err_set(err, ERR_RETRY, "cannot set up the supervisor: %s", strerror(errno));
	log_share_level(&s->sb->log_level);
	if (s->options.once)
		return 0;
	s->control = control_open(s->config->control.socket, s->config->control.group, s->loop, s, err);
	return s->control ? 0 : -1;
}

/* With -d: after the lock is ours, so that a second daemon does not overwrite the first one's. */
static int take_place(struct supervisor *s, struct err *err)
{
	const struct config *config = s->config;
	const char *pid_file = s->options.pid_file;
	char lock[PATH_MAX];
	const char *const paths[] = { config->control.socket, lock, pid_file ? pid_file : lock, NULL };

	snprintf(lock, sizeof(lock), "%s.lock", config->control.socket);
	if (pid_file && pid_file_write(pid_file, err) == -1)
		return -1;
	return drop_privileges(config->pool.user, paths, err);
}

static void start_children(struct supervisor *s)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		s->slots[i] = (struct child_slot){ .s = s, .index = i };
	s->slots[SLOT_JANITOR].wanted = true;
	spawn(&s->slots[SLOT_JANITOR]);
	set_workers(s, s->config->pool.workers);
	set_timer(s, &s->beat_timer, s->config->pool.beat_ms / 4, check_beats, s);
	if (s->ready_fd != -1)
		set_timer(s, &s->patience_timer, START_PATIENCE_MS, out_of_patience, s);
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
		start_children(&s);
		while (anything_alive(&s))
			loop_turn(s.loop, -1);
		if (options->once && s.exit_status != EXIT_BAD_CONFIG)
			print_summary(&s);
	}
	status = s.exit_status;
	tear_down(&s);
	return status;
}
