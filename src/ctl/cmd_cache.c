/*
 * gradingctl cache: what the phrase cache holds and how often it answers; dropping entries of a
 * phrase, model or prompt. Copies under an application's own keys (grading_phrases_known()) go with
 * their entries, and are counted nowhere.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "base/utf8.h"
#include "ctl/cmd.h"
#include "ctl/ask.h"
#include "lib/json_strict.h"
#include "pg/pgsync.h"
#include "rows.h"

#define ANSWER_CAP_BYTES (16 << 20)
#define DAY_MS (24 * 60 * 60 * INT64_C(1000))
#define PAGES 200			/* gone through in one statement: some thousand entries */
#define PROMPT_HASH_MIN 4		/* characters that are enough to name one */

/* ---- how often it answers ---- */

struct hits {
	int64_t hits;			/* lines answered by the cache */
	int64_t lines;			/* lines that were looked up */
	const char *from;		/* who counted them; NULL: nobody yet */
};

static int64_t counter(struct json_object *metrics, const char *name)
{
	int64_t n;

	return json_strict_integer(json_object_object_get(metrics, name), 0, INT64_MAX, &n) ? n : 0;
}

static void read_metrics(const char *text, struct hits *hits)
{
	struct json_object *root = NULL;
	const char *why;

	if (json_strict_parse(text, strlen(text), &root, &why) == 0 &&
	    json_object_is_type(root, json_type_object)) {
		hits->hits = counter(root, "gradingd_cache_hits_total");
		hits->lines = hits->hits + counter(root, "gradingd_cache_misses_total");
		hits->hits += counter(root, "gradingd_cache_shared_total");
		hits->from = "this host's gradingd since its start";
	}
	json_object_put(root);
}

static void ask_daemon(struct ctl *ctl, struct hits *hits)
{
	struct buf answer;
	struct err err;

	if (!ctl_may_ask_daemon(ctl))
		return;
	buf_init(&answer, ANSWER_CAP_BYTES);
	if (ctl_ask(ctl, "show metrics json", &answer, &err) == 0)
		read_metrics(buf_text(&answer), hits);
	buf_free(&answer);
}

static int ask_ratings(PGconn *conn, struct hits *hits, struct err *err)
{
	PGresult *result = pgsync_query(
		conn,
		"SELECT count(*) FILTER (WHERE cached), count(*) FROM line_ratings"
		" WHERE rated_at > now() - interval '24 hours'",
		0, NULL, err);

	if (!result)
		return -1;
	hits->hits = pgsync_int(result, 0);
	hits->lines = pgsync_int(result, 1);
	hits->from = "the ratings of the last 24 hours";
	PQclear(result);
	return 0;
}

/* ---- what it holds ---- */

#define WHEN(time) \
	"to_char(" time "::timestamptz AT TIME ZONE 'UTC'::text," \
	" 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'::text)"

#define IS_NO_COPY " (provenance OPERATOR(pg_catalog.?) 'copy'::text) IS NOT TRUE"

enum { ENTRIES, EXPIRED, BYTES, OLDEST };

static const char cache_sql[] =
	"SELECT count(*), count(*) FILTER (WHERE created_at <="
	"    now() - $1::bigint::float8 * interval '1 ms'),"
	"  pg_total_relation_size('phrase_cache'::regclass), " WHEN("min(created_at)")
	" FROM phrase_cache WHERE" IS_NO_COPY;

enum { RATER, MODEL, PROMPT, GROUP_ENTRIES, GROUP_OLDEST, GROUP_NEWEST };

static const char groups_sql[] =
	"SELECT provenance ->> 'rater'::text, provenance ->> 'model'::text,"
	"  provenance ->> 'prompt'::text, count(*), "
	WHEN("min(created_at)") ", " WHEN("max(created_at)")
	" FROM phrase_cache WHERE" IS_NO_COPY " GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3";

static struct table *total_table(const PGresult *result, const struct hits *hits)
{
	static const char *const columns[] = {
		"entries", "expired", "bytes", "oldest", "hit_percent", "looked_up", "hits_from",
		NULL
	};
	struct table *t = table_new(columns, true);

	table_row(t);
	for (int column = ENTRIES; column <= BYTES; column++)
		table_int(t, pgsync_int(result, column));
	rows_cell(t, result, 0, OLDEST, true);
	if (hits->from && hits->lines > 0)
		table_real(t, 100.0 * (double)hits->hits / (double)hits->lines, 1);
	else
		table_null(t);
	table_int(t, hits->lines);
	table_text(t, hits->from);
	return t;
}

