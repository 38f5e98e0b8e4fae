/*
 * Packs what a worker wants into the parameters of statements and unpacks the rows that come back.
 * Runs in workers; values travel as parameters only, never inside SQL text. Keeps no state.
 */
#include "queue/queue.h"

#include <string.h>

#include "base/log.h"
#include "pg/pgbinary.h"
#include "queue/statements.h"

/* A batch of jobs at their caps, with all their lines, stays below this. */
#define PARAM_CAP_BYTES (256u << 20)
#define KEEP_BYTES (256u << 10)		/* of memory to pack a parameter in */
#define JOB_PARAMS 12
#define LINE_PARAMS 11
#define NO_PRIORITY INT64_MIN
#define ALTERNATIVES_SEPARATOR '\x1f'	/* as in sql/pieces/separator.sql */

static const char *cell(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

void queue_init(struct queue *q, struct pg *pg)
{
	q->pg = pg;
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_init(&q->params[i], PARAM_CAP_BYTES);
}

void queue_free(struct queue *q)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_free(&q->params[i]);
}

/* Makes the statement's parameters empty; what a huge batch needed is given back. */
static struct buf *begin(struct queue *q)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++) {
		if (q->params[i].size > KEEP_BYTES)
			buf_free(&q->params[i]);
		buf_reset(&q->params[i]);
	}
	return q->params;
}

static int send_statement(struct queue *q, enum statement_id id, pg_answer_fn *answer, void *arg)
{
	for (int i = 0; i < statements[id].nparams; i++)
		if (!buf_ok(&q->params[i]))
			fatal("statement `%s`: its parameters exceed %u bytes", statements[id].name,
			      PARAM_CAP_BYTES);
	return pg_send(q->pg, &statements[id], q->params, answer, arg);
}

/* Rows of (priority, known priority above, floor): one for each known priority, one for all below. */
static void put_floors(struct buf *p, const struct floors *floors)
{
	static const struct floor below = { .priority = 0 };
	int64_t above = INT64_MAX;

	pgitems_begin(&p[0], PG_INT8);
	pgitems_begin(&p[1], PG_INT8);
	pgitems_begin(&p[2], PG_TIMESTAMPTZ);
	pgitems_begin(&p[3], PG_UUID);
	for (int i = 0; i <= floors->n; i++) {
		const struct floor *f = i < floors->n ? &floors->at[i] : &below;

		pgitem_int8(&p[0], i < floors->n ? f->priority : NO_PRIORITY);
		pgitem_int8(&p[1], above);
		pgitem_int8(&p[2], f->available_at);
		pgitem_uuid_bytes(&p[3], f->id);
		above = f->priority;
	}
}

static void put_search(struct buf *p, const struct claim *claim)
{
	pgbinary_int4(&p[0], claim->jobs);
	pgbinary_int4(&p[1], JOB_DATA_CAP_BYTES);
	put_floors(&p[2], claim->floors);
	pgbinary_int8(&p[6], claim->slack_ms);
	pgitems_begin(&p[7], PG_UUID);
	for (int i = 0; i < claim->navoid; i++)
		pgitem_uuid_bytes(&p[7], claim->avoid[i].id);
}

int queue_claim(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	struct buf *p = begin(q);

	put_search(p, claim);
	buf_str(&p[8], claim->identity);
	return send_statement(q, claim->briefly ? STATEMENT_CLAIM_BRIEFLY : STATEMENT_CLAIM, answer, arg);
}

/* What comes next is answered too, and tells whether this went wrong. */
static void no_answer(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg;
	(void)result;
	(void)err;
}

int queue_preview(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	put_search(begin(q), claim);
	return send_statement(q, STATEMENT_HOLD, answer, arg);
}

int queue_hold(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	if (pg_send(q->pg, &statements[STATEMENT_BEGIN], NULL, no_answer, NULL) == -1)
		return -1;
	put_search(begin(q), claim);
	return send_statement(q, STATEMENT_HOLD, answer, arg);
}

