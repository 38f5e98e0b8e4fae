/* Identities for claimed_by, from /proc; any process. It never talks to the database. */
#include "process/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST_BYTES 65
#define BOOT_BYTES 9	/* the first group of the boot id tells boots of one host apart */
#define TAG_BYTES 32	/* BOOTID.PIDNS */

static void read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, out, size - 1);

	if (fd != -1)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
}

static void host_name(char *out, size_t size)
{
	if (gethostname(out, size) == -1)
		snprintf(out, size, "localhost");
	out[size - 1] = '\0';
	for (char *p = out; *p; p++)
		if (*p == '/')
			*p = '-';
}

static void boot_id(char *out, size_t size)
{
	read_file("/proc/sys/kernel/random/boot_id", out, size);
	if (!out[0])
		snprintf(out, size, "noboot");
}

/* The boot, and the inode of our pid namespace (namespaces(7)). */
static void boot_tag(char *out, size_t size)
{
	char boot[BOOT_BYTES], link[40] = "";
	ssize_t n = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);

	boot_id(boot, sizeof(boot));
	/* pid:[4026531836] */
	snprintf(out, size, "%s.%s", boot, n > 5 ? strtok(link + 5, "]") : "0");
}

/*
 * Field 22 of /proc/PID/stat, in clock ticks since boot; 0 when there is no such process (proc(5)).
 */
static unsigned long long start_time(pid_t pid)
{
	char path[40], stat[1024], *p;
	unsigned long long ticks = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	read_file(path, stat, sizeof(stat));
	p = strrchr(stat, ')');		/* the command's name may hold blanks and parentheses */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		ticks = strtoull(p, NULL, 10);
	return ticks;
}

void identity_self(char *out)
{
	char host[HOST_BYTES], tag[TAG_BYTES];

	host_name(host, sizeof(host));
	boot_tag(tag, sizeof(tag));
	snprintf(out, IDENTITY_SIZE, "%s/%s/%d/%llu", host, tag, (int)getpid(),
		 start_time(getpid()));
}

void identity_host_prefix(char *out, size_t size)
{
	char host[HOST_BYTES];

	host_name(host, sizeof(host));
	snprintf(out, size, "%s/", host);
}

bool identity_is_dead(const char *identity, bool other_boots)
{
	char prefix[HOST_BYTES + 1], tag[TAG_BYTES], their_tag[TAG_BYTES];
	unsigned long long start;
	int pid;

	identity_host_prefix(prefix, sizeof(prefix));
	if (strncmp(identity, prefix, strlen(prefix)) != 0)
		return false;
	if (sscanf(identity + strlen(prefix), "%31[^/]/%d/%llu", their_tag, &pid, &start) != 3 ||
	    pid <= 0)
		return false;
	boot_tag(tag, sizeof(tag));
	if (strncmp(tag, their_tag, BOOT_BYTES - 1) != 0)
		return other_boots;
	if (strcmp(tag, their_tag) != 0)
		return false;
	return start_time((pid_t)pid) != start;
}
