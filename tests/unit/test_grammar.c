/*
 * grammar.c: which command a line means, what it says of those that mean none, and the shape of the
 * list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/grammar.h"

static struct request request;
static struct err err;

static int read_line(const char *line)
{
	memset(&request, 0xa5, sizeof(request));
	err = (struct err){ 0 };
	return grammar_read(&request, line, true, &err);
}

static void assert_means(const char *line, enum control_command command, bool json, int nargs)
{
	if (read_line(line) == -1)
		fail_msg("\"%s\": %s", line, err.text);
	assert_int_equal(request.command, command);
	assert_int_equal(request.json, json);
	assert_int_equal(request.nargs, nargs);
}

static void test_every_row_is_found_by_its_words(void **state)
{
	char line[64];

	(void)state;
	for (int i = 0; i < COMMAND_COUNT; i++) {
		snprintf(line, sizeof(line), "%s%s", grammar[i].words,
			 grammar[i].min_args ? " 1" : "");
		assert_means(line, (enum control_command)i, false, grammar[i].min_args);
	}
}

static void test_every_reader_takes_json_and_no_admin_does(void **state)
{
	char line[64];

	(void)state;
	for (int i = 0; i < COMMAND_COUNT; i++) {
		snprintf(line, sizeof(line), "%s json", grammar[i].words);
		if (grammar[i].access == ACCESS_READ)
			assert_means(line, (enum control_command)i, true, 0);
		else if (grammar[i].max_args == 0)
			assert_int_equal(read_line(line), -1);
		else	/* a word like any other */
			assert_means(line, (enum control_command)i, false, 1);
	}
}

/*
 * "show" before "show status" would hide it; a stranger between two rows of "show" would split
 * them.
 */
static void test_rows_stand_as_matching_needs_them(void **state)
{
	(void)state;
	for (int i = 0; i < COMMAND_COUNT; i++)
		for (int k = 0; k < COMMAND_COUNT; k++) {
			size_t len = strlen(grammar[i].words),
			       first = strcspn(grammar[i].words, " ");
			bool begins = strncmp(grammar[k].words, grammar[i].words, len) == 0;

			assert_false(i != k && begins &&
				     (grammar[k].words[len] == ' ' || !grammar[k].words[len]));
			if (strncmp(grammar[k].words, grammar[i].words, first + 1) != 0)
				continue;
			for (int between = i + 1; between < k; between++)
				assert_memory_equal(grammar[between].words, grammar[i].words,
						    first + 1);
		}
}

static void test_arguments_lie_in_the_request(void **state)
{
	char line[] = "recy\t 12 ";

	(void)state;
	assert_means(line, COMMAND_RECYCLE, false, 1);
	memset(line, 'x', sizeof(line) - 1);
	assert_string_equal(request.args[0], "12");
}

static void test_readers_are_told_before_usage(void **state)
{
	(void)state;
	assert_int_equal(grammar_read(&request, "scale", false, &err), -1);
	assert_string_equal(err.text, "\"scale\" is for root and the user gradingd runs as");
	assert_int_equal(grammar_read(&request, "scale", true, &err), -1);
	assert_string_equal(err.text, "usage: scale N");
	assert_int_equal(grammar_read(&request, "show st", false, &err), 0);
}

static void test_what_could_have_been_said(void **state)
{
	(void)state;
	assert_int_equal(read_line("s st"), -1);
	assert_string_equal(err.text, "\"s\" could be: show, scale");
	/* Other ways to say it are not offered. */
	assert_int_equal(read_line("close door"), -1);
	assert_string_equal(err.text, "unknown word \"door\"; possible: breaker");
	assert_int_equal(read_line("show w q"), -1);
	assert_string_equal(err.text, "usage: show workers [json]");
	assert_int_equal(read_line("pau\xc3\xa9"), -1);
	assert_string_equal(err.text, "the request holds bytes that are no words");
}

static void test_help_has_a_line_for_each(void **state)
{
	char usage[GRAMMAR_USAGE_SIZE];
	struct buf help;
	const char *line;

	(void)state;
	buf_init(&help, 1 << 16);
	grammar_help(&help);
	line = buf_text(&help);
	for (int i = 0; i < COMMAND_COUNT; i++) {
		if (!grammar[i].help)
			continue;
		grammar_usage((enum control_command)i, usage);
		assert_memory_equal(line, usage, strlen(usage));
		assert_non_null(strstr(line, grammar[i].help));
		line = strchr(line, '\n') + 1;
	}
	assert_string_equal(line, "");
	buf_free(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_is_found_by_its_words),
		cmocka_unit_test(test_every_reader_takes_json_and_no_admin_does),
		cmocka_unit_test(test_rows_stand_as_matching_needs_them),
		cmocka_unit_test(test_arguments_lie_in_the_request),
		cmocka_unit_test(test_readers_are_told_before_usage),
		cmocka_unit_test(test_what_could_have_been_said),
		cmocka_unit_test(test_help_has_a_line_for_each),
	};

	return cmocka_run_group_tests_name("grammar", tests, NULL, NULL);
}
