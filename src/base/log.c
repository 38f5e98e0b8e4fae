/*
 * Log lines: one event, one write(2). Any process; children inherit descriptor and level. Never
 * blocks on a lock and never allocates.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* write(2) of up to PIPE_BUF bytes to a pipe is atomic (POSIX), so lines are cut there. */
#define LINE_BYTES (PIPE_BUF < 4096 ? PIPE_BUF : 4096)

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const int syslog_levels[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

static struct {
	char path[PATH_MAX];		/* "" for stderr and syslog */
	int fd;				/* -1 for syslog */
	bool made;			/* the file was not there before */
	_Atomic int own_level;
	_Atomic int *level;
	char who[32];
} logger = {
	.fd = STDERR_FILENO, .own_level = LOG_LEVEL_INFO, .level = &logger.own_level, .who = "main"
};

static int open_path(const char *path, bool *made, struct err *err)
{
	int flags = O_WRONLY | O_APPEND | O_CLOEXEC, fd = open(path, flags);
	const struct passwd *user;

	*made = false;
	if (fd == -1 && errno == ENOENT) {
		fd = open(path, flags | O_CREAT | O_EXCL, 0640);
		*made = fd != -1;
		/* Somebody was faster, or it is a dangling link. */
		if (fd == -1 && errno == EEXIST)
			fd = open(path, flags | O_CREAT, 0640);
	}
	if (fd != -1)
		return fd;
	user = errno == EACCES ? getpwuid(geteuid()) : NULL;
	if (user)
		return err_set(err, ERR_CONFIG,
			       "user %s may not write the log file %s: chown it to %s",
			       user->pw_name, path, user->pw_name);
	return err_set(err, ERR_CONFIG, "cannot open the log file %s: %s", path, strerror(errno));
}

int log_open(const char *to, enum log_level level, struct err *err)
{
	int fd = STDERR_FILENO;
	bool made = false, is_file = strcmp(to, "stderr") != 0 && strcmp(to, "syslog") != 0;

	if (strcmp(to, "syslog") == 0) {
		openlog("gradingd", LOG_PID, LOG_DAEMON);
		fd = -1;
	} else if (is_file && (fd = open_path(to, &made, err)) == -1) {
		return -1;
	}
	if (logger.path[0])
		close(logger.fd);
	snprintf(logger.path, sizeof(logger.path), "%s", is_file ? to : "");
	logger.fd = fd;
	logger.made = made;
	atomic_store(logger.level, level);
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
	dup2(fd, logger.fd);
	close(fd);
	return 0;
}

/* One that was there before keeps its owner: it may be anything, led to by a link. */
void log_chown(uid_t uid)
{
	if (logger.made && fchown(logger.fd, uid, (gid_t)-1) == -1)
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
	return logger.fd;
}

void log_identify(const char *role, int slot)
{
	if (slot < 0)
		snprintf(logger.who, sizeof(logger.who), "%s", role);
	else
		snprintf(logger.who, sizeof(logger.who), "%s/%d", role, slot);
}

void log_set_level(enum log_level level)
{
	atomic_store(logger.level, level);
}

void log_share_level(_Atomic int *level)
{
	atomic_store(level, atomic_load(logger.level));
	logger.level = level;
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(logger.level, memory_order_relaxed);
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

/* Control characters become spaces or '?', so that no message can forge a second line. */
static void flatten(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = *p == '\n' || *p == '\t' ? ' ' : '?';
}

static void __attribute__((format(printf, 2, 0)))
emit(enum log_level level, const char *fmt, va_list ap)
{
	char line[LINE_BYTES];
	int saved_errno = errno;
	struct timespec now;
	struct tm tm;
	size_t n;
	int message;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	n = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03d %-5s %s[%d]: ",
			      (int)(now.tv_nsec / 1000000),
			      level_names[level], logger.who, (int)getpid());
	message = (int)n;
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	flatten(line + message);
	if (logger.fd == -1) {
		syslog(syslog_levels[level], "%s: %s", logger.who, line + message);
	} else {
		n = strlen(line);
		line[n] = '\n';
		if (write(logger.fd, line, n + 1) == -1)
			(void)0;	/* a full disk must not stop the work; nobody to tell */
	}
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