static struct table *group_table(const PGresult *result, bool json)
{
	static const char *const columns[] = { "rater",	 "model",  "prompt", "entries",
					       "oldest", "newest", NULL };
	struct table *t = table_new(columns, false);

	for (int row = 0; row < PQntuples(result); row++) {
		table_row(t);
		for (int column = RATER; column <= PROMPT; column++)
			rows_cell(t, result, row, column, json);
		table_int(t, strtoll(PQgetvalue(result, row, GROUP_ENTRIES), NULL, 10));
		rows_cell(t, result, row, GROUP_OLDEST, json);
		rows_cell(t, result, row, GROUP_NEWEST, json);
	}
	return t;
}

static void chomp(struct buf *b)
{
	while (b->len > 0 && b->data[b->len - 1] == '\n')
		b->data[--b->len] = '\0';
}

static void print(const struct ctl *ctl, struct table *total, struct table *groups, bool json)
{
	struct buf out, clean;

	buf_init(&out, ANSWER_CAP_BYTES);
	buf_init(&clean, 6 * ANSWER_CAP_BYTES);
	buf_str(&out, json ? "{\"cache\": " : "");
	table_render(total, json, &out);
	chomp(&out);
	buf_str(&out, json ? ", \"groups\": " : "\n\n");
	table_render(groups, json, &out);
	chomp(&out);
	buf_str(&out, json ? "}" : "");
	if (json)
		term_json(&clean, buf_text(&out));
	buf_char(&out, '\n');
	if (json)
		puts(buf_text(&clean));
	else
		term_print(&ctl->out, buf_text(&out));
	buf_free(&out);
	buf_free(&clean);
}

static int show(struct ctl *ctl, PGconn *conn, struct err *err)
{
	struct hits hits = { .from = NULL };
	char ttl[24];
	PGresult *cache, *groups = NULL;

	if (!ctl->conninfo && ctl_load_config(ctl, err) == -1)
		return -1;
	snprintf(ttl, sizeof(ttl), "%" PRId64, ctl->config ? ctl->config->cache.ttl_ms : DAY_MS);
	ask_daemon(ctl, &hits);
	if (!hits.from && ask_ratings(conn, &hits, err) == -1)
		return -1;
	cache = pgsync_query(conn, cache_sql, 1, (const char *const[]){ ttl }, err);
	if (cache)
		groups = pgsync_query(conn, groups_sql, 0, NULL, err);
	if (groups) {
		struct table *total = total_table(cache, &hits),
			     *by_model = group_table(groups, ctl->option[CTL_JSON]);

		print(ctl, total, by_model, ctl->option[CTL_JSON]);
		table_free(total);
		table_free(by_model);
	}
	PQclear(cache);
	PQclear(groups);
	return groups ? 0 : -1;
}

/* ---- dropping ---- */

/*
 * Of the table's pages $1 to $2: the entries of model $3 and of a prompt whose hash begins with $4,
 * null being any. What a settlement holds this moment is newer than this and stays. By the setting
 * grading_phrases_gone() knows that the same phrases of other models are not meant.
 */
static const char drop_sql[] =
	"WITH gone AS ("
	"  DELETE FROM phrase_cache WHERE ctid = ANY(ARRAY("
	"    SELECT c.ctid FROM phrase_cache c WHERE c.ctid >="
	"        pg_catalog.format('(%s,0)', $1::bigint)::tid"
	"      AND c.ctid < pg_catalog.format('(%s,0)', $2::bigint)::tid"
	"      AND ($3::text IS NULL OR c.provenance ->> 'model'::text = $3::text)"
	"      AND ($4::text IS NULL OR starts_with(c.provenance ->> 'prompt'::text, $4::text))"
	"        FOR UPDATE SKIP LOCKED))"
	"    AND (SELECT set_config('gradingd.these_alone'::text, 'on'::text, true)) IS NOT NULL"
	"  RETURNING" IS_NO_COPY " AS entry)"
	"SELECT count(*) FILTER (WHERE entry), pg_relation_size('phrase_cache'::regclass)"
	"    / current_setting('block_size'::text)::bigint"
	"  FROM gone";

