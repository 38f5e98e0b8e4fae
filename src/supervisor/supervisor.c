/*
 * The parent's life: setting up, signals, being up, the end; one loop. It calls no libpq, libcurl
 * or json-c and touches no job, so neither a database nor a provider can hang it; what needs either
 * runs in a child that it restarts. Nothing here blocks but poll(2).
 */
#include "supervisor/supervisor.h"

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
#include "base/loop.h"
#include "base/place.h"
#include "base/saturate.h"
#include "config/config_load.h"
#include "control/commands.h"
#include "control/known_link.h"
#include "control/server.h"
#include "process/daemon.h"
#include "process/notify.h"
#include "process/signals.h"
#include "process/wake.h"
#include "scoreboard/recent.h"
#include "children.h"
#include "orders.h"
#include "patient_timer.h"
#include "reload.h"

#define START_PATIENCE_MS 10000		/* -d: for the pool to be up */
#define START_LOOK_MS 100
#define AWAY_MS 500			/* so long away, and the pool is said to wait */
#define SUMMARY_REFUSED_MAX 100		/* jobs that --once names, of those that nobody may claim */

struct supervisor {
	struct supervisor_options options;
	struct scoreboard *sb;
	struct loop *loop;
	struct control *control;	/* NULL: there is no socket */
	struct pool pool;		/* as the control socket sees it */
	struct known_link link;		/* to the socket */
	char directory[PATH_MAX];	/* of the socket, if we made it; else "" */
	int deadman[2];			/* children watch [0]; only we hold [1] */
	int ready_fd;			/* for -d's waiting parent; -1: nobody waits, or any more */
	struct children children;
	struct reload reload;
	struct orders orders;
	struct recent recent;
	int64_t away_since_ms;		/* the database, during the start; 0: it is not */
	struct loop_timer start_timer, watchdog_timer, recent_timer;
};

/* ---- what the parts call back for ---- */

/* In a child: what only the parent may have. */
static void after_fork(void *arg)
{
	struct supervisor *s = arg;

	close(s->deadman[1]);
	reload_forget(&s->reload);
	/* The command that started the daemon waits for our output to end. */
	if (s->ready_fd != -1) {
		close(s->ready_fd);
		daemon_leave_terminal();
	}
	control_forget(s->control);
}

static void on_unfit(void *arg, int status, const char *reason)
{
	struct supervisor *s = arg;

	orders_fail(&s->orders, status, reason);
}

static void on_reload_over(void *arg, struct config *fresh, const struct err *err)
{
	struct supervisor *s = arg;

	shared_text_set(&s->sb->reload_error, fresh ? "" : err->text);
	if (fresh)
		orders_put_in_force(&s->orders, fresh);
	if (s->control)
		control_answer(s->control, err,
			       "reloaded: the children are replaced one after the other\n");
}

static int on_request(void *arg, const char *line, bool admin, struct buf *out, struct err *err)
{
	const struct supervisor *s = arg;

	return command_run(&s->pool, line, admin, out, err);
}

/* ---- up or not ---- */

static void tell_waiting(struct supervisor *s, int status, const char *reason)
{
	notify_ready();
	daemon_report(s->ready_fd, status, reason);
	s->ready_fd = -1;
}

static void pool_is_up(struct supervisor *s)
{
	int64_t workers = s->orders.config->pool.workers;

	loop_timer_stop(s->loop, &s->start_timer);
	if (!s->children.stopping)
		atomic_store(&s->sb->phase, POOL_UP);
	log_info("the pool is up: %" PRId64 " worker%s", workers, workers == 1 ? "" : "s");
	notify_status("the pool is up");
	tell_waiting(s, EXIT_STOPPED, "ok");
}

static void on_child_ready(void *arg, int fd, short revents)
{
	struct supervisor *s = arg;

	(void)revents;
	wake_drain(fd);
	children_publish(&s->children);
	if (children_one_is_ready(&s->children))
		pool_is_up(s);
}

