/*
 * Writing without waiting, whatever stands behind a descriptor. Any process; children inherit what
 * is open, but for the pipe in between, which each makes when it needs it.
 */
#include "log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20)

/* ---- choosing the way ---- */

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

struct log_sink log_sink_own(int fd)
{
	return (struct log_sink){
		.fd = fd, .way = LOG_BY_WRITE, .own = true, .is_file = is_regular(fd)
	};
}

/* The same pipe or device under a description of our own; -1 where we may not open it. */
static int open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/*
 * A regular file is never opened again: its offset is shared, too, and nobody waits for a reader of
 * it. Pipes and terminals often belong to somebody else, who started us; then there are other ways.
 */
struct log_sink log_sink_inherited(int fd)
{
	struct log_sink sink = { .fd = fd, .way = LOG_BY_WRITE };
	struct stat st;
	int again;

	if (fstat(fd, &st) == -1 || S_ISREG(st.st_mode)) {
		sink.is_file = true;
		return sink;
	}
	if (S_ISSOCK(st.st_mode)) {
		sink.way = LOG_BY_SEND;
		return sink;
	}
	again = open_again(fd);
	if (again != -1)
		return log_sink_own(again);
	if (S_ISFIFO(st.st_mode))
		sink.way = LOG_BY_NOWAIT;
	else if (isatty(fd))
		sink.way = LOG_BY_BYTES;
	return sink;
}

void log_sink_close(struct log_sink *sink)
{
	if (sink->own)
		close(sink->fd);
	*sink = (struct log_sink){ .fd = -1 };
}

/* ---- the ways ---- */

/* Made by each process for itself: two that share one would take each other's lines out of it. */
static struct { pid_t pid; int fds[2]; } between = { .fds = { -1, -1 } };

static bool have_pipe_between(int fd)
{
	if (between.pid == getpid())
		return true;
	for (int i = 0; i < 2; i++)
		if (between.fds[i] != -1)
			close(between.fds[i]);
	/* Each line takes a page of it: with more of them a slow reader loses none. */
	fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
	between.pid = pipe2(between.fds, O_NONBLOCK | O_CLOEXEC) == 0 ? getpid() : 0;
	if (!between.pid)
		between.fds[0] = between.fds[1] = -1;
	return between.pid != 0;
}

/*
 * splice(2) takes its own word on waiting and asks no flag of the description. The line lies in one
 * page of a pipe that is otherwise empty, and moves as a whole or not at all.
 */
static ssize_t write_by_splice(int fd, const char *line, size_t len)
{
	char waste[4096];
	ssize_t n;
	int why;

	if (!have_pipe_between(fd) || write(between.fds[1], line, len) != (ssize_t)len)
		return -1;
	n = splice(between.fds[0], NULL, fd, NULL, len, SPLICE_F_NONBLOCK);
	why = errno;
	while (n < (ssize_t)len && read(between.fds[0], waste, sizeof(waste)) > 0)
		;
	errno = why;
	return n;
}

/*
 * poll(2) says that a terminal takes something, and not how much: one byte is what it takes for
 * certain. Slow, and rare: a terminal that we may not open.
 */
static ssize_t write_by_bytes(int fd, const char *line, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT) || write(fd, line + done, 1) != 1)
			break;
		done++;
	}
	return (ssize_t)done;
}

static ssize_t write_nowait(int fd, const char *line, size_t len)
{
	const struct iovec whole = { .iov_base = (void *)line, .iov_len = len };
	ssize_t n = pwritev2(fd, &whole, 1, -1, RWF_NOWAIT);

	if (n == -1 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS))
		return write_by_splice(fd, line, len);
	return n;
}

static ssize_t write_plainly(int fd, const char *line, size_t len)
{
	ssize_t n;

	while ((n = write(fd, line, len)) == -1 && errno == EINTR)
		;
	return n;
}

ssize_t log_sink_write(const struct log_sink *sink, const char *line, size_t len)
{
	ssize_t n = -1;

	errno = 0;
	switch (sink->way) {
	case LOG_BY_WRITE:
		n = write_plainly(sink->fd, line, len);
		break;
	case LOG_BY_SEND:
		n = send(sink->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case LOG_BY_NOWAIT:
		n = write_nowait(sink->fd, line, len);
		break;
	case LOG_BY_SPLICE:
		n = write_by_splice(sink->fd, line, len);
		break;
	case LOG_BY_BYTES:
		n = write_by_bytes(sink->fd, line, len);
		break;
	}
	if (n != (ssize_t)len && errno == 0)	/* a short write has no reason of its own */
		errno = sink->is_file ? ENOSPC : EAGAIN;
	return n;
}

const char *log_sink_reason(int error)
{
	switch (error) {
	case EAGAIN:
		return "nobody reads what is full";
	case EPIPE:
		return "nobody reads them any more";
	case ENOENT:
	case ECONNREFUSED:
		return "no syslogd takes them";
	default:
		return strerror(error);
	}
}
