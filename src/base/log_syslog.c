/* The socket of syslogd; any process, children inherit it. Never waits and never allocates. */
#include "log_syslog.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static struct {
	int fd;			/* -1: not connected */
	bool stream;		/* messages end with a NUL; else each is a datagram */
} daemon_log = { .fd = -1 };

void log_syslog_close(void)
{
	if (daemon_log.fd != -1)
		close(daemon_log.fd);
	daemon_log.fd = -1;
}

static int connect_as(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), why;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd == -1 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

static bool is_connected(const char *path)
{
	if (daemon_log.fd != -1)
		return true;
	daemon_log.fd = connect_as(path, SOCK_DGRAM);
	daemon_log.stream = daemon_log.fd == -1 && errno == EPROTOTYPE;
	if (daemon_log.stream)
		daemon_log.fd = connect_as(path, SOCK_STREAM);
	return daemon_log.fd != -1;
}

/* What came half over a stream ends with its connection. */
static int send_once(const char *path, const char *line, size_t len)
{
	size_t whole;
	ssize_t n;

	if (!is_connected(path))
		return -1;
	whole = len + daemon_log.stream;
	n = send(daemon_log.fd, line, whole, MSG_NOSIGNAL);
	if (n == (ssize_t)whole)
		return 0;
	if (n != -1)
		errno = EAGAIN;
	if (n != -1 || (errno != EAGAIN && errno != ENOBUFS)) {
		int why = errno;

		log_syslog_close();
		errno = why;
	}
	return -1;
}

int log_syslog_send(const char *path, int severity, const char *who, const char *message)
{
	char line[PIPE_BUF], stamp[32] = "";
	time_t now = time(NULL);
	bool was_connected = daemon_log.fd != -1;
	struct tm tm;
	int len;

	if (localtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
	len = snprintf(line, sizeof(line), "<%d>%s gradingd[%d]: %s: %s", LOG_DAEMON | severity,
		       stamp, (int)getpid(), who, message);
	if ((size_t)len >= sizeof(line))
		len = sizeof(line) - 1;
	if (send_once(path, line, (size_t)len) == 0)
		return 0;
	/* A daemon that was restarted has another socket under the same name. */
	if (!was_connected || daemon_log.fd != -1)
		return -1;
	return send_once(path, line, (size_t)len);
}
