/*
 * From job_data, as some application wrote it, to lines. Pure; runs in workers. It refuses what it
 * cannot understand and never guesses: a rating under the wrong index is worse than a failed job.
 */
#include "queue/job.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "lib/json_strict.h"

#define DEFAULT_BATCH_SIZE 5
#define OWN_SPEAKERS_CAP 20
#define BLANKS " \t\r\n"
#define NOTICE_CAP_BYTES 1000
#define QUOTE_CAP_BYTES 40		/* of a foreign value, in an error */
#define QUOTE_SIZE (QUOTE_CAP_BYTES + sizeof("\"...\""))

#define refuse(parse, ...) err_set((parse)->err, ERR_PERMANENT, __VA_ARGS__)

/* Where the index of a rated line came from, to find two lines of one index. */
struct rated_index {
	int index;
	size_t entry;
};

/* One run of job_parse(). */
struct parse {
	struct job *job;
	const struct speakers *speakers;
	struct speakers own;		/* of the job itself: ratedSpeakers */
	unsigned sides, sides_rated;	/* bits: speakers of sides[] with text, and those rated */
	struct json_object *data;
	struct rated_index *rated;	/* job->nrated of them */
	const char *array;		/* the key of its entries */
	bool optional;			/* it need not be there */
	struct err *err;
};

/* value as an error may show it: short and harmless. out is for its text. */
static const char *quote(struct json_object *value, char out[QUOTE_SIZE])
{
	bool string = json_object_is_type(value, json_type_string);
	char text[QUOTE_CAP_BYTES + 1];
	const char *source;
	size_t len, cut;

	if (json_object_is_type(value, json_type_object))
		return "an object";
	if (json_object_is_type(value, json_type_array))
		return "an array";
	source = json_object_get_string(value);		/* a number or a boolean as JSON text */
	if (!source)
		return "null";
	len = string ? (size_t)json_object_get_string_len(value) : strlen(source);
	cut = utf8_cut(source, len, QUOTE_CAP_BYTES);
	memcpy(text, source, cut);
	text[utf8_clean(text, cut, UTF8_BLANK_CONTROLS)] = '\0';
	snprintf(out, QUOTE_SIZE, "%s%s%s%s", string ? "\"" : "", text, cut < len ? "..." : "",
		 string ? "\"" : "");
	return out;
}

/* Copies a JSON string, cut at cap_bytes; "" for anything else. */
static const char *copy_string(struct job *job, struct json_object *value, size_t cap_bytes,
			       size_t *len)
{
	const char *text;
	char *copy;

	*len = 0;
	if (!json_object_is_type(value, json_type_string))
		return "";
	text = json_object_get_string(value);
	*len = utf8_cut(text, (size_t)json_object_get_string_len(value), cap_bytes);
	copy = arena_dup(&job->arena, text, *len);
	*len = utf8_clean(copy, *len, UTF8_KEEP_CONTROLS);
	copy[*len] = '\0';
	return copy;
}

static const char *copy_name(struct job *job, struct json_object *object, const char *key)
{
	size_t len;

	return copy_string(job, json_object_object_get(object, key), NAME_CAP_BYTES, &len);
}

/* ---- speakers ---- */

/* A speaker's name without the blanks around it. */
struct name { const char *text; size_t len; };

/* Of all that the entry says: what is cut to be shown may be blanks alone. */
static struct name speaker_of(struct json_object *entry)
{
	struct json_object *value = json_object_object_get(entry, "speaker");
	struct name name = { .text = "" };

	if (json_object_is_type(value, json_type_string))
		name.text = json_object_get_string(value);
	name.text += strspn(name.text, BLANKS);
	name.len = strlen(name.text);
	while (name.len > 0 && strchr(BLANKS, name.text[name.len - 1]))
		name.len--;
	return name;
}

/* word is in lower case. */
static bool is_word(struct name name, const char *word)
{
	return name.len > 0 && strncasecmp(name.text, word, name.len) == 0 &&
	       word[name.len] == '\0';
}

