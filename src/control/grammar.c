/*
 * Finding the command that a request line means. Supervisor, and gradingctl for its help; it never
 * trusts the line, touches no pool and knows no handler.
 */
#include "control/grammar.h"

#include <stdio.h>
#include <string.h>

#define X(id, words, args, min, max, access, help) { words, args, min, max, ACCESS_##access, help },
const struct grammar_row grammar[COMMAND_COUNT] = { CONTROL_COMMANDS(X) };
#undef X

/* ---- help ---- */

const char *grammar_usage(enum control_command command, char *out)
{
	const struct grammar_row *row = &grammar[command];

	snprintf(out, GRAMMAR_USAGE_SIZE, "%s%s%s%s", row->words, row->args[0] ? " " : "",
		 row->args, row->access == ACCESS_READ ? " [json]" : "");
	return out;
}

void grammar_help(struct buf *out)
{
	char usage[GRAMMAR_USAGE_SIZE];

	for (int i = 0; i < COMMAND_COUNT; i++)
		if (grammar[i].help)
			buf_printf(out, "%-24s%s\n", grammar_usage((enum control_command)i, usage),
				   grammar[i].help);
}

/* ---- finding a row ---- */

/* Rows that agree in all words looked at so far. */
struct span { int first, end; };

struct word { const char *text; size_t len; };	/* len 0: the row has no such word */

static struct word word_at(int row, int depth)
{
	const char *p = grammar[row].words;

	while (depth-- > 0) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	return (struct word){ p, strcspn(p, " ") };
}

static bool word_equal(struct word a, struct word b)
{
	return a.len == b.len && strncmp(a.text, b.text, a.len) == 0;
}

/* What could be said in this place, to tell whoever said something else. */
static void list_words(struct span span, int depth, const char *typed, char *out, size_t size)
{
	struct word last = { "", 0 };
	size_t n = 0;

	out[0] = '\0';
	for (int i = span.first; i < span.end && n < size; i++) {
		struct word w = word_at(i, depth);

		if (!grammar[i].help || word_equal(w, last) ||
		    strncmp(w.text, typed, strlen(typed)) != 0)
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? ", " : "", (int)w.len,
				      w.text);
		last = w;
	}
}

/*
 * Keeps the rows whose word at this depth begins as typed. Returns how many different words those
 * are.
 */
static int narrow(struct span *span, int depth, const char *typed)
{
	struct span hits = { 0, 0 };
	int different = 0;

	for (int i = span->first; i < span->end; i++) {
		struct word w = word_at(i, depth);

		if (strlen(typed) > w.len || strncmp(w.text, typed, strlen(typed)) != 0)
			continue;
		if (different == 0)
			hits.first = i;
		if (different == 0 || !word_equal(w, word_at(hits.end - 1, depth)))
			different++;
		hits.end = i + 1;
	}
	if (different == 1)
		*span = hits;
	return different;
}

/*
 * The row that n words begin with; *used: how many of them name it. -1 and err when none or several
 * do.
 */
static int find(char **words, int n, int *used, struct err *err)
{
	struct span span = { 0, COMMAND_COUNT };
	char list[256];
	int depth, different;

	for (depth = 0; word_at(span.first, depth).len > 0; depth++) {
		if (depth == n) {
			list_words(span, depth, "", list, sizeof(list));
			return err_set(err, ERR_PERMANENT, "%s what? Possible: %s",
				       n ? words[n - 1] : "do", list);
		}
		different = narrow(&span, depth, words[depth]);
		if (different != 1) {
			list_words(span, depth, different ? words[depth] : "", list, sizeof(list));
			return err_set(err, ERR_PERMANENT,
				       different ? "\"%.32s\" could be: %s"
						 : "unknown word \"%.32s\"; possible: %s",
				       words[depth], list);
		}
	}
	*used = depth;
	return span.first;
}

/* ---- reading a line ---- */

/* Cuts line, in place, at its blanks. */
static int split(char *line, char **words, struct err *err)
{
	int n = 0;
	char *rest = NULL;

	for (const unsigned char *p = (unsigned char *)line; *p; p++)
		if ((*p < ' ' && *p != '\t') || *p >= 0x7f)
			return err_set(err, ERR_PERMANENT,
				       "the request holds bytes that are no words");
	for (char *w = strtok_r(line, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest)) {
		if (n == REQUEST_WORDS_MAX)
			return err_set(err, ERR_PERMANENT, "the request has more than %d words",
				       REQUEST_WORDS_MAX);
		words[n++] = w;
	}
	return n;
}

static int check(const struct request *r, bool admin, struct err *err)
{
	const struct grammar_row *row = &grammar[r->command];
	char usage[GRAMMAR_USAGE_SIZE];

	if (row->access == ACCESS_ADMIN && !admin)
		return err_set(err, ERR_PERMANENT,
			       "\"%s\" is for root and the user gradingd runs as", row->words);
	if (r->nargs < row->min_args || r->nargs > row->max_args)
		return err_set(err, ERR_PERMANENT, "usage: %s", grammar_usage(r->command, usage));
	return 0;
}

int grammar_read(struct request *r, const char *line, bool admin, struct err *err)
{
	char *words[REQUEST_WORDS_MAX];
	int n, used = 0, row;

	if (strlen(line) >= sizeof(r->line))
		return err_set(err, ERR_PERMANENT, "the request is longer than %d bytes",
			       CONTROL_LINE_CAP);
	snprintf(r->line, sizeof(r->line), "%s", line);
	for (int i = 0; i < REQUEST_WORDS_MAX; i++)
		words[i] = r->line + strlen(r->line);
	n = split(r->line, words, err);
	if (n == -1)
		return -1;
	row = find(words, n, &used, err);
	if (row == -1)
		return -1;
	r->command = (enum control_command)row;
	r->json = grammar[row].access == ACCESS_READ && n > used &&
		strcmp(words[n - 1], "json") == 0;
	r->nargs = n - used - r->json;
	for (int i = 0; i < r->nargs; i++)
		r->args[i] = words[used + i];
	return check(r, admin, err);
}
