/*
 * Log lines: one event, one write(2), and the account of what could not be written. Any process;
 * children inherit descriptor and level. Never waits and never allocates.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "log_sink.h"
#include "log_syslog.h"

/* write(2) of up to PIPE_BUF bytes to a pipe is atomic (POSIX), so lines are cut there. */
#define LINE_BYTES (PIPE_BUF < 4096 ? PIPE_BUF : 4096)

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const int syslog_levels[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

static struct {
	char path[PATH_MAX];		/* "" for stderr and syslog */
	struct log_sink sink;		/* fd -1 for syslog */
	bool is_stderr;			/* opened as such: the sink stays as it is */
	bool made;			/* the file was not there before */
	bool no_links;			/* the path may end in no link */
	struct log_common own_common, *common;
	struct log_loss own_loss, *loss;
	char who[32];
} logger = {
	.sink = { .fd = STDERR_FILENO, .is_file = true }, .own_common.level = LOG_LEVEL_INFO,
	.common = &logger.own_common, .loss = &logger.own_loss, .who = "main"
};

/* ---- where lines go ---- */

static int refuse_open(const char *path, struct err *err)
{
	int why = errno;
	const struct passwd *user = why == EACCES ? getpwuid(geteuid()) : NULL;

	if (user)
		return err_set(err, ERR_CONFIG,
			       "user %s may not write the log file %s: chown it to %s",
			       user->pw_name, path, user->pw_name);
	return err_set(err, ERR_CONFIG, "cannot open the log file %s: %s", path,
		       why == ENXIO ? "nobody reads it" :
		       why == ELOOP && logger.no_links ? "it is a link" : strerror(why));
}

/* Another name of the file is as good as a link to it. */
static bool is_linked(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 1;
}

/* O_NONBLOCK: it may be a FIFO or a terminal, and the description is ours. */
static int open_path(const char *path, bool *made, struct err *err)
{
	int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
		    (logger.no_links ? O_NOFOLLOW : 0);
	int fd = open(path, flags);

	*made = false;
	if (fd == -1 && errno == ENOENT) {
		fd = open(path, flags | O_CREAT | O_EXCL, 0640);
		*made = fd != -1;
		/* Somebody was faster, or it is a dangling link. */
		if (fd == -1 && errno == EEXIST)
			fd = open(path, flags | O_CREAT, 0640);
	}
	if (fd == -1)
		return refuse_open(path, err);
	if (!logger.no_links || !is_linked(fd))
		return fd;
	close(fd);
	errno = ELOOP;
	return refuse_open(path, err);
}

/* Whoever wrote last, before us, may have been cut off by a full disk. */
static bool ends_within_a_line(const char *path, const struct log_sink *sink)
{
	int fd = sink->is_file ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	struct stat st;
	char last = '\n';

	if (fd == -1)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
		last = '\n';
	close(fd);
	return last != '\n';
}

static void take_sink(const struct log_sink *sink, const char *path)
{
	log_sink_close(&logger.sink);
	log_syslog_close();
	snprintf(logger.path, sizeof(logger.path), "%s", path);
	logger.sink = *sink;
	logger.is_stderr = logger.made = false;
}

static int open_file(const char *path, struct err *err)
{
	bool made, other;
	int fd = open_path(path, &made, err);
	struct log_sink sink;

	if (fd == -1)
		return -1;
	sink = log_sink_own(fd);
	other = strcmp(path, logger.path) != 0;
	take_sink(&sink, path);
	logger.made = made;
	if (other)
		atomic_store(&logger.common->half_line, ends_within_a_line(path, &sink));
	return 0;
}

/* Once: after root was dropped we might not be able to open it as well again. */
static void open_stderr(void)
{
	struct log_sink sink;

	if (logger.is_stderr)
		return;
	sink = log_sink_inherited(STDERR_FILENO);
	take_sink(&sink, "");
	logger.is_stderr = true;
}

int log_open(const char *to, enum log_level level, struct err *err)
{
	static const struct log_sink no_sink = { .fd = -1 };

	if (strcmp(to, "stderr") == 0)
		open_stderr();
	else if (strcmp(to, "syslog") == 0)
		take_sink(&no_sink, "");
	else if (open_file(to, err) == -1)
		return -1;
	atomic_store(&logger.common->level, level);
	return 0;
}

int log_reopen(void)
{
	struct err err;
	bool made;
	int fd;

	if (!logger.path[0])
		return 0;
	fd = open_path(logger.path, &made, &err);
	if (fd == -1) {
		log_error("%s; still writing to the old one", err.text);
		return -1;
	}
	dup3(fd, logger.sink.fd, O_CLOEXEC);
	close(fd);
	atomic_store(&logger.common->half_line, 0);
	return 0;
}

void log_refuse_links(bool refuse)
{
	logger.no_links = refuse;
}

/* One that was there before keeps its owner: it may be anything, led to by a link. */
void log_chown(uid_t uid)
{
	if (logger.made && fchown(logger.sink.fd, uid, (gid_t)-1) == -1)
		log_warn("cannot give the log file %s to the user of pool.user: %s", logger.path,
			 strerror(errno));
}

int log_check(struct err *err)
{
	bool made;
	int fd;

	if (!logger.path[0])
		return 0;
	fd = open_path(logger.path, &made, err);
	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

int log_fd(void)
{
	return logger.sink.fd;
}

/* ---- who speaks, how much, and where it is counted ---- */

void log_identify(const char *role, int slot)
{
	if (slot < 0)
		snprintf(logger.who, sizeof(logger.who), "%s", role);
	else
		snprintf(logger.who, sizeof(logger.who), "%s/%d", role, slot);
}

void log_set_level(enum log_level level)
{
	atomic_store(&logger.common->level, level);
}

void log_share(struct log_common *common)
{
	atomic_store(&common->level, atomic_load(&logger.common->level));
	atomic_store(&common->half_line, atomic_load(&logger.common->half_line));
	logger.common = common;
}

void log_account(struct log_loss *loss)
{
	logger.loss = loss;
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&logger.common->level, memory_order_relaxed);
}

int log_level_parse(const char *name)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (strcmp(name, level_names[i]) == 0)
			return i;
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

const char *log_loss_reason(const struct log_loss *loss)
{
	return log_sink_reason(atomic_load(&loss->reason));
}

/* ---- writing ---- */

/* A line, with a newline before it for when the last one was cut off. */
struct line {
	char text[LINE_BYTES];		/* begins with that newline */
	size_t len;
	size_t message;			/* where what was to be said begins */
	enum log_level level;
};

/* Control characters become spaces or '?', so that no message can forge a second line. */
static void flatten(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = *p == '\n' || *p == '\t' ? ' ' : '?';
}

static void __attribute__((format(printf, 3, 0)))
compose(struct line *line, enum log_level level, const char *fmt, va_list ap)
{
	size_t size = sizeof(line->text), n;
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	line->level = level;
	line->text[0] = '\n';
	n = 1 + strftime(line->text + 1, size - 1, "%Y-%m-%d %H:%M:%S", &tm);
	n += (size_t)snprintf(line->text + n, size - n, ".%03d %-5s %s[%d]: ",
			      (int)(now.tv_nsec / 1000000),
			      level_names[level], logger.who, (int)getpid());
	line->message = n;
	vsnprintf(line->text + n, size - n - 1, fmt, ap);
	flatten(line->text + n);
	n += strlen(line->text + n);
	memcpy(line->text + n, "\n", 2);
	line->len = n + 1;
}

/* errno says why it could not be written. */
static void lose(void)
{
	struct log_loss *loss = logger.loss;

	atomic_store(&loss->reason, errno);
	atomic_store(&loss->wall_ms, wall_ms());
	atomic_store(&loss->failing, 1);
	atomic_fetch_add(&loss->dropped, 1);
}

static bool put_syslog(struct line *line)
{
	line->text[line->len - 1] = '\0';
	return log_syslog_send(LOG_SYSLOG_PATH, syslog_levels[line->level], logger.who,
			       line->text + line->message) == 0;
}

/* Half a line stays where it is, and the next one, whoever writes it, begins behind a newline. */
static bool put_bytes(const struct line *line)
{
	uint32_t after_half = atomic_exchange(&logger.common->half_line, 0);
	const char *from = after_half ? line->text : line->text + 1;
	size_t len = after_half ? line->len : line->len - 1;
	ssize_t n = log_sink_write(&logger.sink, from, len);

	if (n == (ssize_t)len)
		return true;
	if (n > 0)
		after_half = n > 1 || from[0] != '\n';
	if (after_half)
		atomic_store(&logger.common->half_line, 1);
	return false;
}

static bool put(struct line *line)
{
	bool ok = logger.sink.fd == -1 ? put_syslog(line) : put_bytes(line);

	if (ok && atomic_load_explicit(&logger.loss->failing, memory_order_relaxed))
		atomic_store(&logger.loss->failing, 0);
	return ok;
}

static bool __attribute__((format(printf, 2, 3)))
put_text(enum log_level level, const char *fmt, ...)
{
	struct line line;
	va_list ap;

	va_start(ap, fmt);
	compose(&line, level, fmt, ap);
	va_end(ap);
	return put(&line);
}

/* False while not even that can be written. */
static bool say_losses(void)
{
	struct log_loss *loss = logger.loss;
	uint64_t dropped = atomic_load(&loss->dropped);
	uint64_t n = dropped - atomic_load(&loss->said);
	const char *plural = n == 1 ? "" : "s";

	if (n == 0)
		return true;
	if (!put_text(LOG_LEVEL_WARN, "%" PRIu64 " line%s of the log %s dropped: %s", n, plural,
		      n == 1 ? "was" : "were", log_loss_reason(loss)))
		return false;
	atomic_store(&loss->said, dropped);
	return true;
}

void log_catch_up(void)
{
	int saved_errno = errno;

	say_losses();
	errno = saved_errno;
}

static void __attribute__((format(printf, 2, 0)))
emit(enum log_level level, const char *fmt, va_list ap)
{
	int saved_errno = errno;
	struct line line;

	compose(&line, level, fmt, ap);
	if (!say_losses() || !put(&line))
		lose();
	errno = saved_errno;
}

#define LOG_FUNCTION(name, level_id)					\
	void name(const char *fmt, ...)					\
	{								\
		va_list ap;						\
									\
		if (log_get_level() < (level_id))			\
			return;						\
		va_start(ap, fmt);					\
		emit(level_id, fmt, ap);				\
		va_end(ap);						\
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

void fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
	_exit(1);
}
