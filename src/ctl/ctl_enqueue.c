/*
 * gradingctl enqueue: transcripts from files into the queue by grading_enqueue(), a batch of them in
 * one statement. When a batch is refused its transcripts are sent one by one, so that a bad one harms
 * no other.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "ctl/ctl.h"
#include "pg/pgarray.h"
#include "pg/pgsync.h"
#include "ctl_wait.h"
#include "transcripts.h"

#define BATCH 100
#define BATCH_BYTES (8 << 20)		/* sent when it holds so much, so at most this and one transcript */
#define LITERAL_CAP_BYTES (128 << 20)	/* an array literal: each quote and backslash takes two */
#define COMPLAINTS 20			/* bad transcripts that are told one by one */

struct item {
	char session[UUID_SIZE];
	const char *text;
	const char *file;		/* with line: where it came from, for messages */
	unsigned long line;
};

/* How a session is called by whoever waits for it. */
struct name {
	char session[UUID_SIZE], id[TRANSCRIPT_ID_SHOWN];
};

struct enqueue {
	struct ctl *ctl;
	PGconn *conn;
	struct arena arena;		/* the batch's texts */
	struct item items[BATCH];
	size_t n, bytes;
	struct buf sessions;		/* uuid[] of all that are in the queue now, for --wait; with names */
	struct name *names;
	size_t nnames, names_room;
	struct buf notices;		/* of the statement that is running, a line each */
	int64_t noticed;
	int64_t made, present, refused, jobs, lines;
	int64_t began_ms;
};

static const char enqueue_sql[] =
	"WITH asked AS MATERIALIZED ("
	"  SELECT a.session, a.record, a.record -> 'transcript' AS transcript,"
	"         EXISTS (SELECT FROM grading_sessions s WHERE s.session_id = a.session) AS known"
	"  FROM unnest($1::uuid[], $2::jsonb[]) AS a(session, record)),"
	" answered AS MATERIALIZED ("
	"  SELECT session, known, transcript, grading_enqueue(session, transcript, record ->> 'salesRepName',"
	"         record ->> 'customerName', $3::int, $4::int) AS jobs FROM asked),"
	/* No jobs: it was there, in the table or in this very batch; or there is nothing in it. */
	" counted AS ("
	"  SELECT session, jobs, jobs > 0 OR (transcript = '[]' AND NOT known) AS made FROM answered)"
	" SELECT count(*) FILTER (WHERE made), sum(jobs),"
	"        coalesce(array_agg(session) FILTER (WHERE made), '{}') FROM counted";

static const char lines_sql[] =
	"SELECT coalesce(sum(total_lines), 0) FROM grading_sessions WHERE session_id = ANY ($1::uuid[])";

/* ---- notices ---- */

/* grading_enqueue() says so when it finds nothing to rate. */
static void on_notice(void *arg, const PGresult *result)
{
	struct enqueue *e = arg;
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (message) {
		term_escape(&e->notices, message);
		buf_char(&e->notices, '\n');
	}
}

/* The notice names the session: where it came from says more. */
static const struct item *item_of(const struct item *items, size_t n, const char *notice, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (memmem(notice, len, items[i].session, strlen(items[i].session)))
			return &items[i];
	return NULL;
}

static void tell_notices(struct enqueue *e, const struct item *items, size_t n)
{
	const char *p = buf_text(&e->notices);

	for (size_t len; *p; p += len + 1) {
		const struct item *item;

		len = strcspn(p, "\n");
		item = item_of(items, n, p, len);
		if (e->noticed++ >= COMPLAINTS)
			continue;
		if (item)
			ctl_complain(e->ctl, "%s:%lu: %.*s", item->file, item->line, (int)len, p);
		else
			ctl_complain(e->ctl, "%.*s", (int)len, p);
	}
}

/* ---- sending ---- */

static void pack(const struct item *items, size_t n, struct buf *sessions, struct buf *records)
{
	buf_init(sessions, LITERAL_CAP_BYTES);
	buf_init(records, LITERAL_CAP_BYTES);
	pgarray_begin(sessions);
	pgarray_begin(records);
	for (size_t i = 0; i < n; i++) {
		pgarray_text(sessions, items[i].session);
		pgarray_text(records, items[i].text);
	}
	pgarray_end(sessions);
	pgarray_end(records);
}