/* Each statement is a transaction of its own, so that workers are held up for an instant only. */
static int drop(struct ctl *ctl, PGconn *conn, int64_t *dropped, struct err *err)
{
	char from[24], to[24];
	const char *values[] = { from, to, ctl->text[CTL_MODEL], ctl->text[CTL_PROMPT] };
	int64_t pages = 1;

	for (int64_t page = 0; page < pages; page += PAGES) {
		PGresult *result;

		snprintf(from, sizeof(from), "%" PRId64, page);
		snprintf(to, sizeof(to), "%" PRId64, page + PAGES);
		result = pgsync_query(conn, drop_sql, 4, values, err);
		if (!result)
			return -1;
		*dropped += pgsync_int(result, 0);
		pages = pgsync_int(result, 1);
		PQclear(result);
		term_live(&ctl->err, pages > 0 ? (double)(page + PAGES) / (double)pages : 1,
			  "dropping", false);
	}
	term_live_clear(&ctl->err);
	return 0;
}

/* Under all its keys: for other customers, models and prompts, however it was written. */
static int drop_phrase(PGconn *conn, const char *phrase, int64_t *dropped, struct err *err)
{
	PGresult *result = pgsync_query(conn, "SELECT grading_drop_phrase($1::text)", 1,
					&phrase, err);

	if (!result)
		return -1;
	*dropped = pgsync_int(result, 0);
	PQclear(result);
	return 0;
}

static int run_drop(struct ctl *ctl, PGconn *conn, struct err *err)
{
	const char *phrase = ctl->text[CTL_PHRASE];
	int64_t dropped = 0;

	if ((phrase ? drop_phrase(conn, phrase, &dropped, err)
		    : drop(ctl, conn, &dropped, err)) == -1) {
		if (dropped > 0)
			ctl_complain(ctl, "%" PRId64 " entries were dropped before this", dropped);
		return -1;
	}
	if (ctl->option[CTL_JSON])
		printf("{\"dropped\": %" PRId64 "}\n", dropped);
	else
		printf("%" PRId64 " %s dropped%s\n", dropped, dropped == 1 ? "entry" : "entries",
		       dropped || ctl->option[CTL_ALL] || phrase
			       ? ""
			       : "; `gradingctl cache` lists models and prompts there are");
	return 0;
}

/* ---- the command ---- */

static bool is_hash(const char *text)
{
	size_t len = strlen(text);

	return len >= PROMPT_HASH_MIN && strspn(text, "0123456789abcdef") == len;
}

/* NULL, or what is wrong with the words and options. */
static const char *complaint(const struct ctl *ctl, char **args, int n)
{
	const char *phrase = ctl->text[CTL_PHRASE];
	bool all = ctl->option[CTL_ALL], some = ctl->text[CTL_MODEL] || ctl->text[CTL_PROMPT];

	if (n > 0 && strcmp(args[0], "drop") != 0)
		return "usage: gradingctl cache [drop --phrase TEXT | --model NAME | --prompt HASH"
		       " | --all]";
	if (n == 0)
		return all || some || phrase
			? "--phrase, --model, --prompt and --all say what to drop: gradingctl"
			  " cache drop ..."
			: NULL;
	if (all + some + (phrase != NULL) != 1)
		return "say what to drop: --phrase TEXT alone, --model NAME, --prompt HASH (both:"
		       " entries of both), or --all alone";
	if (phrase && utf8_is_all_blank(phrase, strlen(phrase)))
		return "--phrase takes what was said; this one has no character but blanks";
	if (ctl->text[CTL_PROMPT] && !is_hash(ctl->text[CTL_PROMPT]))
		return "--prompt takes a hash as `gradingctl cache` shows it, or its first "
		       "characters (4 at least)";
	return NULL;
}

int cmd_cache(struct ctl *ctl, char **args, int n)
{
	const char *wrong = complaint(ctl, args, n);
	struct err err;
	PGconn *conn;
	int rc;

	if (wrong) {
		ctl_complain(ctl, "%s", wrong);
		return EXIT_FAILED;
	}
	conn = ctl_database(ctl, &err);
	if (!conn)
		return ctl_fail(ctl, &err);
	rc = n > 0 ? run_drop(ctl, conn, &err) : show(ctl, conn, &err);
	if (rc == -1)
		ctl_name_right(conn, "gradingd_worker", &err);	/* it has texts of all sessions */
	PQfinish(conn);
	return rc == 0 ? EXIT_STOPPED : ctl_fail(ctl, &err);
}
