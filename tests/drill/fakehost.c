/*
 * Preloaded into a pool by the drill: another clock, another boot, and lines that crash whoever
 * reads them. The daemon itself has no such hooks.
 *   DRILL_CLOCK_S  the wall clock is so many seconds off; the monotonic clock is left alone
 *   DRILL_BOOT     a file that takes the place of /proc/sys/kernel/random/boot_id
 *   DRILL_POISON   hashing a text that contains this ends the process with SIGSEGV; every line is
 *                  hashed for its key in the phrase cache
 *   DRILL_POISON_READ  reading it from job_data does
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static long shift_s(void)
{
	const char *text = getenv("DRILL_CLOCK_S");

	return text ? atol(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*next)(clockid_t, struct timespec *);
	int rc;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
	rc = next(id, t);
	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += shift_s();
	return rc;
}

time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

int open(const char *path, int flags, ...)
{
	static int (*next)(const char *, int, ...);
	const char *boot = getenv("DRILL_BOOT");
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "open");
	return next(boot && strcmp(path, BOOT_ID) == 0 ? boot : path, flags, mode);
}

static void crash_over(const char *poison, const void *text, size_t len)
{
	if (!poison || !text || !memmem(text, len, poison, strlen(poison)))
		return;
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
}

const char *json_object_get_string(void *object)
{
	static const char *(*next)(void *);
	const char *text;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "json_object_get_string");
	text = next(object);
	crash_over(getenv("DRILL_POISON_READ"), text, text ? strlen(text) : 0);
	return text;
}

int EVP_DigestUpdate(void *context, const void *bytes, size_t len)
{
	static int (*next)(void *, const void *, size_t);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "EVP_DigestUpdate");
	crash_over(getenv("DRILL_POISON"), bytes, len);
	return next(context, bytes, len);
}