/* What the statement made is asked in a second one, which sees it. */
static int count(struct enqueue *e, size_t n, const PGresult *result, struct err *err)
{
	const char *values[] = { PQgetvalue(result, 0, 2) };
	PGresult *lines = pgsync_query(e->conn, lines_sql, 1, values, err);

	if (!lines)
		return -1;
	e->made += pgsync_int(result, 0);
	e->present += (int64_t)n - pgsync_int(result, 0);
	e->jobs += pgsync_int(result, 1);
	e->lines += pgsync_int(lines, 0);
	PQclear(lines);
	return 0;
}

/* All of them or none. */
static int send_items(struct enqueue *e, const struct item *items, size_t n, struct err *err)
{
	char batch_size[24], priority[24];
	struct buf sessions, records;
	PGresult *result = NULL;
	int outcome = -1;

	buf_reset(&e->notices);
	pack(items, n, &sessions, &records);
	snprintf(batch_size, sizeof(batch_size), "%" PRId64, e->ctl->option[CTL_BATCH_SIZE]);
	snprintf(priority, sizeof(priority), "%" PRId64, e->ctl->option[CTL_PRIORITY]);
	if (buf_ok(&sessions) && buf_ok(&records))
		result = pgsync_query(e->conn, enqueue_sql, 4, (const char *const[]){ sessions.data,
				      records.data, batch_size, priority }, err);
	else
		err_set(err, ERR_RETRY, "out of memory");
	if (result)
		outcome = count(e, n, result, err);
	if (outcome == 0)
		tell_notices(e, items, n);	/* else they come once more */
	PQclear(result);
	buf_free(&sessions);
	buf_free(&records);
	if (outcome == 0 && e->ctl->option[CTL_WAIT])
		for (size_t i = 0; i < n; i++)
			pgarray_text(&e->sessions, items[i].session);
	return outcome;
}

/* Away, or not fit for any transcript: there is no point in going on. */
static bool is_fatal(const struct err *err)
{
	return err->kind == ERR_LOST || err->kind == ERR_CONFIG;
}

static void refuse(struct enqueue *e, const char *text)
{
	if (e->refused++ < COMPLAINTS)
		ctl_complain(e->ctl, "%s", text);
}

static int send_one_by_one(struct enqueue *e, struct err *err)
{
	struct err refusal;

	for (size_t i = 0; i < e->n; i++) {
		if (send_items(e, &e->items[i], 1, err) == 0)
			continue;
		if (is_fatal(err))
			return -1;
		err_set(&refusal, ERR_PERMANENT, "%s:%lu: %s", e->items[i].file, e->items[i].line, err->text);
		refuse(e, refusal.text);
	}
	return 0;
}

static int send_batch(struct enqueue *e, struct err *err)
{
	int outcome = e->n ? send_items(e, e->items, e->n, err) : 0;

	if (outcome == -1 && !is_fatal(err))
		outcome = send_one_by_one(e, err);
	arena_free(&e->arena);
	e->n = e->bytes = 0;
	return outcome;
}

/* ---- reading ---- */

static void keep_name(struct enqueue *e, const struct transcript *t)
{
	if (e->nnames == e->names_room) {
		e->names_room = e->names_room ? e->names_room * 2 : BATCH;
		e->names = xrealloc(e->names, e->names_room * sizeof(*e->names));
	}
	memcpy(e->names[e->nnames].session, t->session, sizeof(t->session));
	memcpy(e->names[e->nnames++].id, t->id, sizeof(t->id));
}

static const char *name_of(const void *arg, const char *session)
{
	const struct enqueue *e = arg;

	for (size_t i = 0; i < e->nnames; i++)
		if (strcmp(e->names[i].session, session) == 0)
			return e->names[i].id;
	return session;
}

static int add(struct enqueue *e, const char *file, const struct transcript *t, struct err *err)
{
	struct item *item = &e->items[e->n++];

	memcpy(item->session, t->session, sizeof(item->session));
	item->text = arena_dup(&e->arena, t->text, t->len);
	item->file = file;
	item->line = t->line;
	if (e->ctl->option[CTL_WAIT])
		keep_name(e, t);
	e->bytes += t->len;
	return e->n == BATCH || e->bytes >= BATCH_BYTES ? send_batch(e, err) : 0;
}

static void show(struct enqueue *e, const struct transcripts *file)
{
	char text[80];

	snprintf(text, sizeof(text), "%" PRId64 " sessions, %" PRId64 " lines", e->made + e->present,
		 e->lines);
	if (e->made + e->present > 0)
		term_live(&e->ctl->err, transcripts_fraction(file), text, false);
}

