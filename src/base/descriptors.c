/* The three standard descriptors; a program's first act, before it has any other. */
#include "base/descriptors.h"

#include <fcntl.h>
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
