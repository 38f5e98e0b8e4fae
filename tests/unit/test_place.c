/* Whose a path is, and root acting as somebody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/place.h"

static char dir[] = "/tmp/test_place.XXXXXX";
static struct { uid_t uid; gid_t gid; } nobody;

static const char *path_of(const char *name)
{
	static char paths[4][256];
	static int n;

	n = (n + 1) % 4;
	snprintf(paths[n], sizeof(paths[n]), "%s/%s", dir, name);
	return paths[n];
}

/* A directory of root's or nobody's. */
static void make(const char *name, bool of_root, mode_t mode)
{
	assert_int_equal(mkdir(path_of(name), 0755), 0);
	assert_int_equal(chmod(path_of(name), mode), 0);
	if (!of_root)
		assert_int_equal(chown(path_of(name), nobody.uid, nobody.gid), 0);
}

static void test_places_that_any_host_has(void **state)
{
	static const char *const roots[] = {
		"/", "/etc/passwd", "/etc/no-such-file", "/etc/../etc/./passwd", "/etc//passwd",
		"/usr/bin/no-such-directory/below/it",
	};
	static const char *const others[] = {
		"/tmp/no-such-file", "etc/passwd", "", "/etc/passwd/x",
	};
	char long_path[2 * PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (!place_is_roots(roots[i], ""))
			fail_msg("%s is root's", roots[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (place_is_roots(others[i], ""))
			fail_msg("%s is not root's", others[i]);
	memset(long_path, '/', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_false(place_is_roots(long_path, ""));
	assert_false(place_is_roots("/etc/passwd", "no such user"));
}

/* As the place of a log may be one: /proc/self/fd/2. */
static void test_a_descriptor_that_leads_to_no_file(void **state)
{
	char path[64];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
	assert_int_equal(place_is_roots(path, ""), geteuid() == 0);
	close(fds[0]);
	close(fds[1]);
}

#define ONLY_ROOT()			\
	do {				\
		if (geteuid() != 0)	\
			skip();		\
	} while (0)

static void test_owners_on_the_way(void **state)
{
	(void)state;
	ONLY_ROOT();
	make("root", true, 0755);
	make("root/deep", true, 0755);
	make("theirs", false, 0755);
	make("theirs/root", true, 0755);
	make("open", true, 0777);
	make("sticky", true, 01777);
	make("sticky/root", true, 0755);
	make("sticky/theirs", false, 0755);
	assert_true(place_is_roots(path_of("root/deep/x"), "nobody"));
	assert_true(place_is_roots(path_of("root/missing/x"), "nobody"));
	assert_false(place_is_roots(path_of("theirs/x"), "nobody"));
	assert_false(place_is_roots(path_of("theirs/root/x"), "nobody"));
	assert_false(place_is_roots(path_of("root/../theirs/x"), "nobody"));
	assert_false(place_is_roots(path_of("open/x"), "nobody"));
	assert_false(place_is_roots(path_of("sticky/x"), "nobody"));
	assert_true(place_is_roots(path_of("sticky/root/x"), "nobody"));
	assert_false(place_is_roots(path_of("sticky/root"), "nobody"));
	assert_false(place_is_roots(path_of("sticky/theirs/x"), "nobody"));
}

static void test_links_on_the_way(void **state)
{
	(void)state;
	ONLY_ROOT();
	assert_int_equal(symlink(path_of("root"), path_of("to_root")), 0);
	assert_int_equal(symlink("root/deep", path_of("to_deep")), 0);
	assert_int_equal(symlink(path_of("theirs"), path_of("to_theirs")), 0);
	assert_int_equal(symlink("/etc", path_of("theirs/to_etc")), 0);
	assert_int_equal(symlink("/etc/passwd", path_of("sticky/to_etc")), 0);
	assert_int_equal(symlink("round", path_of("round")), 0);
	assert_int_equal(symlink("theirs/new", path_of("dangling")), 0);
	assert_true(place_is_roots(path_of("to_root/x"), "nobody"));
	assert_true(place_is_roots(path_of("to_deep/x"), "nobody"));
	assert_true(place_is_roots(path_of("to_deep/../../root/x"), "nobody"));
	assert_false(place_is_roots(path_of("to_theirs/x"), "nobody"));
	assert_false(place_is_roots(path_of("theirs/to_etc/passwd"), "nobody"));
	assert_false(place_is_roots(path_of("sticky/to_etc"), "nobody"));
	assert_false(place_is_roots(path_of("round/x"), "nobody"));
	assert_false(place_is_roots(path_of("dangling"), "nobody"));
}

static void test_groups_that_may_write(void **state)
{
	const gid_t other = nobody.gid == 2 ? 3 : 2;

	(void)state;
	ONLY_ROOT();
	make("group", true, 0775);
	assert_true(place_is_roots(path_of("group/x"), "nobody"));	/* of root's own group */
	assert_true(place_is_roots(path_of("group/x"), ""));
	assert_int_equal(chown(path_of("group"), 0, nobody.gid), 0);
	assert_false(place_is_roots(path_of("group/x"), "nobody"));
	assert_int_equal(chown(path_of("group"), 0, other), 0);
	assert_true(place_is_roots(path_of("group/x"), "nobody"));
	assert_false(place_is_roots(path_of("group/x"), ""));
}

static void assert_acts(const char *path, const char *user, bool acts)
{
	struct place_guest guest;
	struct err err;
	gid_t groups[64];
	int ngroups = getgroups(64, groups);

	assert_int_equal(place_enter(&guest, path, user, "", &err), 0);
	assert_int_equal(guest.acting, acts);
	assert_int_equal(geteuid(), acts ? nobody.uid : 0);
	assert_int_equal(getegid(), acts ? nobody.gid : 0);
	errno = EILSEQ;
	place_leave(&guest);
	assert_int_equal(errno, EILSEQ);
	assert_int_equal(geteuid(), 0);
	assert_int_equal(getegid(), 0);
	assert_int_equal(getgroups(64, groups), ngroups);
}

static void test_acting_as_somebody(void **state)
{
	struct place_guest guest;
	struct err err;
	struct stat st;
	const struct group *more = getgrgid(2);
	int fd;

	(void)state;
	ONLY_ROOT();
	assert_acts(path_of("root/x"), "nobody", false);
	assert_acts(path_of("theirs/x"), "nobody", true);
	assert_acts(path_of("theirs/x"), "", false);
	assert_int_equal(place_enter(&guest, "/", "no such user", "", &err), -1);
	assert_non_null(strstr(err.text, "no such user"));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(place_enter(&guest, path_of("theirs/x"), "nobody", more->gr_name, &err),
			 0);
	fd = open(path_of("theirs/x"), O_WRONLY | O_CREAT, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(fchown(fd, (uid_t)-1, more->gr_gid), 0);	/* as a member may */
	assert_int_equal(fchown(fd, (uid_t)-1, 0), -1);
	assert_int_equal(open(path_of("root/x"), O_WRONLY | O_CREAT, 0600), -1);
	place_leave(&guest);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_uid, nobody.uid);
	assert_int_equal(st.st_gid, more->gr_gid);
	close(fd);
}

static int make_directory(void **state)
{
	const struct passwd *pw = getpwnam("nobody");

	(void)state;
	if (!pw)
		return -1;
	nobody.uid = pw->pw_uid;
	nobody.gid = pw->pw_gid;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places_that_any_host_has),
		cmocka_unit_test(test_a_descriptor_that_leads_to_no_file),
		cmocka_unit_test(test_owners_on_the_way),
		cmocka_unit_test(test_links_on_the_way),
		cmocka_unit_test(test_groups_that_may_write),
		cmocka_unit_test(test_acting_as_somebody),
	};

	return cmocka_run_group_tests_name("place", tests, make_directory, remove_directory);
}
