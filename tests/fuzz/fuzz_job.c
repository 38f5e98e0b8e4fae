/*
 * Any bytes as job_data: refused with a sentence, or read into lines that keep every promise of
 * job.h; and what is asked about such lines is JSON that says the same.
 */
#include "fuzz.h"

#include <json-c/json.h>

#include "grading/cache_key.h"
#include "queue/job.h"
#include "rater/question.h"

static char *scale[] = { "good", "poor" };
static struct config config = { .rater = { .scale = { scale, 2 } } };
static struct rater rater = { .config = &config, .fingerprint = "f" };

static int compare_ints(const void *left, const void *right)
{
	int a = *(const int *)left, b = *(const int *)right;

	return a < b ? -1 : a > b;
}

static void check_refused(const struct job *job, const struct err *err)
{
	CHECK(err->kind == ERR_PERMANENT || (err->kind == ERR_RETRY && !job->known_stride));
	CHECK(*err->text);
	check_text(err->text, sizeof(err->text) - 1);
	for (const char *p = err->text; *p; p++)
		CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
	CHECK(job->nlines == 0 && job->nrated == 0 && job->skipped == 0);
}

/* Returns the rated ones, for free(). */
static const struct line **check_lines(const struct job *job)
{
	const struct line **rated = calloc(job->nlines + 1, sizeof(*rated));
	int *indexes = calloc(job->nlines + 1, sizeof(*indexes));
	size_t n = 0;

	CHECK(job->nlines <= JOB_LINES_CAP);
	for (size_t i = 0; i < job->nlines; i++) {
		const struct line *line = &job->lines[i];

		CHECK(line->index >= 0);
		check_text(line->speaker, NAME_CAP_BYTES);
		check_text(line->text, LINE_TEXT_CAP_BYTES);
		CHECK(line->text_len == strlen(line->text));
		CHECK(line->text[strspn(line->text, " \t\r\n\v\f")] != '\0');
		if (line->rated) {
			indexes[n] = line->index;
			rated[n++] = line;
		}
	}
	CHECK(n == job->nrated);
	qsort(indexes, n, sizeof(*indexes), compare_ints);
	for (size_t i = 1; i < n; i++)
		CHECK(indexes[i - 1] != indexes[i]);
	free(indexes);
	return rated;
}

static void check_asked(struct json_object *question, const struct line **rated, size_t n)
{
	struct json_object *lines = json_object_object_get(question, "lines");

	CHECK(json_object_array_length(lines) == n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *line = json_object_array_get_idx(lines, i);
		struct json_object *text = json_object_object_get(line, "text");

		CHECK(json_object_get_int(json_object_object_get(line, "line")) == rated[i]->index);
		CHECK(strcmp(json_object_get_string(text), rated[i]->text) == 0);
	}
}

static void check_question(struct job *job, const struct line **rated)
{
	struct ask ask = { .job = job, .lines = rated, .nlines = job->nrated };
	struct json_object *question;
	struct buf out;

	buf_init(&out, 64u << 20);
	question_write(&out, &config, &ask);
	CHECK(buf_ok(&out));
	CHECK(!strchr(buf_text(&out), '\n'));
	question = json_tokener_parse(buf_text(&out));
	CHECK(question);
	check_asked(question, rated, job->nrated);
	json_object_put(question);
	buf_free(&out);
}

static void check_keys(const struct job *job, const struct line **rated)
{
	char key[PHRASE_KEY_SIZE];

	for (size_t i = 0; i < job->nrated; i++) {
		phrase_key(&rater, job, rated[i], key);
		CHECK(strspn(key, "0123456789abcdef") == PHRASE_KEY_SIZE - 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *names[] = { "rep", "user" };
	static const struct speakers speakers = { .names = names, .n = 2 };
	struct job job = { .nlines = 77, .known_stride = (int)(size / 4 % 3) };
	struct err err = { 0 };

	config.rater.context_lines = (int64_t)(size % 4);
	if (job_parse(&job, &speakers, (const char *)data, size, &err) == -1) {
		check_refused(&job, &err);
	} else {
		const struct line **rated = check_lines(&job);

		check_text(job.sales_rep, NAME_CAP_BYTES);
		check_text(job.customer, NAME_CAP_BYTES);
		CHECK(job.total_batches >= 0);
		CHECK(job.stride >= 0);
		if (job.notice)
			check_text(job.notice, 1000);
		check_question(&job, rated);
		check_keys(&job, rated);
		free(rated);
	}
	arena_free(&job.arena);
	return 0;
}
