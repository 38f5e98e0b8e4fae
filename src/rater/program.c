/*
 * The worker's side of an external program: its pipes, its lines, its end. The keeper (keeper.c) is
 * its parent and does the killing. Workers only; knows nothing of grading and never restarts
 * anything.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/utf8.h"
#include "process/signals.h"
#include "keeper.h"

#define READ_BYTES 16384
#define READS_A_TURN 8			/* so that a flood leaves time for others */
#define SEND_CAP_BYTES (32u << 20)
#define COMPLAINT_CAP_BYTES 1000	/* of a line of its standard error */
#define COMPLAINTS_A_SECOND 20

/* How long a program may take to end... */
#define CLOSED_PATIENCE_MS 500		/* once it has closed one of its pipes */
#define EOF_PATIENCE_MS 800		/* once its input has ended */
#define TERM_PATIENCE_MS 400		/* once it was sent TERM */

struct program {
	struct loop *loop;
	const struct program_events *events;
	void *arg;
	pid_t keeper, pid;		/* pid: 0 until told */
	int in, out, err;		/* our ends; -1 when closed */
	int orders, reports;
	struct buf sending;		/* what was sent last */
	size_t sent;			/* bytes of it that are in the pipe */
	struct lines output, complaint;
	struct loop_timer patience;	/* while it is being stopped */
	bool term_sent;
	int not_started;		/* an errno */
	const char *useless;		/* why nothing can be had of it; NULL when it can */
	bool killed;			/* because it is useless */
	bool has_status;
	int status;			/* as wait(2) gave it */

	/* How many lines of its standard error were logged in the second from window_ms on. */
	int64_t window_ms;
	unsigned logged, suppressed;
	struct loop_timer say_suppressed;
};

int program_check(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return err_set(err, ERR_CONFIG, "command.argv: %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CONFIG, "command.argv: %s is no program", path);
	if (eaccess(path, X_OK) == -1)
		return err_set(err, ERR_CONFIG, "command.argv: %s cannot be executed: %s", path,
			       strerror(errno));
	return 0;
}

pid_t program_pid(const struct program *p)
{
	return p->pid;
}

static void close_fd(struct program *p, int *fd)
{
	if (*fd == -1)
		return;
	loop_unwatch(p->loop, *fd);
	close(*fd);
	*fd = -1;
}

static void give_order(struct program *p, enum keeper_order order)
{
	char byte = (char)order;

	if (p->orders != -1 && write(p->orders, &byte, 1) == -1)
		close_fd(p, &p->orders);	/* end of file says more than the byte */
}

void program_kill(struct program *p)
{
	loop_timer_stop(p->loop, &p->patience);
	give_order(p, KEEPER_KILL);
}

static void kill_useless(void *arg)
{
	struct program *p = arg;

	p->killed = true;
	program_kill(p);
}

/*
 * A program closes a pipe mostly when it is about to end, and how it ends tells more: wait for
 * that. One that runs on is of no use.
 */
static void pipe_closed(struct program *p, const char *what)
{
	if (p->useless || p->in == -1)
		return;
	p->useless = what;
	loop_timer_set(p->loop, &p->patience, CLOSED_PATIENCE_MS, kill_useless, p);
}

/* ---- its standard error ---- */

static void say_suppressed(void *arg)
{
	struct program *p = arg;

	if (p->suppressed > 0)
		log_info("command: pid %d: %u more lines are left out", (int)p->pid, p->suppressed);
	p->suppressed = 0;
}

static bool may_log(struct program *p)
{
	int64_t now = now_ms();

	if (now - p->window_ms >= 1000) {
		p->window_ms = now;
		p->logged = 0;
	}
	if (p->logged++ < COMPLAINTS_A_SECOND)
		return true;
	if (p->suppressed++ == 0)
		loop_timer_set(p->loop, &p->say_suppressed, 1000, say_suppressed, p);
	return false;
}

static void log_complaint(struct program *p)
{
	struct buf *line = &p->complaint.line;
	size_t len = line->len;

	if (len > 0 && may_log(p)) {
		len = utf8_clean(line->data, len, UTF8_BLANK_CONTROLS);
		log_info("command: pid %d: %.*s%s", (int)p->pid, (int)len, line->data,
			 p->complaint.cut ? "..." : "");
	}
	lines_next(&p->complaint);
}

static void take_complaints(struct program *p, const char *bytes, size_t len)
{
	for (size_t n; len > 0; bytes += n, len -= n) {
		n = lines_feed(&p->complaint, bytes, len);
		if (p->complaint.whole)
			log_complaint(p);
	}
}

/* ---- its standard output ---- */

/* What follows an overlong line, or comes once the program is killed, is read and dropped. */
static void take_output(struct program *p, const char *bytes, size_t len)
{
	bool had = p->output.cut;

	for (size_t n; len > 0 && !had; bytes += n, len -= n) {
		n = lines_feed(&p->output, bytes, len);
		if (p->output.cut) {
			p->events->overlong(p->arg);
			return;
		}
		if (p->output.whole) {
			p->events->line(p->arg, buf_text(&p->output.line), p->output.line.len);
			lines_next(&p->output);
		}
	}
}

bool program_is_quiet(const struct program *p)
{
	int waiting = 0;

	return p->output.line.len == 0 && ioctl(p->out, FIONREAD, &waiting) == 0 && waiting == 0;
}

/* Reads what is there; false at its end. */
static bool read_some(struct program *p, int fd,
		      void (*take)(struct program *, const char *, size_t))
{
	char block[READ_BYTES];

	for (int i = 0; i < READS_A_TURN; i++) {
		ssize_t n = read(fd, block, sizeof(block));

		if (n <= 0)
			return n == -1 && (errno == EAGAIN || errno == EINTR);
		take(p, block, (size_t)n);
	}
	return true;
}

static void on_output(void *arg, int fd, short revents)
{
	struct program *p = arg;

	(void)revents;
	if (read_some(p, fd, take_output))
		return;
	loop_unwatch(p->loop, fd);
	pipe_closed(p, "closed its output");
}

static void on_complaint(void *arg, int fd, short revents)
{
	struct program *p = arg;

	(void)revents;
	if (!read_some(p, fd, take_complaints))
		loop_unwatch(p->loop, fd);
}

/* ---- its standard input ---- */

static void on_writable(void *arg, int fd, short revents);

static void write_more(struct program *p)
{
	ssize_t n = write(p->in, p->sending.data + p->sent, p->sending.len - p->sent);

	if (n > 0)
		p->sent += (size_t)n;
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		loop_unwatch(p->loop, p->in);	/* kept open to see what it has read */
		pipe_closed(p, "closed its input");
	} else if (p->sent == p->sending.len) {
		loop_unwatch(p->loop, p->in);
	} else if (loop_watch(p->loop, p->in, POLLOUT, on_writable, p) == -1) {
		fatal("out of memory: a watch");
	}
}

