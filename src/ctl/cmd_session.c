/*
 * gradingctl progress and ratings: one session, as grading_progress() and grading_ratings() tell
 * it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "csv.h"
#include "ctl/cmd.h"
#include "lib/json_strict.h"
#include "lib/uuid5.h"
#include "options.h"
#include "overall.h"
#include "pg/pgsync.h"
#include "rows.h"

#define LISTING_CAP_BYTES (64 << 20)
#define BAR_WIDTH 32
#define TEXT_INDENT 7
#define FAILURES_SHOWN 3

/* ---- asking ---- */

/* $1 is the session's uuid, $2, where the statement has one, a number. */
static PGresult *ask(PGconn *conn, const char *sql, const char *id, const int64_t *number,
		     struct err *err)
{
	char session[UUID_SIZE], digits[24];

	uuid5_from_id(id, session);
	snprintf(digits, sizeof(digits), "%" PRId64, number ? *number : 0);
	return pgsync_query(conn, sql, number ? 2 : 1, (const char *const[]){ session, digits },
			    err);
}

/* One more than is shown, so that it is known whether there are more. */
static const char failures_sql[] =
	"SELECT CASE WHEN job_type::text = 'full_grading'"
	"    AND (job_data ? 'transcript'::text) IS NOT TRUE THEN 'its grading as a whole'"
	"    ELSE 'batch ' || coalesce(job_data ->> 'batchIndex'::text, '?') END,"
	"  coalesce(error, 'no reason given'),"
	"  status::text = 'failed', bool_or(status::text = 'failed') OVER () FROM grading_jobs"
	" WHERE (status::text = 'failed' OR status::text = 'completed' AND error IS NOT NULL)"
	"   AND session_id = $1::uuid"
	" ORDER BY status DESC, coalesce(failed_at, completed_at) LIMIT $2::int";

/*
 * Why batches failed or lack ratings, and what to do. A role that may not read jobs is told
 * nothing.
 */
static void tell_failures(struct ctl *ctl, PGconn *conn, const char *id)
{
	const int64_t limit = FAILURES_SHOWN + 1;
	struct err ignored;
	PGresult *result = ask(conn, failures_sql, id, &limit, &ignored);
	int n = PQntuples(result);
	bool incomplete = false;

	for (int i = 0; i < n && i < FAILURES_SHOWN; i++) {
		bool failed = PQgetvalue(result, i, 2)[0] == 't';

		incomplete |= !failed;
		ctl_complain(ctl, "%s %s: %s", PQgetvalue(result, i, 0),
			     failed ? "failed" : "is incomplete", PQgetvalue(result, i, 1));
	}
	if (n > 0)
		ctl_complain(ctl, "%s`gradingctl retry %s%.100s` puts %s back into the queue",
			     n > FAILURES_SHOWN ? "and more; " : "",
			     incomplete ? "--incomplete " : "", id,
			     incomplete ? "them" : "failed jobs");
	PQclear(result);
}

static void tell_whole(struct ctl *ctl, PGconn *conn, const char *id)
{
	char session[UUID_SIZE];

	uuid5_from_id(id, session);
	overall_print(&ctl->out, conn, session);
}

/* ---- progress ---- */

enum {
	STATUS, BATCHES_DONE, BATCHES_FAILED, BATCHES, LINES_DONE, LINES, PERCENT, ETA_MS, FIRST_MS,
	ELAPSED_MS, UUID, LINES_FAILED
};

static const char progress_sql[] =
	"SELECT status, batches_done, batches_failed, batches_total, lines_done, lines_total,"
	"       percent, (eta_seconds * 1000::numeric)::bigint,"
	"       (extract(epoch FROM first_rated_at - started_at) * 1000::numeric)::bigint,"
	"       (extract(epoch FROM coalesce(completed_at, clock_timestamp()) - started_at)"
	"         * 1000::numeric)::bigint, $1::uuid, lines_failed"
	" FROM grading_progress($1::uuid)";

static const char progress_json_sql[] =
	"SELECT pg_catalog.row_to_json(t) FROM (SELECT $1::uuid AS session_id, p.*,"
	"  grading_whole($1::uuid) AS grading FROM grading_progress($1::uuid) p) t";

static enum term_style status_style(const char *status)
{
	static const struct { const char *status; enum term_style style; } styles[] = {
		{ "completed", TERM_GREEN }, { "failed", TERM_RED }, { "processing", TERM_CYAN },
	};

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strcmp(styles[i].status, status) == 0)
			return styles[i].style;
	return TERM_YELLOW;
}

/*
 * "BEFORE1.2sAFTER" when the column has a duration. It has none of 0: what one transaction did
 * takes no time.
 */
static void print_duration(const PGresult *result, int column, const char *before,
			   const char *after)
{
	char text[32];

	if (pgsync_int(result, column) > 0)
		printf("%s%s%s", before,
		       duration_human(pgsync_int(result, column), text, sizeof(text)), after);
}

