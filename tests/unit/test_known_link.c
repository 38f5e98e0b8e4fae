/* Links to sockets at known places: their names, leaving, finding and removing them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/known_link.h"

static char dir[] = "/tmp/test_known_link.XXXXXX";
static char config[64], other_config[64], target[64];

static void assert_name(const char *path, const char *expected)
{
	char name[KNOWN_LINK_NAME_SIZE];

	assert_string_equal(known_link_name(path, name), expected);
}

static void test_names(void **state)
{
	char path[PATH_MAX], a[KNOWN_LINK_NAME_SIZE], b[KNOWN_LINK_NAME_SIZE];

	(void)state;
	assert_name("/nowhere/gradingd/gradingd.conf", "nowhere!gradingd!gradingd.conf.sock");
	assert_name("/etc/./passwd", "etc!passwd.sock");
	assert_name("/x.conf", "x.conf.sock");
	assert_name("/nowhere/a!b%c", "nowhere!a%21b%25c.sock");
	assert_name("/nowhere/a/b", "nowhere!a!b.sock");
	/* Long ones are told apart, and fit. */
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[2000] = '\0';
	known_link_name(path, a);
	path[1999] = 'y';
	known_link_name(path, b);
	assert_string_not_equal(a, b);
	assert_in_range(strlen(a), 150, 255);
	for (size_t len = 150; len < 260; len++) {
		memset(path + 1, '!', len);
		path[len] = '\0';
		assert_in_range(strlen(known_link_name(path, a)), 1, 255);
	}
}

static bool is_found(const char *path, const char *socket)
{
	struct known_link_search s;
	bool found = false;

	known_link_begin(&s, path);
	while (known_link_next(&s))
		found |= strcmp(s.socket, socket) == 0;
	return found;
}

static void test_left_found_and_removed(void **state)
{
	struct known_link link, again;
	struct err err;
	struct stat st;

	(void)state;
	assert_false(is_found(config, target));
	assert_int_equal(known_link_leave(&link, config, target, &err), 0);
	assert_int_equal(lstat(link.path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_true(is_found(config, target));
	assert_false(is_found(other_config, target));
	/* A second daemon of the same configuration takes its place, and it is the second one's. */
	assert_int_equal(known_link_leave(&again, config, other_config, &err), 0);
	assert_false(is_found(config, target));
	assert_true(is_found(config, other_config));
	known_link_remove(&link, target);
	assert_true(is_found(config, other_config));
	known_link_remove(&again, other_config);
	assert_false(is_found(config, other_config));
	assert_string_equal(again.path, "");
	known_link_remove(&again, other_config);
}

/* A daemon that was killed left one that leads nowhere: the next takes it away. */
static void test_stale_ones_are_swept(void **state)
{
	struct known_link dead, link;
	struct err err;
	struct stat st;
	char missing[80];

	(void)state;
	snprintf(missing, sizeof(missing), "%s/gone", dir);
	assert_int_equal(known_link_leave(&dead, other_config, missing, &err), 0);
	assert_true(is_found(other_config, missing));
	assert_int_equal(known_link_leave(&link, config, target, &err), 0);
	assert_int_equal(lstat(dead.path, &st), -1);
	assert_int_equal(lstat(link.path, &st), 0);
	known_link_remove(&link, target);
}

static void test_what_leads_nowhere_is_forgotten(void **state)
{
	struct known_link_search s;
	struct known_link link;
	struct err err;

	(void)state;
	assert_int_equal(known_link_leave(&link, config, target, &err), 0);
	known_link_begin(&s, config);
	assert_true(known_link_next(&s));
	assert_string_equal(s.link, link.path);
	known_link_forget(&s);
	assert_false(is_found(config, target));
}

static void test_one_that_was_tidied_away_is_left_again(void **state)
{
	struct known_link link, none = { "" };
	struct err err;

	(void)state;
	assert_int_equal(known_link_leave(&link, config, target, &err), 0);
	known_link_keep(&link, config, target);
	assert_true(is_found(config, target));
	assert_int_equal(unlink(link.path), 0);
	known_link_keep(&link, config, target);
	assert_true(is_found(config, target));
	known_link_remove(&link, target);
	known_link_keep(&none, config, target);		/* none could be left before */
	assert_false(is_found(config, target));
}

static void touch(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fclose(f);
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(config, sizeof(config), "%s/one.conf", dir);
	snprintf(other_config, sizeof(other_config), "%s/two.conf", dir);
	snprintf(target, sizeof(target), "%s/socket", dir);
	touch(config);
	touch(other_config);
	touch(target);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(config);
	unlink(other_config);
	unlink(target);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_left_found_and_removed),
		cmocka_unit_test(test_stale_ones_are_swept),
		cmocka_unit_test(test_what_leads_nowhere_is_forgotten),
		cmocka_unit_test(test_one_that_was_tidied_away_is_left_again),
	};

	return cmocka_run_group_tests_name("known_link", tests, make_directory, remove_directory);
}