static char *lower(struct job *job, const char *text)
{
	char *copy = arena_printf(&job->arena, "%s", text);

	for (char *c = copy; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return copy;
}

/* Whose lines are rated in this session, where it says so itself; grading_submit() has it there. */
static int read_own_speakers(struct parse *p)
{
	struct json_object *value = json_object_object_get(p->data, "ratedSpeakers");
	char quoted[QUOTE_SIZE];
	char **names;
	size_t n;

	if (!value)
		return 0;
	n = json_object_is_type(value, json_type_array) ? json_object_array_length(value) : 0;
	if (n == 0 || n > OWN_SPEAKERS_CAP)
		return refuse(p, "ratedSpeakers is %s; it must be an array of 1 to %d names",
			      quote(value, quoted), OWN_SPEAKERS_CAP);
	names = arena_alloc(&p->job->arena, n * sizeof(*names));
	for (size_t i = 0; i < n; i++) {
		struct json_object *name = json_object_array_get_idx(value, i);

		if (!json_object_is_type(name, json_type_string))
			return refuse(p, "ratedSpeakers[%zu] is %s; it must be a string", i,
				      quote(name, quoted));
		names[i] = lower(p->job, json_object_get_string(name));
	}
	p->own = (struct speakers){ .names = names, .n = n };
	p->speakers = &p->own;
	return 0;
}

static bool is_rated(const struct parse *p, struct name name)
{
	for (size_t i = 0; i < p->speakers->n; i++)
		if (is_word(name, p->speakers->names[i]))
			return true;
	return false;
}

/*
 * Speakers of which one is the other's side, but not always the same: where an application calls
 * its customers "user", the rep is an "agent", or it is the other way round.
 */
static const char *const sides[] = { "user", "agent", "assistant", "bot", "rep" };
#define SIDES (sizeof(sides) / sizeof(sides[0]))
#define SIDE_USER 1u

static void note_side(struct parse *p, struct name name, bool rated)
{
	for (size_t i = 0; i < SIDES; i++)
		if (is_word(name, sides[i])) {
			p->sides |= 1u << i;
			p->sides_rated |= (unsigned)rated << i;
			return;
		}
}

static void list_sides(struct buf *b, unsigned which)
{
	const char *separator = "";

	for (size_t i = 0; i < SIDES; i++)
		if (which & 1u << i) {
			buf_printf(b, "%s\"%s\"", separator, sides[i]);
			separator = ", ";
		}
}

/* Says who was rated of two sides that may be taken for each other. */
static void note_who_was_rated(struct parse *p)
{
	unsigned others = p->sides & ~SIDE_USER;
	struct buf b;

	p->job->notice = NULL;
	if (!(p->sides & SIDE_USER) || !others)
		return;
	buf_init(&b, NOTICE_CAP_BYTES);
	buf_str(&b, "\"user\" stands beside ");
	list_sides(&b, others);
	buf_printf(&b, "; by %s, lines of ",
		   p->speakers == &p->own ? "ratedSpeakers" : "rater.speakers");
	if (p->sides_rated)
		list_sides(&b, p->sides_rated);
	else
		buf_str(&b, "none of them");
	buf_str(&b, " are rated");
	if (p->sides_rated && p->sides & ~p->sides_rated) {
		buf_str(&b, ", those of ");
		list_sides(&b, p->sides & ~p->sides_rated);
		buf_str(&b, " are context");
	}
	p->job->notice = arena_dup(&p->job->arena, buf_text(&b), b.len);
	buf_free(&b);
}

/* ---- entries ---- */

/* Sets *text, unless the entry has none; -1 and err when it is nothing a line can be made of. */
static int entry_text(struct parse *p, size_t at, struct json_object *entry,
		      struct json_object **text)
{
	static const char *const keys[] = { "text", "message" };
	char quoted[QUOTE_SIZE];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value = json_object_object_get(entry, keys[i]);
		size_t len;

		if (!value)
			continue;
		if (!json_object_is_type(value, json_type_string))
			return refuse(p, "%s[%zu].%s is %s; it must be a string",
				      p->array, at, keys[i], quote(value, quoted));
		len = (size_t)json_object_get_string_len(value);
		if (utf8_is_all_blank(json_object_get_string(value), len))
			continue;
		if (len > LINE_TEXT_CAP_BYTES)
			return refuse(p, "%s[%zu].%s is %zu bytes long; at most %u are "
				      "allowed", p->array, at, keys[i], len, LINE_TEXT_CAP_BYTES);
		*text = value;
		return 0;
	}
	return 0;
}

