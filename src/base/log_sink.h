/*
 * Where the bytes of a log go, and how they get there without anybody waiting. Private to log.c.
 */
#ifndef LOG_SINK_H
#define LOG_SINK_H

#include <stdbool.h>
#include <sys/types.h>

enum log_way {
	LOG_BY_WRITE,		/* it never blocks: a file, or a descriptor of our own */
	LOG_BY_SEND,		/* a socket: each call says that it may not wait */
	LOG_BY_NOWAIT,		/* a pipe that is not ours: each call says so here, too */
	LOG_BY_SPLICE,		/* what that does on a kernel which does not know it for pipes */
	LOG_BY_BYTES,		/* a terminal that is not ours */
};

struct log_sink {
	int fd;
	enum log_way way;
	bool own;		/* opened by us; else an inherited descriptor */
	bool is_file;		/* a regular one */
};

/* fd was opened by us, with O_NONBLOCK. */
struct log_sink log_sink_own(int fd);
/*
 * An inherited descriptor. Its open file description is shared with processes that are not ours, so
 * it is left as it is: O_NONBLOCK set there would reach all of them.
 */
struct log_sink log_sink_inherited(int fd);
/* Closes what is ours. */
void log_sink_close(struct log_sink *sink);

/*
 * Writes at once what can be written at once, at most PIPE_BUF bytes: to a pipe all or nothing.
 * Returns how many, or -1; errno says why it was not all.
 */
ssize_t log_sink_write(const struct log_sink *sink, const char *line, size_t len);

/* A full disk, a reader who is away: what errno means for a line of the log. */
const char *log_sink_reason(int error);

#endif