static int enqueue_file(struct enqueue *e, const char *path, struct err *err)
{
	struct transcripts *file = transcripts_open(path, err);
	struct transcript transcript;
	int found, outcome = 0;

	if (!file) {
		refuse(e, err->text);	/* the other files are not to blame */
		return 0;
	}
	while (outcome == 0 && (found = transcripts_next(file, &transcript, err)) != 0) {
		if (found == 1)
			outcome = add(e, transcripts_name(file), &transcript, err);
		else
			refuse(e, err->text);
		if (found == -1 && err->kind == ERR_LOST)
			break;
		show(e, file);
	}
	transcripts_close(file);
	return outcome;
}

static int enqueue_files(struct enqueue *e, char **paths, int n, struct err *err)
{
	for (int i = 0; i < n; i++)
		if (enqueue_file(e, paths[i], err) == -1)
			return -1;
	return send_batch(e, err);
}

/* ---- saying ---- */

static void print_result(const struct enqueue *e)
{
	printf("enqueued %" PRId64 " session%s: %" PRId64 " job%s, %" PRId64 " line%s to rate", e->made,
	       term_plural(e->made), e->jobs, term_plural(e->jobs), e->lines, term_plural(e->lines));
	if (e->present)
		printf("; %" PRId64 " %s already there", e->present,
		       e->present == 1 ? "session was" : "sessions were");
	if (e->refused)
		printf("; %" PRId64 " refused", e->refused);
	printf("\n");
	fflush(stdout);
}

static void print_json(const struct enqueue *e, const struct wait_result *waited)
{
	printf("{\"sessions\": %" PRId64 ", \"jobs\": %" PRId64 ", \"lines\": %" PRId64
	       ", \"present\": %" PRId64 ", \"refused\": %" PRId64, e->made, e->jobs, e->lines, e->present,
	       e->refused);
	if (e->ctl->option[CTL_WAIT])
		printf(", \"completed\": %" PRId64 ", \"failed\": %" PRId64 ", \"rated_lines\": %" PRId64,
		       waited->completed, waited->failed, waited->rated_lines);
	printf("}\n");
}

/* outcome: of enqueueing, -1 with err when it was broken off. */
static int finish(struct enqueue *e, int outcome, const struct err *err)
{
	bool json = e->ctl->option[CTL_JSON];
	struct wait_result waited = { 0 };
	int status = outcome == -1 ? ctl_fail(e->ctl, err) : EXIT_STOPPED;

	term_live_clear(&e->ctl->err);
	if (e->refused > COMPLAINTS)
		ctl_complain(e->ctl, "and %" PRId64 " more that were refused", e->refused - COMPLAINTS);
	if (e->noticed > COMPLAINTS)
		ctl_complain(e->ctl, "and %" PRId64 " more with lines that are not rated", e->noticed - COMPLAINTS);
	if (!json)
		print_result(e);
	pgarray_end(&e->sessions);
	if (!buf_ok(&e->sessions)) {
		ctl_complain(e->ctl, "these are too many sessions to wait for");
		status = EXIT_FAILED;
	}
	if (status == EXIT_STOPPED && e->ctl->option[CTL_WAIT])
		status = wait_for_sessions(e->ctl, e->conn, &(struct wait_for){ buf_text(&e->sessions), name_of, e,
					   e->present ? 0 : e->began_ms }, &waited);
	if (json)
		print_json(e, &waited);
	return status == EXIT_STOPPED && e->refused ? EXIT_FAILED : status;
}

int ctl_enqueue(struct ctl *ctl, char **args, int n)
{
	struct enqueue e = { .ctl = ctl, .began_ms = now_ms() };
	struct err err;
	int status;

	e.conn = ctl_database(ctl, &err);
	if (!e.conn)
		return ctl_fail(ctl, &err);
	PQsetNoticeReceiver(e.conn, on_notice, &e);
	buf_init(&e.sessions, LITERAL_CAP_BYTES);
	buf_init(&e.notices, LITERAL_CAP_BYTES);
	pgarray_begin(&e.sessions);
	status = finish(&e, enqueue_files(&e, args, n, &err), &err);
	buf_free(&e.sessions);
	buf_free(&e.notices);
	free(e.names);
	PQfinish(e.conn);
	return status;
}