/* A number of job_data that an entry without an index needs; *number stays when it is absent. */
static int batch_number(struct parse *p, size_t at, const char *key, int64_t min, int64_t *number)
{
	struct json_object *value = json_object_object_get(p->data, key);
	char quoted[QUOTE_SIZE];

	if (!value || json_strict_integer(value, min, INT_MAX, number))
		return 0;
	return refuse(p, "%s[%zu] has no index, and %s is %s; "
		      "it must be a whole number from %lld to %d",
		      p->array, at, key, quote(value, quoted), (long long)min, INT_MAX);
}

static int stride_is_unknown(struct parse *p, size_t at, int64_t batch, int64_t size)
{
	return err_set(p->err, ERR_RETRY,
		       "%s[%zu] has no index, and how many lines a full batch of session "
		       "%s has is not known: batch %lld, with batchSize %lld, may be the last and "
		       "shorter than the others, of which none is open or was settled. Give each "
		       "line an index, or set the session's grading_sessions.stride, and retry it",
		       p->array, at, p->job->session_id, (long long)batch, (long long)size);
}

/*
 * Lines in a full batch of the session. Applications say how many are in this one, of which the
 * last one has fewer: so the largest counts that any job of the session has. A batch before the
 * last is full.
 */
static int find_stride(struct parse *p, size_t at, int64_t batch, int64_t *stride)
{
	int64_t size = DEFAULT_BATCH_SIZE, known = p->job->known_stride;
	bool is_full = batch + 1 < p->job->total_batches ||
		       !json_object_object_get(p->data, "batchSize");

	if (batch_number(p, at, "batchSize", 1, &size) == -1)
		return -1;
	if (batch > 0 && !is_full && known == 0)
		return stride_is_unknown(p, at, batch, size);
	*stride = size > known ? size : known;
	return 0;
}

static int index_from_batch(struct parse *p, size_t at, int *index)
{
	int64_t batch = 0, stride = 0, sum;

	if (p->optional) {	/* it is no batch, and begins at the first line */
		*index = (int)at;
		return 0;
	}
	if (batch_number(p, at, "batchIndex", 0, &batch) == -1 ||
	    find_stride(p, at, batch, &stride) == -1)
		return -1;
	sum = batch * stride + (int64_t)at;	/* both at most INT_MAX: no overflow */
	if (sum > INT_MAX)
		return refuse(p, "%s[%zu] has no index, and batchIndex %lld times "
			      "batchSize %lld is too large for one",
			      p->array, at, (long long)batch, (long long)stride);
	p->job->stride = (int)stride;
	*index = (int)sum;
	return 0;
}

static int entry_index(struct parse *p, size_t at, struct json_object *entry, int *index)
{
	static const char *const keys[] = { "index", "line_number" };
	char quoted[QUOTE_SIZE];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value = json_object_object_get(entry, keys[i]);
		int64_t number;

		if (!value)
			continue;
		if (!json_strict_digits(value, 0, INT_MAX, &number))
			return refuse(p, "%s[%zu].%s is %s; "
				      "it must be a whole number from 0 to %d",
				      p->array, at, keys[i], quote(value, quoted), INT_MAX);
		*index = (int)number;
		return 0;
	}
	return index_from_batch(p, at, index);
}

static int add_entry(struct parse *p, size_t at, struct json_object *entry)
{
	struct job *job = p->job;
	struct line *line = &job->lines[job->nlines];
	struct json_object *text = NULL;
	char quoted[QUOTE_SIZE];
	struct name name;

	if (!json_object_is_type(entry, json_type_object))
		return refuse(p, "%s[%zu] is %s; it must be an object with speaker, text "
			      "and index", p->array, at, quote(entry, quoted));
	line->speaker = copy_name(job, entry, "speaker");
	name = speaker_of(entry);
	line->rated = is_rated(p, name);
	if (entry_text(p, at, entry, &text) == -1)
		return -1;
	if (!text) {
		job->skipped += line->rated;
		return 0;
	}
	if (entry_index(p, at, entry, &line->index) == -1)
		return -1;
	line->text = copy_string(job, text, LINE_TEXT_CAP_BYTES, &line->text_len);
	note_side(p, name, line->rated);
	if (line->rated)
		p->rated[job->nrated++] = (struct rated_index){ line->index, at };
	job->nlines++;
	return 0;
}