int queue_commit(struct queue *q, pg_answer_fn *answer, void *arg)
{
	return pg_send(q->pg, &statements[STATEMENT_COMMIT], NULL, answer, arg);
}

bool queue_committed(const PGresult *result)
{
	return strcmp(PQcmdStatus((PGresult *)result), "COMMIT") == 0;
}

static int counted_from(const char *text)
{
	if (!text)
		return COUNTED_NOT;
	return strcmp(text, "failed") == 0 ? COUNTED_FAILED : COUNTED_COMPLETED;
}

static const char *counted_text(int counted)
{
	static const char *const texts[] = { NULL, "completed", "failed" };

	return texts[counted];
}

void queue_claimed_row(const PGresult *result, int row, struct claimed_row *out)
{
	pgvalue_uuid(result, row, 0, out->id);
	pgvalue_uuid(result, row, 1, out->session_id);
	out->claim = pgvalue_int8(result, row, 2);
	out->attempts = pgvalue_int4(result, row, 3);
	out->max_attempts = pgvalue_int4(result, row, 4);
	out->counted_as = counted_from(cell(result, row, 5));
	out->job_type = cell(result, row, 6) ? cell(result, row, 6) : "";
	out->place = (struct floor){ pgvalue_int4(result, row, 7), pgvalue_int8(result, row, 8), { 0 } };
	memcpy(out->place.id, PQgetvalue(result, row, 0), UUID_BYTES);
	out->data_bytes = PQgetisnull(result, row, 9) ? -1 : pgvalue_int8(result, row, 9);
	out->data = cell(result, row, 10);
	out->result = cell(result, row, 11);
}

int queue_lookup(struct queue *q, const char *const *keys, size_t n, int64_t ttl_ms, pg_answer_fn *answer, void *arg)
{
	struct buf *p = begin(q);

	pgitems_begin(&p[0], PG_TEXT);
	for (size_t i = 0; i < n; i++)
		pgitem_text(&p[0], keys[i]);
	pgbinary_int8(&p[1], ttl_ms);
	return send_statement(q, STATEMENT_LOOKUP, answer, arg);
}

void queue_cached_row(const PGresult *result, int row, struct cached_row *out)
{
	out->key = PQgetvalue(result, row, 0);
	out->rating = PQgetvalue(result, row, 1);
	out->alternatives = PQgetvalue(result, row, 2);
	out->reason = PQgetvalue(result, row, 3);
	out->provenance = cell(result, row, 4);
}

/* ---- single flight ---- */

static void put_keys(struct buf *b, const char *const *keys, size_t n)
{
	pgitems_begin(b, PG_TEXT);
	for (size_t i = 0; i < n; i++)
		pgitem_text(b, keys[i]);
}

int queue_lease_keys(struct queue *q, const char *const *keys, size_t n, const char *asker, int64_t lease_ms, int64_t ttl_ms,
	      pg_answer_fn *answer, void *arg)
{
	struct buf *p = begin(q);

	put_keys(&p[0], keys, n);
	buf_str(&p[1], asker);
	pgbinary_int8(&p[2], lease_ms);
	pgbinary_int8(&p[3], ttl_ms);
	return send_statement(q, STATEMENT_LEASE_KEYS, answer, arg);
}

void queue_leased_row(const PGresult *result, int row, const char **key, bool *ours)
{
	*key = PQgetvalue(result, row, 0);
	*ours = pgvalue_bool(result, row, 1);
}

int queue_renew_leases(struct queue *q, const char *const *keys, size_t n, const char *asker, int64_t lease_ms,
		     pg_answer_fn *answer, void *arg)
{
	struct buf *p = begin(q);

	put_keys(&p[0], keys, n);
	buf_str(&p[1], asker);
	pgbinary_int8(&p[2], lease_ms);
	return send_statement(q, STATEMENT_RENEW_LEASES, answer, arg);
}