/* ", 2 WHAT" when the column says that there are any. */
static void print_failed(const struct term *out, const PGresult *result, int column,
			 const char *what)
{
	if (pgsync_int(result, column) > 0)
		printf(", %s%s %s%s", term_style(out, TERM_RED), PQgetvalue(result, 0, column),
		       what, term_style(out, TERM_PLAIN));
}

static void print_progress(const struct term *out, const PGresult *result)
{
	const char *status = PQgetvalue(result, 0, STATUS);
	bool over = strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0;
	struct buf bar;

	buf_init(&bar, 4 * BAR_WIDTH);
	term_bar(out, &bar, strtod(PQgetvalue(result, 0, PERCENT), NULL) / 100, BAR_WIDTH);
	printf("%s%-10s %s%s  %s %%", term_style(out, status_style(status)), status, buf_text(&bar),
	       term_style(out, TERM_PLAIN), PQgetvalue(result, 0, PERCENT));
	if (!over)
		print_duration(result, ETA_MS, ", about ", " left");
	printf("\n%s of %s lines rated", PQgetvalue(result, 0, LINES_DONE),
	       PQgetvalue(result, 0, LINES));
	print_failed(out, result, LINES_FAILED, "given up");
	printf(", %s of %s batches done", PQgetvalue(result, 0, BATCHES_DONE),
	       PQgetvalue(result, 0, BATCHES));
	print_failed(out, result, BATCHES_FAILED, "of them failed");
	print_duration(result, ELAPSED_MS, over ? "\ntook " : "\nrunning for ", "");
	print_duration(result, FIRST_MS, ", first rating after ", "");
	printf("\n%ssession %s%s\n", term_style(out, TERM_DIM), PQgetvalue(result, 0, UUID),
	       term_style(out, TERM_PLAIN));
	buf_free(&bar);
}

/* A form of an answer: the statement that asks for it, and what prints its rows. */
struct form {
	const char *sql;
	void (*print)(const struct term *out, const PGresult *result);
	bool for_programs;	/* the answer alone, and no word about what failed */
};

static void print_json(const struct term *out, const PGresult *result)
{
	(void)out;
	rows_print_json(result, PQntuples(result));
}

static int show(struct ctl *ctl, const char *session, const struct form *form,
		const int64_t *since)
{
	struct err err;
	PGconn *conn = ctl_database(ctl, &err);
	PGresult *result = conn ? ask(conn, form->sql, session, since, &err) : NULL;
	int status = EXIT_STOPPED;

	if (!result) {
		PQfinish(conn);
		return ctl_fail(ctl, &err);
	}
	if (PQntuples(result) == 0)
		status = ctl_unknown_session(ctl, session);
	else
		form->print(&ctl->out, result);
	if (status == EXIT_STOPPED && !form->for_programs) {
		tell_whole(ctl, conn, session);
		tell_failures(ctl, conn, session);
	}
	PQclear(result);
	PQfinish(conn);
	return status;
}

int cmd_progress(struct ctl *ctl, char **args, int n)
{
	static const struct form text = { progress_sql, print_progress, false },
				 json = { progress_json_sql, print_json, true };

	(void)n;
	return show(ctl, args[0], ctl->option[CTL_JSON] ? &json : &text, NULL);
}

/* ---- ratings ---- */

enum { LINE_INDEX, RATING, TEXT, ALTERNATIVES, REASON, CACHED, CURSOR };

/* In the order of the conversation. A row of nulls: the session is known, and nothing is rated. */
static const char ratings_sql[] =
	"SELECT r.line_index, r.rating, r.line_text, pg_catalog.to_json(r.alternatives),"
	"       r.reason, r.cached,"
	"       max(r.cursor) OVER () FROM grading_progress($1::uuid) p"
	" LEFT JOIN grading_ratings($1::uuid, $2::bigint) r ON true ORDER BY r.line_index";

static const char ratings_json_sql[] =
	"SELECT pg_catalog.row_to_json(r) FROM grading_progress($1::uuid) p"
	" LEFT JOIN grading_ratings($1::uuid, $2::bigint) r ON true ORDER BY r.cursor";

/* Scales are configuration; those of other names are shown in bold. */
static enum term_style rating_style(const char *rating)
{
	static const struct { const char *rating; enum term_style style; } styles[] = {
		{ "excellent", TERM_GREEN }, { "good", TERM_CYAN }, { "poor", TERM_YELLOW },
		{ "missed_opportunity", TERM_RED },
	};

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strcmp(styles[i].rating, rating) == 0)
			return styles[i].style;
	return TERM_BOLD;
}

static void add_paragraph(const struct term *out, struct buf *page, const char *mark,
			  const char *text)
{
	buf_printf(page, "%*s%s", TEXT_INDENT, "", mark);
	term_wrap(out, page, text, TEXT_INDENT + (int)strlen(mark));
	buf_char(page, '\n');
}

static void add_alternatives(const struct term *out, struct buf *page, const char *json)
{
	struct json_object *alternatives;
	const char *why;

	if (json_strict_parse(json, strlen(json), &alternatives, &why) == -1)
		return;
	if (json_object_is_type(alternatives, json_type_array))
		for (size_t i = 0; i < json_object_array_length(alternatives); i++)
			add_paragraph(out, page, "- ", json_object_get_string(
				json_object_array_get_idx(alternatives, i)));
	json_object_put(alternatives);
}

