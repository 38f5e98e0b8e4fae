/* Descriptors that were inherited; a program's first act, before it has any of its own. */
#include "base/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

int descriptors_fill(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);		/* the lowest number that is free */
		if (fd == -1)
			return -1;
	} while (fd <= STDERR_FILENO);
	return close(fd);
}

/* By hand where the kernel (before 5.11) or a container's filter has no close_range(2). */
void descriptors_close(unsigned first, unsigned last, int flags)
{
	struct rlimit limit;

	if (first > last || close_range(first, last, flags) == 0 ||
	    getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; fd++)
		if (flags)
			fcntl((int)fd, F_SETFD, FD_CLOEXEC);
		else
			close((int)fd);
}
