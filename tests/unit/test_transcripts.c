/*
 * transcripts.c: what is found in files well made and broken, and that no transcript spoils
 * another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "ctl/transcripts.h"

#define CALL(id) \
	"{\"id\": \"" id "\", \"transcript\": [{\"speaker\": \"rep\", \"text\": \"Hello.\"}]}"

/* Reads a file of these bytes; describes what came: "12:found 14:refused", by lines. */
static const char *read_all(const char *bytes, size_t len)
{
	static char out[512];
	char path[] = "/tmp/test_transcripts.XXXXXX";
	int fd = mkstemp(path), found;
	struct transcripts *r;
	struct transcript t;
	struct err err;

	assert_true(fd != -1);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
	r = transcripts_open(path, &err);
	assert_non_null(r);
	for (out[0] = '\0'; (found = transcripts_next(r, &t, &err)) != 0; ) {
		char where[sizeof(path) + 24], item[40];

		snprintf(item, sizeof(item), "%s%lu:found", out[0] ? " " : "", t.line);
		if (found == -1) {
			const char *number = err.text + strlen(path) + 1;

			snprintf(where, sizeof(where), "%s:", path);
			assert_memory_equal(err.text, where, strlen(where));
			snprintf(item, sizeof(item), "%s%.*s:refused", out[0] ? " " : "",
				 (int)strspn(number, "0123456789"), number);
		}
		assert_true(strlen(out) + strlen(item) < sizeof(out));
		strcat(out, item);
	}
	transcripts_close(r);
	unlink(path);
	return out;
}
#define READ(bytes) read_all(bytes, sizeof(bytes) - 1)

static void test_one_or_many_in_whatever_shape(void **state)
{
	(void)state;
	assert_string_equal(READ(""), "");
	assert_string_equal(READ(" \n\r\n\t"), "");
	assert_string_equal(READ(CALL("a")), "1:found");
	assert_string_equal(READ(CALL("a") "\n\n" CALL("b") "\r\n" CALL("c") "\n"),
			    "1:found 3:found 4:found");
	assert_string_equal(READ("[" CALL("a") "," CALL("b") ",\n" CALL("c") "]\n"),
			    "1:found 1:found 2:found");
	assert_string_equal(READ("[]"), "");
	assert_string_equal(READ("\xef\xbb\xbf" CALL("a")), "1:found");
	assert_string_equal(READ("\n{\n  \"id\": \"a\",\n  \"transcript\": [\n    {\n      "
				 "\"text\": \"}]\\\"{[\"\n"
				 "    }\n  ]\n}\n" CALL("b")),
			    "2:found 10:found");
	/* printed without indents */
	assert_string_equal(READ("{\n\"id\": \"a\",\n\"transcript\": [\n{\n"
				 "\"text\": \"x\"\n}\n]\n}\n" CALL("b")),
			    "1:found 9:found");
}

static void test_a_broken_line_spoils_no_other(void **state)
{
	(void)state;
	assert_string_equal(READ(CALL("a") "\n{\"id\": \"b\", \"tran\n" CALL("c")),
			    "1:found 2:refused 3:found");
	assert_string_equal(READ("{\"id\": \"a\", \"transcript\": [{\n" CALL("b")),
			    "1:refused 2:found");
	assert_string_equal(READ("{\"id\": \"a\"}}]\n" CALL("b")), "1:refused 1:refused 2:found");
	assert_string_equal(READ("{\"id\": }}\n" CALL("b")), "1:refused 2:found");
	assert_string_equal(READ("nonsense\n" CALL("b") "\n42\n"), "1:refused 2:found 3:refused");
	assert_string_equal(READ("{\"id\": \"a\0\"}\n" CALL("b")), "1:refused 2:found");
	assert_string_equal(READ("{\"id\": \"\xff\"}\n" CALL("b")), "1:refused 2:found");
	assert_string_equal(READ(CALL("a") "\n{\"id\": \"b"), "1:found 2:refused");
	assert_string_equal(READ("[" CALL("a") ",\n{\"id\": },\n" CALL("c")),
			    "1:found 2:refused 3:found 3:refused");
}

