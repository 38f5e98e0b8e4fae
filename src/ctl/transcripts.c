/*
 * Reading transcripts, for gradingctl only. A first scan finds where a value ends, by its brackets
 * and strings alone, so that files need not fit into memory and a broken value spoils no other;
 * json_strict.c then judges each. It never looks at what is said in them.
 */
#include "transcripts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "lib/json_strict.h"

struct transcripts {
	FILE *file;
	const char *name;
	int64_t size;		/* size of the file in bytes; 0: not known */
	int64_t offset;		/* position of the next character */
	unsigned long line;	/* line of the next character, from 1 */
	bool begun;		/* something but blanks was seen */
	bool in_array;		/* the array that holds the transcripts is open */
	bool seen;		/* a '{' was seen */
	int foreign;		/* number of lines before it that begin otherwise */
	struct buf text;	/* the value under way, or the last one */
};

#define FOREIGN_MAX 3		/* so many lines of no JSON at first: another kind of file */

/* Inside a value that is not complete yet. */
struct scan {
	int depth;		/* brackets that are open */
	bool in_string;
	bool escaped;		/* a backslash came before */
};

struct transcripts *transcripts_open(const char *path, struct err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *file = is_stdin ? stdin : fopen(path, "re");
	struct transcripts *r;
	struct stat st;

	if (!file) {
		err_set(err, ERR_PERMANENT, "cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	r = xcalloc(1, sizeof(*r));
	r->file = file;
	r->name = is_stdin ? "standard input" : path;
	r->line = 1;
	if (fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode))
		r->size = st.st_size;
	buf_init(&r->text, TRANSCRIPT_CAP_BYTES);
	return r;
}

void transcripts_close(struct transcripts *r)
{
	if (r->file != stdin)
		fclose(r->file);
	buf_free(&r->text);
	free(r);
}

const char *transcripts_name(const struct transcripts *r)
{
	return r->name;
}

double transcripts_fraction(const struct transcripts *r)
{
	return r->size ? (double)r->offset / (double)r->size : 0;
}

/* ---- characters ---- */

static int next(struct transcripts *r)
{
	int c = getc_unlocked(r->file);

	r->offset++;
	if (c == '\n')
		r->line++;
	return c;
}

static void put_back(struct transcripts *r, int c)
{
	ungetc(c, r->file);
	r->offset--;
	if (c == '\n')
		r->line--;
}

static bool is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_line(struct transcripts *r)
{
	int c;

	do
		c = next(r);
	while (c != '\n' && c != EOF);
}

static int complain(const struct transcripts *r, unsigned long line, struct err *err,
		    const char *what)
{
	return err_set(err, ERR_PERMANENT, "%s:%lu: %s", r->name, line, what);
}

/* ---- where a value begins and ends ---- */

/* At the end of the file, good or bad: what next() returned was EOF. */
static int end_of_file(struct transcripts *r, struct err *err)
{
	if (ferror(r->file))
		return err_set(err, ERR_LOST, "cannot read %s: %s", r->name, strerror(errno));
	if (!r->in_array)
		return 0;
	r->in_array = false;		/* said once, then it is the end */
	return complain(r, r->line, err, "the file ends before its array does");
}

/* Editors of another world put it before UTF-8. */
static void skip_byte_order_mark(struct transcripts *r)
{
	int c = next(r);

	if (c == 0xef && next(r) == 0xbb && next(r) == 0xbf)
		return;
	put_back(r, c);
}

/*
 * Past blanks and the array's punctuation, behind the next '{': 1, 0 or -1 as transcripts_next().
 */
static int find_value(struct transcripts *r, struct err *err)
{
	char what[80];
	int c;

	if (!r->begun)
		skip_byte_order_mark(r);
	for (;;) {
		c = next(r);
		if (c == EOF)
			return end_of_file(r, err);
		if (c == '{') {
			r->begun = r->seen = true;
			return 1;
		}
		if (c == '[' && !r->begun)
			r->in_array = r->begun = true;
		else if (c == ']' && r->in_array)
			r->in_array = false;
		else if (!is_blank(c) && !(c == ',' && r->in_array))
			break;
	}
	r->begun = true;
	if (!r->seen && ++r->foreign == FOREIGN_MAX) {
		unsigned long line = r->line;

		while (next(r) != EOF)
			;
		return complain(r, line, err,
				"no line so far begins like a transcript; is this another file?");
	}
	snprintf(what, sizeof(what), c > ' ' && c < 0x7f ? "\"%c\" where a transcript should begin"
		 : "byte 0x%02x where a transcript should begin", c);
	complain(r, r->line, err, what);
	skip_line(r);
	return -1;
}

static void scan_char(struct scan *s, int c)
{
	if (s->escaped)
		s->escaped = false;
	else if (s->in_string && c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->in_string = !s->in_string;
	else if (!s->in_string)
		s->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
}

/*
 * Reads the value whose '{' was just read into r->text. In JSON lines a value that was cut off
 * would swallow all that follow. Two signs give it away: a string goes on over the end of a line,
 * or a line begins with '{' within a value whose own first line holds more than its '{' (if not, it
 * is printed without indents).
 */
static int read_value(struct transcripts *r, unsigned long first, struct err *err)
{
	struct scan scan = { .depth = 1 };
	bool compact = false;
	int c = '{', before;

	buf_reset(&r->text);
	buf_char(&r->text, '{');
	while (scan.depth > 0) {
		before = c;
		c = next(r);
		if (c == EOF)
			return ferror(r->file)
				? end_of_file(r, err)
				: complain(r, first, err,
					   "the transcript is cut off at the end of the file");
		if (c == '\n' && scan.in_string)
			return complain(r, first, err, "the transcript is cut off within a string");
		if (c == '{' && before == '\n' && compact) {
			put_back(r, c);
			return complain(r, first, err,
					"the transcript is cut off at the end of its line");
		}
		compact |= r->line == first && !is_blank(c);
		buf_char(&r->text, (char)c);
		scan_char(&scan, c);
	}
	return 0;
}

/* ---- what it must hold ---- */

static const char *check_entries(struct json_object *transcript)
{
	if (!json_object_is_type(transcript, json_type_array))
		return "it has no \"transcript\", an array of {\"speaker\", \"text\"} objects";
	for (size_t i = 0; i < json_object_array_length(transcript); i++)
		if (!json_object_is_type(json_object_array_get_idx(transcript, i),
					 json_type_object))
			return "an entry of its \"transcript\" is no object";
	return NULL;
}

static const char *check_name(struct json_object *value, const char *key, const char *complaint)
{
	struct json_object *name = json_object_object_get(value, key);

	return !name || json_object_is_type(name, json_type_string) ? NULL : complaint;
}

/* NULL, and the session's id; or what is wrong. */
static const char *check_transcript(struct json_object *value, struct transcript *out)
{
	struct json_object *id = json_object_object_get(value, "id");
	const char *why = NULL;

	if (!json_object_is_type(id, json_type_string) || json_object_get_string_len(id) == 0)
		return "it has no \"id\", a string that is not empty";
	if (strlen(json_object_get_string(id)) != (size_t)json_object_get_string_len(id))
		return "its \"id\" holds a NUL";
	why = check_name(value, "salesRepName", "its \"salesRepName\" is no string");
	if (!why)
		why = check_name(value, "customerName", "its \"customerName\" is no string");
	if (!why)
		why = check_entries(json_object_object_get(value, "transcript"));
	if (!why) {
		uuid5_from_id(json_object_get_string(id), out->session);
		snprintf(out->id, sizeof(out->id), "%s", json_object_get_string(id));
	}
	return why;
}

static int judge(struct transcripts *r, struct transcript *out, struct err *err)
{
	struct json_object *value;
	const char *why;
	char text[200];

	if (!buf_ok(&r->text)) {
		snprintf(text, sizeof(text), "the transcript is larger than %d MiB",
			 TRANSCRIPT_CAP_BYTES >> 20);
		return complain(r, out->line, err, text);
	}
	if (json_strict_parse(r->text.data, r->text.len, &value, &why) == -1) {
		snprintf(text, sizeof(text), "the transcript is not JSON: %s", why);
		if (!r->in_array)	/* rests of a broken line would be taken for more of them */
			skip_line(r);
		return complain(r, out->line, err, text);
	}
	why = check_transcript(value, out);
	json_object_put(value);
	if (why)
		return complain(r, out->line, err, why);
	out->text = r->text.data;
	out->len = r->text.len;
	return 1;
}

int transcripts_next(struct transcripts *r, struct transcript *out, struct err *err)
{
	int found = find_value(r, err);

	if (found != 1)
		return found;
	out->line = r->line;
	if (read_value(r, out->line, err) == -1)
		return -1;
	return judge(r, out, err);
}
