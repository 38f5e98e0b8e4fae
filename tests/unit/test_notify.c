/* notify.c: what a service manager hears on a socket with a path or in the abstract namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "process/notify.h"

static int manager = -1;
static char heard[1024];

/* name as in NOTIFY_SOCKET. */
static void listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	strcpy(address.sun_path, name);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static const char *hear(void)
{
	ssize_t n = recv(manager, heard, sizeof(heard) - 1, 0);

	heard[n > 0 ? n : 0] = '\0';
	return heard;
}

static void all_messages(void)
{
	struct timespec t;
	long long usec;

	notify_ready();
	assert_string_equal(hear(), "READY=1");
	notify_stopping();
	assert_string_equal(hear(), "STOPPING=1");
	notify_watchdog();
	assert_string_equal(hear(), "WATCHDOG=1");
	notify_status("%d workers\nMAINPID=1", 4);
	assert_string_equal(hear(), "STATUS=4 workers MAINPID=1");
	notify_reloading();
	assert_int_equal(sscanf(hear(), "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
	clock_gettime(CLOCK_MONOTONIC, &t);
	assert_in_range(usec, (t.tv_sec - 10) * 1000000LL, (t.tv_sec + 1) * 1000000LL);
	assert_string_equal(hear(), "");
}

static void test_path(void **state)
{
	char dir[] = "/tmp/test_notify.XXXXXX", name[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/notify", dir);
	listen_at(name);
	notify_init();
	assert_null(getenv("NOTIFY_SOCKET"));
	all_messages();
	close(manager);
	notify_ready();		/* nobody there any more: not our trouble */
	unlink(name);
	rmdir(dir);
}

static void test_abstract(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@test_notify/%d", (int)getpid());
	listen_at(name);
	notify_init();
	all_messages();
	close(manager);
}

static void test_long_status_is_cut(void **state)
{
	char name[64], text[2000];

	(void)state;
	snprintf(name, sizeof(name), "@test_notify_long/%d", (int)getpid());
	listen_at(name);
	notify_init();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	notify_status("%s", text);
	assert_int_equal(strlen(hear()), 511);
	close(manager);
}

static void test_no_manager(void **state)
{
	static const char *const nowhere[] = { NULL, "", "relative", "/no/such/socket", "@" };

	(void)state;
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		if (nowhere[i])
			setenv("NOTIFY_SOCKET", nowhere[i], 1);
		setenv("WATCHDOG_USEC", "1000000", 1);
		notify_init();
		notify_ready();
		assert_int_equal(notify_watchdog_ms(), 0);
		assert_null(getenv("NOTIFY_SOCKET"));
		assert_null(getenv("WATCHDOG_USEC"));
	}
}

static int64_t watchdog_of(const char *usec, const char *pid)
{
	char name[64];
	int64_t ms;

	snprintf(name, sizeof(name), "@test_notify_dog/%d", (int)getpid());
	listen_at(name);
	if (usec)
		setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	notify_init();
	ms = notify_watchdog_ms();
	assert_null(getenv("WATCHDOG_PID"));
	close(manager);
	return ms;
}

static void test_watchdog(void **state)
{
	char own[16];

	(void)state;
	snprintf(own, sizeof(own), "%d", (int)getpid());
	assert_int_equal(watchdog_of("30000000", own), 15000);
	assert_int_equal(watchdog_of("30000000", NULL), 15000);
	assert_int_equal(watchdog_of("30000000", "1"), 0);	/* meant for another process */
	assert_int_equal(watchdog_of(NULL, own), 0);
	assert_int_equal(watchdog_of("-5000", own), 0);
	assert_int_equal(watchdog_of("soon", own), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_abstract),
		cmocka_unit_test(test_long_status_is_cut),
		cmocka_unit_test(test_no_manager),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