static void on_writable(void *arg, int fd, short revents)
{
	(void)fd, (void)revents;
	write_more(arg);
}

void program_send(struct program *p, const char *bytes, size_t len)
{
	if (p->in == -1)
		return;
	if (p->sending.size > READ_BYTES)
		buf_free(&p->sending);
	buf_reset(&p->sending);
	buf_add(&p->sending, bytes, len);
	if (!buf_ok(&p->sending))
		fatal("out of memory: a request of %zu bytes", len);
	p->sent = 0;
	write_more(p);
}

/* A pipe's contents can be counted at either end. */
size_t program_unread(const struct program *p)
{
	int waiting = 0;

	if (p->in == -1 || ioctl(p->in, FIONREAD, &waiting) == -1)
		return 0;
	return p->sending.len - p->sent + (size_t)waiting;
}

/* ---- its end ---- */

static void out_of_patience(void *arg)
{
	struct program *p = arg;

	if (p->term_sent) {
		program_kill(p);
		return;
	}
	p->term_sent = true;
	give_order(p, KEEPER_TERM);
	loop_timer_set(p->loop, &p->patience, TERM_PATIENCE_MS, out_of_patience, p);
}

void program_stop(struct program *p, bool at_once)
{
	close_fd(p, &p->in);
	if (at_once && !p->term_sent)
		out_of_patience(p);
	else if (!p->term_sent)
		loop_timer_set(p->loop, &p->patience, EOF_PATIENCE_MS, out_of_patience, p);
}

static void describe(const struct program *p, struct program_end *end)
{
	if (p->not_started)
		snprintf(end->how, sizeof(end->how), "cannot be started: %s",
			 strerror(p->not_started));
	else if (!p->has_status)
		snprintf(end->how, sizeof(end->how), "is gone, its keeper was killed");
	else if (p->killed && WIFSIGNALED(p->status) && WTERMSIG(p->status) == SIGKILL)
		snprintf(end->how, sizeof(end->how), "%s, and was killed", p->useless);
	else if (WIFSIGNALED(p->status))
		snprintf(end->how, sizeof(end->how), "was killed by signal %d (%s)",
			 WTERMSIG(p->status), strsignal(WTERMSIG(p->status)));
	else
		snprintf(end->how, sizeof(end->how), "ended with exit status %d",
			 WEXITSTATUS(p->status));
}

/* All writers are dead: what is in the pipes is all that there will ever be. */
static void read_the_rest(struct program *p)
{
	for (int i = 0; i < READS_A_TURN && read_some(p, p->err, take_complaints); i++)
		;
	log_complaint(p);
	say_suppressed(p);
	for (int i = 0; i < READS_A_TURN && read_some(p, p->out, take_output); i++)
		;
}

