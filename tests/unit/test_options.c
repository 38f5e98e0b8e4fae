/* options.c: what a command line of gradingctl says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/options.h"

#define WORDS_MAX 16

/* words: those behind the program's name, NULL-terminated; argv keeps what becomes of them. */
static struct options parse(struct ctl *ctl, const char *const *words, char **argv)
{
	int argc = 1;

	argv[0] = strdup("gradingctl");
	for (; *words; words++)
		argv[argc++] = strdup(*words);
	argv[argc] = NULL;
	optind = 0;		/* glibc's: begin again */
	*ctl = (struct ctl){ .config = NULL };
	return options_parse(ctl, argc, argv);
}
#define PARSE(ctl, argv, ...) parse(ctl, (const char *const[]){ __VA_ARGS__, NULL }, argv)

static void release(struct ctl *ctl, char **argv)
{
	for (; *argv; argv++)
		free(*argv);
	ctl_free(ctl);
}

static void test_defaults(void **state)
{
	char *argv[WORDS_MAX];
	struct ctl ctl;
	struct options o = PARSE(&ctl, argv, "jobs");

	(void)state;
	assert_int_equal(o.given, 0);
	assert_false(o.help || o.version || o.commands);
	assert_string_equal(argv[o.words], "jobs");
	assert_int_equal(ctl.option[CTL_LIMIT], 50);
	assert_int_equal(ctl.option[CTL_BATCH_SIZE], 5);
	assert_int_equal(ctl.option[CTL_JSON], 0);
	assert_null(ctl.text[CTL_MODEL]);
	assert_null(ctl.conninfo);
	release(&ctl, argv);
}

static void test_values(void **state)
{
	char *argv[WORDS_MAX];
	struct ctl ctl;
	struct options o = PARSE(&ctl, argv, "--json", "--limit", "7", "--model=m", "--priority",
				 "-3", "-c", "file", "-s", "socket", "cache");

	(void)state;
	assert_int_equal(o.given, OPTION_BIT(CTL_JSON) | OPTION_BIT(CTL_LIMIT) |
			 OPTION_BIT(CTL_MODEL) | OPTION_BIT(CTL_PRIORITY));
	assert_int_equal(ctl.option[CTL_JSON], 1);
	assert_int_equal(ctl.option[CTL_LIMIT], 7);
	assert_int_equal(ctl.option[CTL_PRIORITY], -3);
	assert_string_equal(ctl.text[CTL_MODEL], "m");
	assert_string_equal(ctl.config_path, "file");
	assert_string_equal(ctl.socket_path, "socket");
	assert_string_equal(argv[o.words], "cache");
	release(&ctl, argv);
}

static void test_options_may_follow_words(void **state)
{
	char *argv[WORDS_MAX];
	struct ctl ctl;
	struct options o = PARSE(&ctl, argv, "retry", "--failed", "session");

	(void)state;
	assert_int_equal(o.given, OPTION_BIT(CTL_FAILED));
	assert_string_equal(argv[o.words], "retry");
	assert_string_equal(argv[o.words + 1], "session");
	release(&ctl, argv);
}

static void test_a_conninfo_is_out_of_sight(void **state)
{
	char *argv[WORDS_MAX];
	struct ctl ctl;

	(void)state;
	PARSE(&ctl, argv, "-d", "password=s3cret", "doctor");
	assert_string_equal(ctl.conninfo, "password=s3cret");
	assert_string_equal(argv[2], "***************");
	release(&ctl, argv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_options_may_follow_words),
		cmocka_unit_test(test_a_conninfo_is_out_of_sight),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
