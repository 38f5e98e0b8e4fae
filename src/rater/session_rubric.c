/*
 * The rubric's grade of a session as a whole. Pure; runs in workers. It reads no text of a line:
 * the ratings and their reasons, whoever gave them, are all that it goes by, so the same ratings
 * always bring the same grade.
 */
#include "session_rubric.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "queue/whole.h"
#include "rater/session_verdict.h"

#define POINTS 3		/* strengths, and improvements, at most */
#define LINES_NAMED 3		/* of each */
#define SUMMARY_CAP_BYTES 4096
#define POINT_CAP_BYTES 2048

/* What several lines have in common. */
struct theme {
	const char *text;
	bool is_rating;			/* there was no reason */
	size_t n;
	int lines[LINES_NAMED];
};

/* Where a rating stands on the scale, or n. */
static size_t place_of(const struct string_list *scale, const char *rating)
{
	size_t i = 0;

	while (i < scale->n && strcmp(scale->items[i], rating) != 0)
		i++;
	return i;
}

/* In steps of which the scale has so many; the only rating of a scale of one is worth all. */
static size_t steps_of(const struct string_list *scale)
{
	return scale->n > 1 ? scale->n - 1 : 1;
}

static size_t worth_of(const struct string_list *scale, size_t place)
{
	return scale->n > 1 ? scale->n - 1 - place : 1;
}

static size_t count_at(const struct whole *whole, const struct string_list *scale, size_t place)
{
	size_t n = 0;

	for (size_t i = 0; i < whole->nlines; i++)
		n += *whole->lines[i].rating &&
		     place_of(scale, whole->lines[i].rating) == place;
	return n;
}

/* ---- themes ---- */

static void add_line(struct theme *theme, int index)
{
	if (theme->n < LINES_NAMED)
		theme->lines[theme->n] = index;
	theme->n++;
}

static int by_text(const void *left, const void *right)
{
	const struct whole_line *const *a = left, *const *b = right;
	int order = strcmp(*(*a)->reason ? (*a)->reason : (*a)->rating,
			   *(*b)->reason ? (*b)->reason : (*b)->rating);

	return order ? order : (*a)->index < (*b)->index ? -1 : 1;
}

static int by_weight(const void *left, const void *right)
{
	const struct theme *a = left, *b = right;

	if (a->n != b->n)
		return a->n > b->n ? -1 : 1;
	return a->lines[0] < b->lines[0] ? -1 : 1;
}

/* Lines of one text stand together then, in their order. */
static size_t sort_lines(const struct whole *whole, const struct string_list *scale, bool good,
			 const struct whole_line **lines)
{
	size_t n = 0;

	for (size_t i = 0; i < whole->nlines; i++) {
		size_t place = place_of(scale, whole->lines[i].rating);

		if (*whole->lines[i].rating && place < scale->n &&
		    (2 * worth_of(scale, place) >= steps_of(scale)) == good)
			lines[n++] = &whole->lines[i];
	}
	if (n > 0)
		qsort(lines, n, sizeof(*lines), by_text);
	return n;
}

/* Returns how many there are, the weightiest first. */
static size_t find_themes(const struct whole *whole, const struct string_list *scale, bool good,
			  struct theme *themes)
{
	const struct whole_line **lines = xcalloc(whole->nlines, sizeof(*lines));
	size_t nlines = sort_lines(whole, scale, good, lines), n = 0;

	for (size_t i = 0; i < nlines; i++) {
		bool is_rating = !*lines[i]->reason;
		const char *text = is_rating ? lines[i]->rating : lines[i]->reason;

		if (n == 0 || strcmp(themes[n - 1].text, text) != 0)
			themes[n++] = (struct theme){ .text = text, .is_rating = is_rating };
		add_line(&themes[n - 1], lines[i]->index);
	}
	if (n > 0)
		qsort(themes, n, sizeof(*themes), by_weight);
	free(lines);
	return n;
}

/* "asks an open question (lines 2, 4, 8 and 3 more)" */
static const char *say_theme(struct arena *arena, const struct theme *theme)
{
	const char *text;
	struct buf b;

	buf_init(&b, POINT_CAP_BYTES);
	buf_printf(&b, "%s%s%s (line%s ", theme->is_rating ? "rated \"" : "", theme->text,
		   theme->is_rating ? "\"" : "", theme->n > 1 ? "s" : "");
	for (size_t i = 0; i < theme->n && i < LINES_NAMED; i++)
		buf_printf(&b, "%s%d", i ? ", " : "", theme->lines[i]);
	if (theme->n > LINES_NAMED)
		buf_printf(&b, " and %zu more", theme->n - LINES_NAMED);
	buf_char(&b, ')');
	text = arena_dup(arena, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

static size_t say_themes(const struct ask *ask, const struct string_list *scale, bool good,
			 const char **points)
{
	const struct whole *whole = ask->job->whole;
	struct theme *themes = xcalloc(whole->nlines, sizeof(*themes));
	size_t n = find_themes(whole, scale, good, themes);

	if (n > POINTS)
		n = POINTS;
	for (size_t i = 0; i < n; i++)
		points[i] = say_theme(&ask->job->arena, &themes[i]);
	free(themes);
	return n;
}

/* ---- the grade ---- */

static const char *summarise(const struct ask *ask, const struct string_list *scale, size_t known)
{
	const struct whole *whole = ask->job->whole;
	const char *separator = ": ", *text;
	struct buf b;

	buf_init(&b, SUMMARY_CAP_BYTES);
	buf_printf(&b, "%zu line%s rated", whole->nrated, whole->nrated == 1 ? "" : "s");
	for (size_t place = 0; place < scale->n; place++) {
		size_t n = count_at(whole, scale, place);

		if (n == 0)
			continue;
		buf_printf(&b, "%s%zu %s", separator, n, scale->items[place]);
		separator = ", ";
	}
	if (known < whole->nrated)
		buf_printf(&b, "%s%zu with a rating that is not on the scale", separator,
			   whole->nrated - known);
	buf_char(&b, '.');
	if (whole->unrated > 0)
		buf_printf(&b, " Not rated, and not counted: %d line%s.", whole->unrated,
			   whole->unrated == 1 ? "" : "s");
	text = arena_dup(&ask->job->arena, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

void session_rubric_grade(struct ask *ask, const struct config *config)
{
	const struct string_list *scale = &config->rater.scale;
	const struct whole *whole = ask->job->whole;
	const char *strengths[POINTS], *improvements[POINTS];
	size_t steps = steps_of(scale), known = 0, sum = 0, nstrengths, nimprovements;

	for (size_t place = 0; place < scale->n; place++) {
		size_t n = count_at(whole, scale, place);

		known += n;
		sum += n * worth_of(scale, place);
	}
	if (known == 0) {
		ask_fail(ask, ERR_PERMANENT, "none of the session's ratings is on the scale of "
			 "rater.scale");
		return;
	}
	nstrengths = say_themes(ask, scale, true, strengths);
	nimprovements = say_themes(ask, scale, false, improvements);
	session_verdict_give(ask->verdicts, config, &ask->job->arena,
			     (int64_t)((200 * sum + steps * known) / (2 * steps * known)),
			     summarise(ask, scale, known), strengths, nstrengths, improvements,
			     nimprovements);
}
