/*
 * Sending transcripts by the batch, and what the database says to them; gradingctl enqueue alone.
 * It reads no file.
 */
#include "enqueue_batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pg/pgarray.h"
#include "pg/pgsync.h"

#define BATCH_BYTES (8 << 20)		/* sent when its texts are so long together */

static const char enqueue_sql[] =
	"WITH asked AS MATERIALIZED ("
	"  SELECT a.session, a.record,"
	"         EXISTS (SELECT FROM grading_sessions s WHERE s.session_id = a.session) AS there"
	"  FROM unnest($1::uuid[], $2::jsonb[]) AS a(session, record)),"
	" answered AS MATERIALIZED ("
	"  SELECT there, record -> 'transcript'::text = '[]'::jsonb AS empty,"
	"         grading_submit(session, record -> 'transcript'::text,"
	"           pg_catalog.jsonb_build_object("
	"           'sales_rep_name'::text, record -> 'salesRepName'::text,"
	"           'customer_name'::text, record -> 'customerName'::text,"
	"           'batch_size'::text, $3::int, 'priority'::text, $4::int)) AS told FROM asked),"
	" counted AS ("
	"  SELECT there, empty, (told ->> 'jobs'::text)::bigint AS jobs,"
	"         (told ->> 'lines'::text)::bigint AS lines,"
	"         (told ->> 'known'::text)::bigint AS known"
	"  FROM answered)"
	" SELECT count(*) FILTER (WHERE jobs > 0 AND NOT there),"
	"        count(*) FILTER (WHERE jobs > 0 AND there),"
	"        count(*) FILTER (WHERE jobs = 0 AND NOT empty), count(*) FILTER (WHERE empty),"
	"        sum(jobs), sum(lines), sum(known) FROM counted";

/* Its columns. */
enum { MADE, GROWN, PRESENT, EMPTY, JOBS, LINES, KNOWN };

/* ---- notices ---- */

/* grading_submit() says so when it finds nothing to rate, and more. */
static void on_notice(void *arg, const PGresult *result)
{
	struct enqueue_batch *b = arg;
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (message) {
		term_escape(&b->notices, message);
		buf_char(&b->notices, '\n');
	}
}

/* The notice names the session: where it came from says more. */
static const struct enqueue_item *item_of(const struct enqueue_item *items, size_t n,
					  const char *notice, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (memmem(notice, len, items[i].session, strlen(items[i].session)))
			return &items[i];
	return NULL;
}

static void tell_notices(struct enqueue_batch *b, const struct enqueue_item *items, size_t n)
{
	const char *p = buf_text(&b->notices);

	for (size_t len; *p; p += len + 1) {
		const struct enqueue_item *item;

		len = strcspn(p, "\n");
		item = item_of(items, n, p, len);
		if (b->counts.noticed++ >= ENQUEUE_COMPLAINTS)
			continue;
		if (item)
			ctl_complain(b->ctl, "%s:%lu: %.*s", item->file, item->line, (int)len, p);
		else
			ctl_complain(b->ctl, "%.*s", (int)len, p);
	}
}

/* ---- sending ---- */

static void pack(const struct enqueue_item *items, size_t n, struct buf *sessions,
		 struct buf *records)
{
	buf_init(sessions, ENQUEUE_LITERAL_CAP_BYTES);
	buf_init(records, ENQUEUE_LITERAL_CAP_BYTES);
	pgarray_begin(sessions);
	pgarray_begin(records);
	for (size_t i = 0; i < n; i++) {
		pgarray_text(sessions, items[i].session);
		pgarray_text(records, items[i].text);
	}
	pgarray_end(sessions);
	pgarray_end(records);
}

static void count(struct enqueue_counts *c, const PGresult *result)
{
	c->made += pgsync_int(result, MADE);
	c->grown += pgsync_int(result, GROWN);
	c->present += pgsync_int(result, PRESENT);
	c->empty += pgsync_int(result, EMPTY);
	c->jobs += pgsync_int(result, JOBS);
	c->lines += pgsync_int(result, LINES);
	c->known += pgsync_int(result, KNOWN);
}