/* A database that is away is no failure: it is waited for, and whoever started us need not. */
static void wait_for_database(struct supervisor *s)
{
	char reason[SCOREBOARD_TEXT], text[SCOREBOARD_TEXT + 80];

	if (!children_explain(&s->children, reason))
		snprintf(reason, sizeof(reason), "it has not answered yet");
	snprintf(text, sizeof(text), "started; it waits for the database: %s", reason);
	notify_status("waiting for the database: %s", reason);
	atomic_store(&s->sb->ever_up, 1);	/* also for one that refuses us when it is back */
	tell_waiting(s, EXIT_STOPPED, text);
}

/* -d: the command that waits for us gets a reason instead of a pool. */
static void out_of_patience(struct supervisor *s)
{
	char reason[SCOREBOARD_TEXT];

	if (!children_explain(&s->children, reason))
		wait_for_database(s);	/* nobody complains: the connections are on their way */
	else if (s->ready_fd != -1)
		orders_fail(&s->orders, EXIT_TRY_LATER, reason);
}

/*
 * Each child says so itself when the database is away. It must stay so for a moment: one that was
 * refused there, or whose rater cannot be opened, ends the pool, and the command has to tell.
 */
static void look_at_start(void *arg)
{
	struct supervisor *s = arg;
	int64_t now = now_ms();

	if (!atomic_load(&s->sb->database_away))
		s->away_since_ms = 0;
	else if (!s->away_since_ms)
		s->away_since_ms = now;
	if (s->away_since_ms && now - s->away_since_ms >= AWAY_MS)
		wait_for_database(s);
	else if (now - atomic_load(&s->sb->started_ms) >= START_PATIENCE_MS)
		out_of_patience(s);
	else
		patient_timer_set(s->loop, &s->start_timer, START_LOOK_MS, look_at_start, s);
}

/* ---- signals ---- */

static void on_chld(struct supervisor *s)
{
	children_reap(&s->children);
}

static void on_term(struct supervisor *s)
{
	orders_stop(&s->orders, s->children.stopping);
}

static void on_quit(struct supervisor *s)
{
	orders_stop(&s->orders, true);
}

static void on_hup(struct supervisor *s)
{
	struct err err;

	orders_reload(&s->orders, false, &err);
}

static void on_usr1(struct supervisor *s)
{
	log_reopen();
	children_signal(&s->children, SIGUSR1);
}