static void test_what_a_transcript_must_hold(void **state)
{
	(void)state;
	assert_string_equal(READ("{\"id\": \"a\", \"transcript\": []}"), "1:found");
	assert_string_equal(READ("{\"transcript\": []}\n{\"id\": \"\", \"transcript\": []}\n"
				 "{\"id\": 7, \"transcript\": []}\n"
				 "{\"id\": \"a\\u0000b\", \"transcript\": []}"),
			    "1:refused 2:refused 3:refused 4:refused");
	assert_string_equal(READ("{\"id\": \"a\"}\n{\"id\": \"a\", \"transcript\": {}}\n"
				 "{\"id\": \"a\", \"transcript\": [1]}"),
			    "1:refused 2:refused 3:refused");
	assert_string_equal(READ("{\"id\": \"a\", \"transcript\": [], \"salesRepName\": null}\n"
				 "{\"id\": \"a\", \"transcript\": [], \"salesRepName\": 1}\n"
				 "{\"id\": \"a\", \"transcript\": [], \"customerName\": []}"),
			    "1:found 2:refused 3:refused");
}

static void test_text_and_session_of_a_transcript(void **state)
{
	static const char call[] = CALL("20180904-045349_715_live");
	char path[] = "/tmp/test_transcripts.XXXXXX";
	int fd = mkstemp(path);
	struct transcripts *r;
	struct transcript t;
	struct err err;

	(void)state;
	assert_true(fd != -1);
	dprintf(fd, "\n  %s\n", call);
	close(fd);
	r = transcripts_open(path, &err);
	assert_non_null(r);
	assert_int_equal(transcripts_next(r, &t, &err), 1);
	assert_int_equal(t.len, strlen(call));
	assert_memory_equal(t.text, call, t.len);
	assert_string_equal(t.session, "d6037f43-28d8-5f27-868e-a07dbb33b3d2");
	assert_int_equal(transcripts_next(r, &t, &err), 0);
	assert_int_equal(transcripts_next(r, &t, &err), 0);
	transcripts_close(r);
	unlink(path);
}

static void test_too_large_a_transcript_is_passed_over(void **state)
{
	static const char next[] = "\"}]}\n" CALL("b");
	struct buf file;

	(void)state;
	buf_init(&file, 2 * TRANSCRIPT_CAP_BYTES);
	buf_str(&file, "{\"id\": \"a\", \"transcript\": [{\"text\": \"");
	while (file.len <= TRANSCRIPT_CAP_BYTES)
		buf_str(&file, "all work and no play makes a dull line ");
	buf_str(&file, next);
	assert_true(buf_ok(&file));
	assert_string_equal(read_all(file.data, file.len), "1:refused 2:found");
	buf_free(&file);
}

static void test_files_that_cannot_be_read(void **state)
{
	struct transcripts *r;
	struct transcript t;
	struct err err;

	(void)state;
	assert_null(transcripts_open("/nonexistent/calls.jsonl", &err));
	assert_int_equal(err.kind, ERR_PERMANENT);
	r = transcripts_open("/", &err);	/* a directory opens, and fails later */
	assert_non_null(r);
	assert_int_equal(transcripts_next(r, &t, &err), -1);
	assert_int_equal(err.kind, ERR_LOST);
	transcripts_close(r);
}

/*
 * Read to its end, for a pipe's sake; one line of three is not enough to give a file up, nor is
 * what follows a transcript.
 */
static void test_another_kind_of_file_is_given_up_soon(void **state)
{
	(void)state;
	assert_string_equal(READ("# a\n# b\n# c\n# d\n# e\n" CALL("a")),
			    "1:refused 2:refused 3:refused");
	assert_string_equal(READ("# a\n# b\n" CALL("a") "\nc\nd\ne\n" CALL("b")),
			    "1:refused 2:refused 3:found 4:refused 5:refused 6:refused 7:found");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_or_many_in_whatever_shape),
		cmocka_unit_test(test_a_broken_line_spoils_no_other),
		cmocka_unit_test(test_what_a_transcript_must_hold),
		cmocka_unit_test(test_text_and_session_of_a_transcript),
		cmocka_unit_test(test_too_large_a_transcript_is_passed_over),
		cmocka_unit_test(test_files_that_cannot_be_read),
		cmocka_unit_test(test_another_kind_of_file_is_given_up_soon),
	};

	return cmocka_run_group_tests_name("transcripts", tests, NULL, NULL);
}
