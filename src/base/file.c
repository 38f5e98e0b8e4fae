/* Reads whole files that the configuration names; any process, at its start and on reload only. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, struct buf *out)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		buf_add(out, chunk, (size_t)n);
		if (!buf_ok(out))
			break;		/* the caller reports it; an endless file ends here */
	}
	explicit_bzero(chunk, sizeof(chunk));	/* it may have been a key */
	return 0;
}

int file_read(const char *path, const char *what, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int rc = 0;

	if (fd == -1)
		return err_set(err, ERR_CONFIG, "cannot open the %s %s: %s", what, path,
			       strerror(errno));
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		rc = err_set(err, ERR_CONFIG, "the %s %s is not a regular file", what, path);
	else if (read_all(fd, out) == -1)
		rc = err_set(err, ERR_CONFIG, "cannot read the %s %s: %s", what, path,
			     strerror(errno));
	else if (!buf_ok(out))
		rc = err_set(err, ERR_CONFIG, "the %s %s is larger than %zu bytes", what, path,
			     out->cap_bytes);
	close(fd);
	return rc;
}