int queue_release_leases(struct queue *q, const char *asker, const char *const *keys, size_t n, const char *const *failed,
	       size_t nfailed, int64_t open_ms, pg_answer_fn *answer, void *arg)
{
	struct buf *p = begin(q);

	buf_str(&p[0], asker);
	put_keys(&p[1], keys, n);
	put_keys(&p[2], failed, nfailed);
	pgbinary_int8(&p[3], open_ms);
	return send_statement(q, STATEMENT_RELEASE_LEASES, answer, arg);
}

/* ---- looking up what is stored ---- */

static void put_ids(struct buf *b, struct job *const *jobs, size_t n, bool sessions)
{
	pgitems_begin(b, PG_UUID);
	for (size_t i = 0; i < n; i++)
		pgitem_uuid(b, sessions ? jobs[i]->session_id : jobs[i]->id);
}

int queue_stored(struct queue *q, struct job *const *jobs, size_t n, pg_answer_fn *answer, void *arg)
{
	struct buf *p = begin(q);

	put_ids(&p[0], jobs, n, false);
	put_ids(&p[1], jobs, n, true);
	return send_statement(q, STATEMENT_STORED, answer, arg);
}

void queue_stored_row(const PGresult *result, int row, struct stored_row *out)
{
	pgvalue_uuid(result, row, 0, out->job_id);
	out->index = pgvalue_int4(result, row, 1);
	out->text = PQgetvalue(result, row, 2);
}

int queue_release_lost(struct queue *q, const char *identity, struct job *const *jobs, size_t n,
		 pg_answer_fn *answer, void *arg)
{
	struct buf *p = begin(q);

	buf_str(&p[0], identity);
	put_ids(&p[1], jobs, n, false);
	return send_statement(q, STATEMENT_RELEASE_LOST, answer, arg);
}

/* ---- settlements ---- */

/*
 * JSON documents to refer to by number: most lines of a batch share one, and many jobs have equal results, so that
 * the server need not parse them again. Which were sent is remembered as far as there are slots for them.
 */
#define DOCUMENT_SLOTS 256
struct documents { struct buf *sent; int n; struct { const char *text; int number; } slots[DOCUMENT_SLOTS]; };

/* FNV-1a (Fowler, Noll, Vo). */
static unsigned slot_of(const char *text)
{
	uint32_t hash = 2166136261u;

	while (*text)
		hash = (hash ^ (unsigned char)*text++) * 16777619u;
	return (hash ^ hash >> 16) % DOCUMENT_SLOTS;
}

static void put_document(struct buf *numbers, struct documents *d, const char *text)
{
	unsigned slot;

	if (!text) {
		pgitem_null(numbers);
		return;
	}
	slot = slot_of(text);
	if (!d->slots[slot].text || (d->slots[slot].text != text && strcmp(d->slots[slot].text, text) != 0)) {
		pgitem_jsonb(d->sent, text);
		d->slots[slot].text = text;
		d->slots[slot].number = ++d->n;
	}
	pgitem_int4(numbers, d->slots[slot].number);
}

/* The columns of one job, in the order of $1 to $12. Zero and null are one. */
static void put_job(struct buf *p, enum settle_form form, const struct settlement *s, struct documents *documents)
{
	pgitem_uuid(&p[0], s->job->id);
	pgitem_int8(&p[1], s->job->claim);
	pgitem_text(&p[2], s->status);
	if (s->attempt)
		pgitem_int4(&p[3], s->attempt);
	else
		pgitem_null(&p[3]);
	if (s->delay_ms)
		pgitem_int8(&p[4], s->delay_ms);
	else
		pgitem_null(&p[4]);
	pgitem_text(&p[5], s->error);
	put_document(&p[6], documents, s->result);
	pgitem_text(&p[7], counted_text(s->job->counted_as));
	pgitem_int4(&p[8], s->job->total_batches);
	pgitem_int4(&p[9], (int32_t)s->job->nrated);
	pgitem_int4(&p[10], (int32_t)s->job->skipped);
	pgitem_int4(&p[11], (int32_t)(form == SETTLE_ANY ? s->nlines - s->nresent : s->nlines));
}