static int compare_rated(const void *left, const void *right)
{
	const struct rated_index *a = left, *b = right;

	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* Two ratings of one index would fight for one row of line_ratings. */
static int check_indexes_differ(struct parse *p)
{
	struct rated_index *r = p->rated;
	size_t n = p->job->nrated;

	if (n)
		qsort(r, n, sizeof(*r), compare_rated);
	for (size_t i = 1; i < n; i++)
		if (r[i - 1].index == r[i].index)
			return refuse(p, "%s[%zu] and %s[%zu] both have "
				      "index %d; each rated line needs an index of its own",
				      p->array, r[i - 1].entry, p->array, r[i].entry, r[i].index);
	return 0;
}

static int read_transcript(struct parse *p, struct json_object *transcript)
{
	size_t n = json_object_array_length(transcript);

	if (n > JOB_LINES_CAP)
		return refuse(p, "transcript has %zu entries; a job may have at most %d",
			      n, JOB_LINES_CAP);
	p->job->lines = arena_alloc(&p->job->arena, n * sizeof(struct line));
	p->rated = arena_alloc(&p->job->arena, n * sizeof(struct rated_index));
	for (size_t i = 0; i < n; i++)
		if (add_entry(p, i, json_object_array_get_idx(transcript, i)) == -1)
			return -1;
	note_who_was_rated(p);
	return check_indexes_differ(p);
}

static int read_data(struct parse *p)
{
	struct job *job = p->job;
	struct json_object *transcript, *batches, *batch;
	char quoted[QUOTE_SIZE];
	int64_t total, index;

	if (!json_object_is_type(p->data, json_type_object))
		return refuse(p, "job_data is %s; it must be an object with an array transcript",
			      quote(p->data, quoted));
	if (!json_object_object_get_ex(p->data, p->array, &transcript) && !p->optional)
		return refuse(p, "job_data has no transcript; it must be an array");
	if (!json_object_is_type(transcript, json_type_array) && (transcript || !p->optional))
		return refuse(p, "%s is %s; it must be an array", p->array, quote(transcript, quoted));
	job->sales_rep = copy_name(job, p->data, "salesRepName");
	job->customer = copy_name(job, p->data, "customerName");
	batches = json_object_object_get(p->data, "totalBatches");
	if (json_strict_integer(batches, 1, INT_MAX, &total))
		job->total_batches = (int)total;
	batch = json_object_object_get(p->data, "batchIndex");
	if (json_strict_integer(batch, 0, INT_MAX, &index))
		job->batch_index = (int)index;
	if (read_own_speakers(p) == -1)
		return -1;
	return transcript ? read_transcript(p, transcript) : 0;
}

static void forget_lines(struct job *job)
{
	job->lines = NULL;
	job->nlines = job->nrated = job->skipped = 0;
	job->stride = 0;
	job->notice = NULL;
}

static int parse_data(struct parse *p, const char *job_data, size_t len)
{
	struct job *job = p->job;
	const char *why;
	int result;

	job->sales_rep = job->customer = "";
	job->batch_index = -1;
	job->total_batches = 0;
	forget_lines(job);
	if (len > JOB_DATA_CAP_BYTES)
		return refuse(p, "job_data is %zu bytes long; at most %u are allowed",
			      len, JOB_DATA_CAP_BYTES);
	if (json_strict_parse(job_data, len, &p->data, &why) == -1)
		return refuse(p, "job_data is not JSON: %s", why);
	result = read_data(p);
	json_object_put(p->data);
	if (result == -1)
		forget_lines(job);
	return result;
}

int job_parse(struct job *job, const struct speakers *rated, const char *job_data, size_t len,
	      struct err *err)
{
	struct parse p = { .job = job, .speakers = rated, .array = "transcript", .err = err };

	return parse_data(&p, job_data, len);
}

int job_parse_conversation(struct job *job, const struct speakers *rated, const char *job_data,
			   size_t len, struct err *err)
{
	struct parse p = { .job = job, .speakers = rated, .array = "conversation",
			   .optional = true, .err = err };

	return parse_data(&p, job_data, len);
}
