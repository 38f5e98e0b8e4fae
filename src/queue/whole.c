/*
 * From what the database has of a session to what it is graded by as a whole. Pure; runs in
 * workers. It rates nothing and leaves no rating out: one that it cannot read fails the job.
 */
#include "queue/whole.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "lib/json_strict.h"

/* Columns of a line in the document, in its order. */
enum { LINE_INDEX, LINE_TEXT, LINE_RATING, LINE_REASON, LINE_COLUMNS };

#define refuse(err, ...) (err_set(err, ERR_PERMANENT, __VA_ARGS__), WHOLE_WRONG)

/* A count that may be null or anything; 0 then. */
static int64_t number_of(struct json_object *document, const char *key, int64_t max)
{
	int64_t n;

	return json_strict_integer(json_object_object_get(document, key), 0, max, &n) ? n : 0;
}

static const char *copy_text(struct arena *arena, struct json_object *value)
{
	size_t len;
	char *copy;

	if (!json_object_is_type(value, json_type_string))
		return "";
	len = (size_t)json_object_get_string_len(value);
	copy = arena_dup(arena, json_object_get_string(value), len);
	copy[utf8_clean(copy, len, UTF8_KEEP_CONTROLS)] = '\0';
	return copy;
}

static bool read_rated(struct job *job, struct json_object *columns, struct whole_line *line)
{
	int64_t index;

	if (!json_object_is_type(columns, json_type_array) ||
	    json_object_array_length(columns) != LINE_COLUMNS ||
	    !json_strict_integer(json_object_array_get_idx(columns, LINE_INDEX), 0, INT_MAX,
				 &index))
		return false;
	*line = (struct whole_line){
		.index = (int)index, .speaker = "",
		.text = copy_text(&job->arena, json_object_array_get_idx(columns, LINE_TEXT)),
		.rating = copy_text(&job->arena, json_object_array_get_idx(columns, LINE_RATING)),
		.reason = copy_text(&job->arena, json_object_array_get_idx(columns, LINE_REASON)),
	};
	return *line->rating != '\0';
}

/* Those with a rating come first where a line of that index has other words. */
static int by_index(const void *left, const void *right)
{
	const struct whole_line *a = left, *b = right;

	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return (*a->rating == '\0') - (*b->rating == '\0');
}

/* A rated line is one line, whoever tells of it: who said it comes from the conversation. */
static size_t merge_same(struct whole_line *lines, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct whole_line *before = kept > 0 ? &lines[kept - 1] : NULL;

		if (before && before->index == lines[i].index && *before->rating &&
		    !*lines[i].rating && strcmp(before->text, lines[i].text) == 0)
			before->speaker = lines[i].speaker;
		else
			lines[kept++] = lines[i];
	}
	return kept;
}

/* The job's lines are the conversation so far. */
static void add_conversation(const struct job *job, struct whole *whole)
{
	for (size_t i = 0; i < job->nlines; i++)
		whole->lines[whole->nlines++] = (struct whole_line){
			.index = job->lines[i].index, .speaker = job->lines[i].speaker,
			.text = job->lines[i].text, .rating = "", .reason = "",
		};
}

static enum whole_state read_lines(struct job *job, struct json_object *rated,
				   struct whole *whole, struct err *err)
{
	size_t n = json_object_array_length(rated);

	whole->lines = arena_alloc(&job->arena, (n + job->nlines) * sizeof(*whole->lines));
	for (size_t i = 0; i < n; i++)
		if (!read_rated(job, json_object_array_get_idx(rated, i), &whole->lines[i]))
			return refuse(err, "session %s cannot be graded as a whole: one of its "
				      "rows in line_ratings has no rating, or an index below 0",
				      job->session_id);
	whole->nlines = whole->nrated = n;
	add_conversation(job, whole);
	qsort(whole->lines, whole->nlines, sizeof(*whole->lines), by_index);
	whole->nlines = merge_same(whole->lines, whole->nlines);
	for (size_t i = 0; i < whole->nlines; i++)
		whole->bytes += strlen(whole->lines[i].text) + strlen(whole->lines[i].speaker);
	return WHOLE_READY;
}

static enum whole_state read_session(struct job *job, struct json_object *document,
				     struct whole *whole, struct err *err)
{
	struct json_object *rated = json_object_object_get(document, "lines");
	const char *status =
		json_object_get_string(json_object_object_get(document, "status"));
	int64_t bytes = number_of(document, "bytes", INT64_MAX);

	if (!status || (strcmp(status, "completed") != 0 && strcmp(status, "failed") != 0)) {
		err_set(err, ERR_RETRY, "it waits for the lines of its session (%" PRId64 " of %"
			PRId64 " batches are done)", number_of(document, "done", INT_MAX),
			number_of(document, "batches", INT_MAX));
		return WHOLE_WAITS;
	}
	whole->unrated = (int)number_of(document, "unrated", INT_MAX);
	whole->failed_batches = (int)number_of(document, "failed", INT_MAX);
	whole->upto = number_of(document, "upto", INT64_MAX);
	if (bytes == 0)
		return refuse(err, "no line of session %s has a rating (%d of its batches failed), "
			      "so there is nothing to grade it by; `gradingctl retry` puts failed "
			      "jobs back", job->session_id, whole->failed_batches);
	if (!json_object_is_type(rated, json_type_array))
		return refuse(err, "the rated lines of session %s have %" PRId64 " bytes; one that "
			      "is graded as a whole may have %u, and %d lines", job->session_id,
			      bytes, JOB_DATA_CAP_BYTES, JOB_LINES_CAP);
	return read_lines(job, rated, whole, err);
}

/* What is asked about, for all that count lines: it has no text of its own and no index. */
static void stand_in(struct job *job, struct whole *whole)
{
	struct line *line = arena_alloc(&job->arena, sizeof(*line));

	*line = (struct line){ .index = -1, .rated = true, .speaker = "", .text = "" };
	job->lines = line;
	job->nlines = job->nrated = 1;
	job->skipped = 0;
	job->total_batches = job->stride = 0;
	job->notice = NULL;
	job->whole = whole;
}

enum whole_state whole_parse(struct job *job, const struct speakers *rated, const char *document,
			     const char *job_data, size_t len, struct err *err)
{
	struct whole *whole = arena_alloc(&job->arena, sizeof(*whole));
	struct json_object *root;
	enum whole_state state;
	const char *why;

	stand_in(job, whole);
	job->sales_rep = job->customer = "";
	if (json_strict_parse(document, strlen(document), &root, &why) == -1)
		return refuse(err, "the session's lines are not JSON: %s", why);
	job->nlines = 0;
	if (job_data && job_parse_conversation(job, rated, job_data, len, err) == -1)
		state = WHOLE_WRONG;
	else
		state = read_session(job, root, whole, err);
	json_object_put(root);
	stand_in(job, whole);
	return state;
}
