/* One question to the daemon, one answer, within CONTROL_DEADLINE_MS. gradingctl only. */
#include "control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/protocol.h"

#define REPLY_CAP_BYTES (16 << 20)
#define READ_BYTES 65536

static int set_address(struct sockaddr_un *address, const char *path, struct err *err)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return err_set(err, ERR_CONFIG,
			       "the path of the control socket is longer than %zu bytes: %s",
			       sizeof(address->sun_path) - 1, path);
	strcpy(address->sun_path, path);
	return 0;
}

static int refuse(const char *path, struct err *err)
{
	if (errno == EACCES || errno == EPERM)
		return err_set(err, ERR_PERMANENT,
			       "you may not connect to %s; see control.group in gradingd.conf",
			       path);
	return err_set(err, ERR_LOST, "no gradingd answers at %s (%s)", path, strerror(errno));
}

static int too_late(const char *path, struct err *err)
{
	return err_set(err, ERR_LOST, "the gradingd at %s did not answer within %d s", path,
		       CONTROL_DEADLINE_MS / 1000);
}

/* SO_SNDTIMEO bounds connect(2) too, which blocks while the daemon's backlog is full. */
static int connect_to(const char *path, struct err *err)
{
	struct timeval patience = { .tv_sec = CONTROL_DEADLINE_MS / 1000 };
	struct sockaddr_un address;
	int fd;

	if (set_address(&address, path, err) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return err_set(err, ERR_PERMANENT, "cannot make a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (errno == EAGAIN)
		too_late(path, err);
	else
		refuse(path, err);
	close(fd);
	return -1;
}

static int send_line(int fd, const char *path, const char *line, struct err *err)
{
	char request[CONTROL_LINE_CAP];
	size_t len = strlen(line);

	if (len + 1 >= sizeof(request))
		return err_set(err, ERR_PERMANENT, "the words are longer than %d bytes together",
			       CONTROL_LINE_CAP - 2);
	memcpy(request, line, len);
	request[len] = '\n';
	if (send(fd, request, len + 1, MSG_NOSIGNAL) == (ssize_t)(len + 1))
		return 0;
	/* A daemon that is full says so and hangs up without reading: its words count more. */
	return errno == EPIPE || errno == ECONNRESET ? 0 : refuse(path, err);
}

/* All until the daemon closes, which it does after each answer. */
static int read_reply(int fd, const char *path, struct buf *reply, struct err *err)
{
	int64_t until = now_ms() + CONTROL_DEADLINE_MS;
	char chunk[READ_BYTES];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - now_ms();
		ssize_t n;

		if (left <= 0)
			return too_late(path, err);
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n == 0 || (n == -1 && errno != EINTR))
			return 0;	/* whether it is whole, its frame says */
		if (n > 0)
			buf_add(reply, chunk, (size_t)n);
		if (!buf_ok(reply))
			return err_set(err, ERR_PERMANENT, "the answer is larger than %d MiB",
				       REPLY_CAP_BYTES >> 20);
	}
}

/* "ok LENGTH\n" and LENGTH bytes, or "err REASON\n". */
static int unframe(const char *path, const struct buf *reply, struct buf *out, struct err *err)
{
	const char *text = buf_text(reply), *newline = memchr(text, '\n', reply->len);
	char *end = NULL;

	if (newline && strncmp(text, "err ", 4) == 0)
		return err_set(err, ERR_PERMANENT, "%.*s", (int)(newline - text - 4), text + 4);
	if (newline && strncmp(text, "ok ", 3) == 0) {
		unsigned long long len = strtoull(text + 3, &end, 10);

		if (end == newline && len == reply->len - (size_t)(newline + 1 - text)) {
			buf_add(out, newline + 1, len);
			return 0;
		}
	}
	return err_set(err, ERR_LOST,
		       "the answer of the gradingd at %s was cut off; is it stopping?", path);
}

int control_client_ask(const char *path, const char *line, struct buf *out, struct err *err)
{
	struct buf reply;
	int result, fd = connect_to(path, err);

	if (fd == -1)
		return -1;
	buf_init(&reply, REPLY_CAP_BYTES);
	result = send_line(fd, path, line, err);
	if (result == 0)
		result = read_reply(fd, path, &reply, err);
	if (result == 0)
		result = unframe(path, &reply, out, err);
	close(fd);
	buf_free(&reply);
	return result;
}
