/*
 * gradingctl progress and ratings: the session's grade as a whole below the rest. What stands in it
 * may come from a model, so it is shown escaped.
 */
#include "overall.h"

#include <string.h>

#include "base/buf.h"
#include "lib/json_strict.h"
#include "pg/pgsync.h"

#define PAGE_CAP_BYTES (1 << 20)
#define INDENT 7

static const char whole_sql[] = "SELECT grading_whole($1::uuid)";

static void add_text(const struct term *out, struct buf *page, const char *mark,
		     struct json_object *text)
{
	if (!json_object_is_type(text, json_type_string))
		return;
	buf_printf(page, "%*s%s", INDENT, "", mark);
	term_wrap(out, page, json_object_get_string(text), INDENT + (int)strlen(mark));
	buf_char(page, '\n');
}

static void add_points(const struct term *out, struct buf *page, const char *mark,
		       struct json_object *points)
{
	if (!json_object_is_type(points, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(points); i++)
		add_text(out, page, mark, json_object_array_get_idx(points, i));
}

/* "good 50 %, poor 50 %" */
static void add_shares(struct buf *page, struct json_object *ratings)
{
	const char *separator = "";

	if (!json_object_is_type(ratings, json_type_object))
		return;
	buf_printf(page, "%*s", INDENT, "");
	json_object_object_foreach(ratings, rating, share) {
		double part = json_object_get_double(json_object_object_get(share, "share"));

		if (part <= 0)
			continue;
		buf_str(page, separator);
		term_escape(page, rating);
		buf_printf(page, " %.0f %%", part * 100);
		separator = ", ";
	}
	buf_char(page, '\n');
}

static bool is_true(struct json_object *value)
{
	return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

static void add_grade(const struct term *out, struct buf *page, struct json_object *grade)
{
	buf_printf(page, "%soverall %d of 100%s%s%s\n", term_style(out, TERM_BOLD),
		   json_object_get_int(json_object_object_get(grade, "score")),
		   term_style(out, TERM_PLAIN),
		   is_true(json_object_object_get(grade, "cached")) ? " (cached)" : "",
		   is_true(json_object_object_get(grade, "stale"))
			? ", before the latest ratings" : "");
	add_text(out, page, "", json_object_object_get(grade, "summary"));
	add_shares(page, json_object_object_get(grade, "ratings"));
	add_points(out, page, "+ ", json_object_object_get(grade, "strengths"));
	add_points(out, page, "- ", json_object_object_get(grade, "improvements"));
}

void overall_print(const struct term *out, PGconn *conn, const char *session)
{
	struct err ignored;
	PGresult *result = pgsync_query(conn, whole_sql, 1, (const char *const[]){ session },
					&ignored);
	struct json_object *grade = NULL;
	const char *text, *why;
	struct buf page;

	if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0)) {
		text = PQgetvalue(result, 0, 0);
		if (json_strict_parse(text, strlen(text), &grade, &why) == -1)
			grade = NULL;
	}
	if (json_object_is_type(grade, json_type_object)) {
		buf_init(&page, PAGE_CAP_BYTES);
		add_grade(out, &page, grade);
		fputs(buf_text(&page), stdout);
		buf_free(&page);
	}
	json_object_put(grade);
	PQclear(result);
}