static void on_signals(void *arg, int fd, short revents)
{
	static const struct { int signo; void (*handle)(struct supervisor *); } handlers[] = {
		{ SIGCHLD, on_chld }, { SIGTERM, on_term }, { SIGINT, on_term },
		{ SIGQUIT, on_quit }, { SIGHUP, on_hup }, { SIGUSR1, on_usr1 },
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
	patient_timer_set(s->loop, &s->watchdog_timer, notify_watchdog_ms(), feed_watchdog, s);
}

static void take_sample(void *arg)
{
	struct supervisor *s = arg;

	log_catch_up();
	known_link_keep(&s->link, s->options.config_path, s->orders.config->control.socket);
	recent_take(&s->recent, s->sb, now_ms());
	patient_timer_set(s->loop, &s->recent_timer, RECENT_EVERY_MS, take_sample, s);
}

/* ---- the whole life ---- */

/* As pool.user where its directory may be changed by others than root: see base/place.h. */
static int open_socket(struct supervisor *s, struct err *err)
{
	const struct config *config = s->orders.config;
	const char *path = config->control.socket;
	struct place_guest guest;

	if (place_enter(&guest, path, config->pool.user, config->control.group, err) == -1)
		return -1;
	snprintf(s->directory, sizeof(s->directory), "%.*s", (int)(strrchr(path, '/') - path),
		 path);
	if (access(s->directory, F_OK) == 0)
		s->directory[0] = '\0';
	s->control = control_open(path, config->control.group, s->loop, on_request, s, err);
	place_leave(&guest);
	return s->control ? 0 : -1;
}

/* It is of use to people alone: the pool does without. */
static int open_control(struct supervisor *s, struct err *err)
{
	struct err why;

	if (open_socket(s, err) == -1)
		return -1;
	if (known_link_leave(&s->link, s->options.config_path, s->orders.config->control.socket,
			     &why) == -1)
		log_warn("%s; gradingctl finds the socket by the configuration alone", why.text);
	return 0;
}

static int set_up(struct supervisor *s, struct err *err)
{
	int signal_fd;

	s->loop = loop_new();
	signals_block_all();
	signal_fd = signals_open();
	signals_unblock_all();
	if (!s->loop || signal_fd == -1 || pipe2(s->deadman, O_CLOEXEC) == -1 ||
	    wake_init() == -1 || loop_watch(s->loop, signal_fd, POLLIN, on_signals, s) == -1 ||
	    loop_watch(s->loop, wake_supervisor_fd(), POLLIN, on_child_ready, s) == -1)
		return err_set(err, ERR_RETRY, "cannot set up the supervisor: %s%s",
			       strerror(errno),
			       errno == EMFILE ? "; raise its limit (ulimit -n)" : "");
	log_share(&s->sb->log);
	log_account(&s->sb->log_loss);
	s->children.loop = s->reload.loop = s->loop;
	s->children.deadman_fd = s->deadman[0];
	return s->options.once ? 0 : open_control(s, err);
}

static int write_pid(const struct supervisor *s, struct err *err)
{
	const char *path = s->options.pid_file;
	struct place_guest guest;
	int rc;

	if (!path)
		return 0;
	if (place_enter(&guest, path, s->orders.config->pool.user, "", err) == -1)
		return -1;
	rc = pid_file_write(path, err);
	place_leave(&guest);
	return rc;
}

/*
 * With -d: after the lock is ours, so that a second daemon does not overwrite the first one's. The
 * directory is given away last: until then it is root's, and so is what lies in it.
 */
static int take_place(struct supervisor *s, struct err *err)
{
	const struct config *config = s->orders.config;
	char lock[PATH_MAX];
	const char *const paths[] = { config->control.socket, lock,
		s->options.pid_file ? s->options.pid_file : lock,
		s->directory[0] ? s->directory : lock, NULL };

	snprintf(lock, sizeof(lock), "%s.lock", config->control.socket);
	if (write_pid(s, err) == -1)
		return -1;
	return drop_privileges(config->pool.user, paths, err);
}

static void start(struct supervisor *s)
{
	take_sample(s);
	orders_start(&s->orders);
	if (!s->options.once)
		look_at_start(s);
	if (notify_watchdog_ms() > 0)
		feed_watchdog(s);
}

/* How many jobs the database lets nobody claim, and which, as far as they are not too many. */
static void print_refused(const struct asides *asides)
{
	unsigned char ids[SUMMARY_REFUSED_MAX][UUID_BYTES];
	char text[UUID_SIZE];
	int64_t next_ms;
	int n = aside_due(asides, INT64_MAX, ids, SUMMARY_REFUSED_MAX, &next_ms);

	printf(",\"refused\":%u,\"refused_jobs\":[", aside_count(asides));
	for (int i = 0; i < n; i++) {
		uuid_text(ids[i], text);
		printf("%s\"%s\"", i > 0 ? "," : "", text);
	}
	printf("]");
}

/* --once: what was done, as one line of JSON on standard output; -1 and errno when it got lost. */
static int print_summary(const struct scoreboard *sb)
{
	double seconds = (double)sat_sub(now_ms(), atomic_load(&sb->started_ms)) / 1000;

	printf("{\"claimed\":%" PRIu64 ",\"completed\":%" PRIu64 ",\"failed\":%" PRIu64
	       ",\"retried\":%" PRIu64 ",\"released\":%" PRIu64 ",\"lines_rated\":%" PRIu64
	       ",\"cache_hits\":%" PRIu64,
	       scoreboard_sum(sb, COUNTER_JOBS_CLAIMED), scoreboard_sum(sb, COUNTER_JOBS_COMPLETED),
	       scoreboard_sum(sb, COUNTER_JOBS_FAILED), scoreboard_sum(sb, COUNTER_JOBS_RETRIED),
	       scoreboard_sum(sb, COUNTER_JOBS_RELEASED), scoreboard_sum(sb, COUNTER_LINES_RATED),
	       scoreboard_sum(sb, COUNTER_CACHE_HITS));
	print_refused(&sb->asides);
	printf(",\"seconds\":%.3f}\n", seconds);
	return fflush(stdout) == EOF || ferror(stdout) ? -1 : 0;
}

/* After a start that failed we are still root, perhaps in a place of pool.user's. */
static void give_up_place(struct supervisor *s)
{
	const struct config *config = s->orders.config;
	struct place_guest guest;
	struct err err;

	known_link_remove(&s->link, config->control.socket);
	if (place_enter(&guest, config->control.socket, config->pool.user, "", &err) == 0) {
		control_close(s->control);
		place_leave(&guest);
	}
	if (s->options.pid_file &&
	    place_enter(&guest, s->options.pid_file, config->pool.user, "", &err) == 0) {
		pid_file_remove();
		place_leave(&guest);
	}
}

/* --once: what the database refuses is for another time. */
static void judge_once(struct orders *o, const struct asides *asides)
{
	if (o->exit_status != EXIT_STOPPED || aside_count(asides) == 0)
		return;
	o->exit_status = EXIT_TRY_LATER;
	snprintf(o->reason, sizeof(o->reason), "the database refuses %u jobs, which are left",
		 aside_count(asides));
}

/* A summary that a full disk swallowed is for a person to know. */
static void end_once(struct orders *o, const struct scoreboard *sb)
{
	judge_once(o, &sb->asides);
	if (o->exit_status == EXIT_BAD_CONFIG || print_summary(sb) == 0 ||
	    o->exit_status != EXIT_STOPPED)
		return;
	o->exit_status = EXIT_FAILED;
	snprintf(o->reason, sizeof(o->reason),
		 "the jobs are done, but standard output does not take the summary: %s",
		 strerror(errno));
}

static void tear_down(struct supervisor *s)
{
	const struct orders *o = &s->orders;

	daemon_report(s->ready_fd, o->exit_status ? o->exit_status : EXIT_FAILED,
		      o->reason[0] ? o->reason : "stopped before the pool was up");
	if (o->exit_status != EXIT_STOPPED)
		log_error("stopped: %s", o->reason);
	else
		log_info("stopped");
	give_up_place(s);
	loop_free(s->loop);
	config_free(o->config);
}

/* Its parts, each with what it needs of the others; what set_up() opens follows. */
static void assemble(struct supervisor *s, struct config *config, struct scoreboard *sb,
		     const struct supervisor_options *options)
{
	*s = (struct supervisor){
		.options = *options, .sb = sb, .ready_fd = options->ready_fd, .deadman = { -1, -1 },
		.children = {
			.owner = { after_fork, on_unfit, s }, .roles = options->roles, .sb = sb,
			.config = config, .once = options->once,
		},
		.reload = {
			.owner = { after_fork, on_reload_over, s },
			.config_path = options->config_path, .daemon = options->pid_file != NULL,
			.trial = options->trial,
		},
		.orders = {
			.children = &s->children, .reload = &s->reload, .sb = sb, .config = config,
		},
		.pool = {
			.ops = &orders_pool_ops, .arg = &s->orders, .sb = sb, .recent = &s->recent,
		},
	};
}

int supervisor_run(struct config *config, struct scoreboard *sb,
		   const struct supervisor_options *options)
{
	static struct supervisor s;	/* large, and there is one */
	struct err err;
	int status;

	assemble(&s, config, sb, options);
	if (options->max_jobs > 0)
		atomic_store(&sb->job_budget, options->max_jobs);
	if (set_up(&s, &err) == -1 || take_place(&s, &err) == -1) {
		snprintf(s.orders.reason, sizeof(s.orders.reason), "%.*s", SCOREBOARD_TEXT - 1,
			 err.text);
		s.orders.exit_status = err.kind == ERR_CONFIG ? EXIT_BAD_CONFIG : EXIT_FAILED;
	} else {
		start(&s);
		while (children_any(&s.children))
			loop_turn(s.loop, -1);
		if (options->once)
			end_once(&s.orders, sb);
	}
	status = s.orders.exit_status;
	tear_down(&s);
	return status;
}