/* All of them or none. */
static int send_items(struct enqueue_batch *b, const struct enqueue_item *items, size_t n,
		      struct err *err)
{
	char batch_size[24], priority[24];
	struct buf sessions, records;
	PGresult *result = NULL;

	buf_reset(&b->notices);
	pack(items, n, &sessions, &records);
	snprintf(batch_size, sizeof(batch_size), "%" PRId64, b->ctl->option[CTL_BATCH_SIZE]);
	snprintf(priority, sizeof(priority), "%" PRId64, b->ctl->option[CTL_PRIORITY]);
	if (buf_ok(&sessions) && buf_ok(&records))
		result = pgsync_query(b->conn, enqueue_sql, 4, (const char *const[]){ sessions.data,
				      records.data, batch_size, priority }, err);
	else
		err_set(err, ERR_RETRY, "out of memory");
	buf_free(&sessions);
	buf_free(&records);
	if (!result)
		return -1;
	count(&b->counts, result);
	tell_notices(b, items, n);	/* of a statement that failed they come once more */
	PQclear(result);
	if (b->ctl->option[CTL_WAIT])
		for (size_t i = 0; i < n; i++)
			pgarray_text(&b->sessions, items[i].session);
	return 0;
}

/* Away, or not fit for any transcript: there is no point in going on. */
static bool is_fatal(const struct err *err)
{
	return err->kind == ERR_LOST || err->kind == ERR_CONFIG;
}

/* queue.max_pending, see grading_check_room(): there will be room later. */
static bool is_queue_full(const struct err *err)
{
	return strcmp(err->sqlstate, "53400") == 0;
}

void enqueue_batch_refuse(struct enqueue_batch *b, const char *why)
{
	if (b->counts.refused++ < ENQUEUE_COMPLAINTS)
		ctl_complain(b->ctl, "%s", why);
}

static int send_one_by_one(struct enqueue_batch *b, struct err *err)
{
	struct err why, refusal;

	for (size_t i = 0; i < b->n; i++) {
		if (send_items(b, &b->items[i], 1, &why) == 0)
			continue;
		if (is_fatal(&why)) {
			*err = why;
			return -1;
		}
		if (is_queue_full(&why))
			return err_set(err, ERR_LOST, "%s:%lu: %s; it and what follows was not "
				       "enqueued, the same command goes on from here",
				       b->items[i].file, b->items[i].line, why.text);
		err_set(&refusal, ERR_PERMANENT, "%s:%lu: %s", b->items[i].file, b->items[i].line,
			why.text);
		enqueue_batch_refuse(b, refusal.text);
	}
	return 0;
}

int enqueue_batch_send(struct enqueue_batch *b, struct err *err)
{
	int outcome = b->n ? send_items(b, b->items, b->n, err) : 0;

	if (outcome == -1 && !is_fatal(err))
		outcome = send_one_by_one(b, err);
	arena_free(&b->arena);
	b->n = b->bytes = 0;
	return outcome;
}

int enqueue_batch_add(struct enqueue_batch *b, const char *file, const struct transcript *t,
		      struct err *err)
{
	struct enqueue_item *item = &b->items[b->n++];

	memcpy(item->session, t->session, sizeof(item->session));
	item->text = arena_dup(&b->arena, t->text, t->len);
	item->file = file;
	item->line = t->line;
	b->bytes += t->len;
	return b->n == ENQUEUE_BATCH || b->bytes >= BATCH_BYTES ? enqueue_batch_send(b, err) : 0;
}

void enqueue_batch_init(struct enqueue_batch *b, struct ctl *ctl, PGconn *conn)
{
	*b = (struct enqueue_batch){ .ctl = ctl, .conn = conn };
	PQsetNoticeReceiver(conn, on_notice, b);
	buf_init(&b->sessions, ENQUEUE_LITERAL_CAP_BYTES);
	buf_init(&b->notices, ENQUEUE_LITERAL_CAP_BYTES);
	pgarray_begin(&b->sessions);
}

void enqueue_batch_free(struct enqueue_batch *b)
{
	arena_free(&b->arena);
	buf_free(&b->sessions);
	buf_free(&b->notices);
}
