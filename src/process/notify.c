/*
 * sd_notify datagrams to the service manager. Supervisor only; never waits, never fails anybody: a
 * manager that does not read loses messages, not the service.
 */
#include "process/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct {
	int fd;				/* connected; -1 without a manager */
	int64_t watchdog_ms;
} manager = { .fd = -1 };

/* "/path", or "@name" of the abstract namespace. Returns the address's length, 0 for neither. */
static socklen_t address_of(const char *name, struct sockaddr_un *address)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(address->sun_path))
		return 0;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, name, len);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	/* An abstract name is as long as it is said to be, so without a NUL at its end. */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
}

static int connect_to(const char *name)
{
	struct sockaddr_un address;
	socklen_t len = address_of(name, &address);
	int fd;

	if (!len)
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&address, len) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Half of what is granted, so that one late turn is no reason to be killed. */
static int64_t watchdog_interval(const char *usec, const char *pid)
{
	if (!usec || (pid && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	return strtoll(usec, NULL, 10) / 2000;
}

void notify_init(void)
{
	const char *name = getenv("NOTIFY_SOCKET");

	if (manager.fd != -1)
		close(manager.fd);
	manager.fd = name ? connect_to(name) : -1;
	manager.watchdog_ms = 0;
	if (manager.fd != -1)
		manager.watchdog_ms = watchdog_interval(getenv("WATCHDOG_USEC"),
							getenv("WATCHDOG_PID"));
	if (manager.watchdog_ms < 0)
		manager.watchdog_ms = 0;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void say(const char *message)
{
	if (manager.fd != -1)
		(void)send(manager.fd, message, strlen(message), MSG_NOSIGNAL);
}

void notify_ready(void)
{
	say("READY=1");
}

void notify_reloading(void)
{
	struct timespec t;
	char message[64];

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		 (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	say(message);
}

void notify_stopping(void)
{
	say("STOPPING=1");
}

void notify_status(const char *fmt, ...)
{
	char message[512] = "STATUS=";
	size_t len = strlen(message);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message + len, sizeof(message) - len, fmt, ap);
	va_end(ap);
	for (char *p = message; *p; p++)	/* a newline would begin another variable */
		if (*p == '\n')
			*p = ' ';
	say(message);
}

void notify_watchdog(void)
{
	say("WATCHDOG=1");
}

int64_t notify_watchdog_ms(void)
{
	return manager.watchdog_ms;
}