static void finish(struct program *p)
{
	struct program_end end = {
		.started = !p->not_started, .pid = p->pid,
		.took = program_unread(p) < p->sending.len,
		.orderly = p->has_status && WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0,
	};

	if (!p->has_status && p->pid > 0)
		kill(-p->pid, SIGKILL);		/* the keeper could not */
	read_the_rest(p);
	describe(p, &end);
	p->events->ended(p->arg, &end);
}

static void on_report(void *arg, int fd, short revents)
{
	struct program *p = arg;
	struct keeper_report r;
	ssize_t n;

	(void)revents;
	while ((n = read(fd, &r, sizeof(r))) == sizeof(r)) {
		if (r.what == KEEPER_PID)
			p->pid = r.value;
		else if (r.what == KEEPER_NOT_STARTED)
			p->not_started = r.value;
		else
			p->has_status = true;
		if (r.what == KEEPER_ENDED)
			p->status = r.value;
	}
	if (n == 0) {
		loop_unwatch(p->loop, fd);
		finish(p);
	}
}

void program_free(struct program *p)
{
	if (!p)
		return;
	loop_timer_stop(p->loop, &p->patience);
	loop_timer_stop(p->loop, &p->say_suppressed);
	close_fd(p, &p->in);
	close_fd(p, &p->out);
	close_fd(p, &p->err);
	close_fd(p, &p->orders);	/* the keeper kills what is left */
	close_fd(p, &p->reports);
	if (p->keeper > 0)
		waitpid(p->keeper, NULL, 0);
	buf_free(&p->sending);
	lines_free(&p->output);
	lines_free(&p->complaint);
	free(p);
}

/* ---- starting ---- */

/* Five pipes, all close-on-exec; our ends do not block. */
struct pipes { int in[2], out[2], err[2], orders[2], reports[2]; };

static void close_pipes(struct pipes *pipes)
{
	int *fds = (int *)pipes;

	for (size_t i = 0; i < sizeof(*pipes) / sizeof(*fds); i++)
		if (fds[i] != -1)
			close(fds[i]);
}

static int open_pipes(struct pipes *pipes)
{
	int *all[] = { pipes->in, pipes->out, pipes->err, pipes->orders, pipes->reports };

	memset(pipes, -1, sizeof(*pipes));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (pipe2(all[i], O_CLOEXEC) == -1)
			return -1;
	fcntl(pipes->in[1], F_SETFL, O_NONBLOCK);
	fcntl(pipes->out[0], F_SETFL, O_NONBLOCK);
	fcntl(pipes->err[0], F_SETFL, O_NONBLOCK);
	fcntl(pipes->orders[1], F_SETFL, O_NONBLOCK);
	fcntl(pipes->reports[0], F_SETFL, O_NONBLOCK);
	return 0;
}

static pid_t start_keeper(const struct pipes *pipes, char *const *argv, char *const *env)
{
	struct keeper_task task = {
		.argv = argv, .env = env,
		.in = pipes->in[0], .out = pipes->out[1], .err = pipes->err[1],
		.orders = pipes->orders[0], .reports = pipes->reports[1],
	};
	pid_t pid;

	signals_block_all();
	pid = fork();
	if (pid == 0)
		keeper_main(&task);
	signals_unblock_all();
	return pid;
}

/* Closes the keeper's ends: with them open here no end of file would ever come. */
static void take_pipes(struct program *p, struct pipes *pipes)
{
	p->in = pipes->in[1];
	p->out = pipes->out[0];
	p->err = pipes->err[0];
	p->orders = pipes->orders[1];
	p->reports = pipes->reports[0];
	pipes->in[1] = pipes->out[0] = pipes->err[0] = pipes->orders[1] = pipes->reports[0] = -1;
	close_pipes(pipes);
}

struct program *program_start(struct loop *loop, char *const *argv, char *const *env,
			      size_t line_cap_bytes, const struct program_events *events, void *arg,
			      struct err *err)
{
	struct program *p;
	struct pipes pipes;
	pid_t keeper = -1;

	if (open_pipes(&pipes) == -1 || (keeper = start_keeper(&pipes, argv, env)) == -1) {
		err_set(err, ERR_UNAVAILABLE, "%s cannot be started: %s", argv[0], strerror(errno));
		close_pipes(&pipes);
		return NULL;
	}
	p = xcalloc(1, sizeof(*p));
	p->loop = loop;
	p->events = events;
	p->arg = arg;
	p->keeper = keeper;
	take_pipes(p, &pipes);
	buf_init(&p->sending, SEND_CAP_BYTES);
	lines_init(&p->output, line_cap_bytes);
	lines_init(&p->complaint, COMPLAINT_CAP_BYTES);
	if (loop_watch(loop, p->out, POLLIN, on_output, p) == -1 ||
	    loop_watch(loop, p->err, POLLIN, on_complaint, p) == -1 ||
	    loop_watch(loop, p->reports, POLLIN, on_report, p) == -1)
		fatal("out of memory: a watch");
	return p;
}