static void add_rating(const struct term *out, struct buf *page, const PGresult *result, int row)
{
	const char *rating = PQgetvalue(result, row, RATING);

	buf_printf(page, "%*s  %s", TEXT_INDENT - 2, PQgetvalue(result, row, LINE_INDEX),
		   term_style(out, rating_style(rating)));
	term_escape(page, rating);
	buf_printf(page, "%s%s\n", term_style(out, TERM_PLAIN),
		   PQgetvalue(result, row, CACHED)[0] == 't' ? " (cached)" : "");
	add_paragraph(out, page, "", PQgetvalue(result, row, TEXT));
	buf_str(page, term_style(out, TERM_DIM));
	add_alternatives(out, page, PQgetvalue(result, row, ALTERNATIVES));
	if (PQgetvalue(result, row, REASON)[0])
		add_paragraph(out, page, "because: ", PQgetvalue(result, row, REASON));
	buf_str(page, term_style(out, TERM_PLAIN));
}

static void print_ratings(const struct term *out, const PGresult *result)
{
	int rows = PQgetisnull(result, 0, LINE_INDEX) ? 0 : PQntuples(result);
	struct buf page;

	buf_init(&page, LISTING_CAP_BYTES);
	for (int row = 0; row < rows; row++) {
		buf_reset(&page);
		add_rating(out, &page, result, row);
		fputs(buf_text(&page), stdout);
	}
	buf_free(&page);
	if (out->is_tty && rows > 0)
		printf("%s%d rating%s; --since %s shows what comes later%s\n",
		       term_style(out, TERM_DIM), rows, term_plural(rows),
		       PQgetvalue(result, 0, CURSOR), term_style(out, TERM_PLAIN));
}

/* ---- ratings, for spreadsheets ---- */

/* Columns, and whether one holds text of others; the statement has them in this order. */
static const struct { const char *name; bool text; } csv_columns[] = {
	{ "session_id", false }, { "line_index", false }, { "rating", true }, { "line_text", true },
	{ "alternatives", true }, { "reason", true }, { "cached", false }, { "rated_at", false },
	{ "rater", true }, { "model", true }, { "cursor", false },
};
#define CSV_COLUMNS (int)(sizeof(csv_columns) / sizeof(csv_columns[0]))

/* In the order of the conversation. A row without a line: nothing is rated. */
static const char ratings_csv_sql[] =
	"SELECT $1::uuid, r.line_index, r.rating, r.line_text,"
	"  pg_catalog.array_to_string(r.alternatives, E'\n'::text), r.reason,"
	"  CASE WHEN r.cached THEN 'true' ELSE 'false' END,"
	"  to_char(r.rated_at AT TIME ZONE 'UTC'::text, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'::text),"
	"  r.provenance ->> 'rater'::text, r.provenance ->> 'model'::text, r.cursor"
	" FROM grading_progress($1::uuid) p"
	" LEFT JOIN grading_ratings($1::uuid, $2::bigint) r ON true ORDER BY r.line_index";

static void add_csv_row(struct buf *page, const PGresult *result, int row)
{
	for (int column = 0; column < CSV_COLUMNS; column++) {
		const char *value = PQgetvalue(result, row, column);

		buf_str(page, column ? "," : "");
		if (csv_columns[column].text)
			csv_text(page, value);
		else
			buf_str(page, value);
	}
	buf_str(page, CSV_LINE_END);
}

static void print_csv(const struct term *out, const PGresult *result)
{
	int rows = PQgetisnull(result, 0, 1) ? 0 : PQntuples(result);
	struct buf page;

	(void)out;
	buf_init(&page, LISTING_CAP_BYTES);
	for (int column = 0; column < CSV_COLUMNS; column++)
		buf_printf(&page, "%s%s", column ? "," : "", csv_columns[column].name);
	buf_str(&page, CSV_LINE_END);
	fputs(buf_text(&page), stdout);
	for (int row = 0; row < rows; row++) {
		buf_reset(&page);
		add_csv_row(&page, result, row);
		fputs(buf_text(&page), stdout);
	}
	buf_free(&page);
}

int cmd_ratings(struct ctl *ctl, char **args, int n)
{
	static const struct form text = { ratings_sql, print_ratings, false },
				 json = { ratings_json_sql, print_json, true },
				 csv = { ratings_csv_sql, print_csv, true };
	const char *cursor = ctl->text[CTL_SINCE];
	int64_t since = 0;

	(void)n;
	if (ctl->option[CTL_CSV] && ctl->option[CTL_JSON]) {
		ctl_complain(ctl, "--csv or --json, not both");
		return EXIT_FAILED;
	}
	if (cursor && options_number(CTL_SINCE, cursor, 0, INT64_MAX, &since) == -1)
		return EXIT_FAILED;
	return show(ctl, args[0],
		    ctl->option[CTL_CSV] ? &csv : ctl->option[CTL_JSON] ? &json : &text, &since);
}