/* The columns of one line, in the order of $13 to $23. False and null are one. */
static void put_line(struct buf *p, size_t job, size_t place, const struct settle_line *l, struct documents *documents)
{
	pgitem_int4(&p[0], (int32_t)job);
	pgitem_int4(&p[1], (int32_t)place);
	pgitem_int4(&p[2], l->line->index);
	pgitem_text(&p[3], l->line->text);
	pgitem_text(&p[4], l->rating);
	pgitem_text(&p[5], l->alternatives);
	pgitem_text(&p[6], l->reason);
	if (l->cached)
		pgitem_bool(&p[7], true);
	else
		pgitem_null(&p[7]);
	put_document(&p[8], documents, l->provenance);
	pgitem_text(&p[9], l->cache_key);
	pgitem_text(&p[10], l->context);
}

static void begin_batch(struct buf *p)
{
	static const enum pg_type types[JOB_PARAMS + LINE_PARAMS + 1] = {
		PG_UUID, PG_INT8, PG_TEXT, PG_INT4, PG_INT8, PG_TEXT, PG_INT4, PG_TEXT, PG_INT4, PG_INT4, PG_INT4,
		PG_INT4,
		PG_INT4, PG_INT4, PG_INT4, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_BOOL, PG_INT4, PG_TEXT, PG_TEXT,
		PG_JSONB,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		pgitems_begin(&p[i], types[i]);
}

int queue_settle(struct queue *q, enum settle_form form, const char *identity, const struct settlement *const *s,
		 size_t n, int64_t cache_ttl_ms, pg_answer_fn *answer, void *arg)
{
	static const enum statement_id ids[] = {
		[SETTLE_FIRST] = STATEMENT_COMPLETE, [SETTLE_HELD] = STATEMENT_COMPLETE_HELD, [SETTLE_ANY] = STATEMENT_SETTLE,
	};
	struct buf *p = begin(q), *lines = p + JOB_PARAMS, *rest = lines + LINE_PARAMS;
	struct documents documents = { .sent = &rest[0] };

	begin_batch(p);
	for (size_t i = 0; i < n; i++) {
		put_job(p, form, s[i], &documents);
		for (size_t k = 0; k < s[i]->nlines; k++)
			put_line(lines, i + 1, k + 1, &s[i]->lines[k], &documents);
	}
	for (int i = 0; i < JOB_PARAMS + LINE_PARAMS; i++)	/* what few jobs and lines have costs the others nothing */
		pgitems_drop_nulls(&p[i]);
	buf_str(&rest[1], identity);
	pgbinary_int8(&rest[2], cache_ttl_ms);
	return send_statement(q, ids[form], answer, arg);
}

void queue_settled(const PGresult *result, bool *settled, size_t n)
{
	memset(settled, 0, n * sizeof(*settled));
	for (int row = 0; row < PQntuples(result); row++) {
		int64_t place = PQnfields(result) == 1 ? pgvalue_int8(result, row, 0) : 0;

		if (place < 1 || place > (int64_t)n)
			fatal("the settlement of %zu jobs was answered with another statement's rows; a pooler may be "
			      "mixing answers up", n);
		settled[place - 1] = true;
	}
}

const char *queue_join(struct arena *arena, const char *const *items, size_t n)
{
	size_t len = 0;
	char *text, *end;

	for (size_t i = 0; i < n; i++)
		len += strlen(items[i]) + 1;
	text = end = arena_alloc(arena, len + 1);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			*end++ = ALTERNATIVES_SEPARATOR;
		end = stpcpy(end, items[i]);
	}
	*end = '\0';
	return text;
}
