/*
 * Settlements: what becomes of some jobs and of their lines, packed as arrays with an item a job or
 * a line, and with them the provenances that the database may not have. Runs in workers. It decides
 * nothing about jobs.
 */
#include "queue/queue.h"

#include <string.h>

#include "base/fnv.h"
#include "base/log.h"
#include "pg/pgbinary.h"
#include "provenances.h"
#include "queue_send.h"

#define JOB_PARAMS 12
#define LINE_PARAMS 13
#define ARRAYS (JOB_PARAMS + LINE_PARAMS + 3)	/* and documents, and provenances with theirs */

static const char *counted_text(int counted)
{
	static const char *const texts[] = { NULL, "completed", "failed" };

	return texts[counted];
}

/*
 * JSON documents to refer to by number: most lines of a batch share one, and many jobs have equal
 * results, so that the server need not parse them again. Which were sent is remembered as far as
 * there are slots for them.
 */
#define DOCUMENT_SLOTS 256
struct documents {
	struct buf *sent;
	int n;
	struct { const char *text; int number; } slots[DOCUMENT_SLOTS];
};

static void put_document(struct buf *numbers, struct documents *d, const char *text)
{
	const char *known;
	size_t slot;

	if (!text) {
		pgitem_null(numbers);
		return;
	}
	slot = fnv32_place(fnv32_text(text), DOCUMENT_SLOTS);
	known = d->slots[slot].text;
	if (!known || (known != text && strcmp(known, text) != 0)) {
		pgitem_jsonb(d->sent, text);
		d->slots[slot].text = text;
		d->slots[slot].number = ++d->n;
	}
	pgitem_int4(numbers, d->slots[slot].number);
}

/* The columns of one job, in the order of $1 to $12. Zero and null are one. */
static void put_job(struct buf *p, enum settle_form form, const struct settlement *s,
		    struct documents *documents)
{
	size_t stored = form == SETTLE_ANY ? s->nlines - s->nresent : s->nlines;

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
	pgitem_int4(&p[11], (int32_t)stored);
}

/* Of few jobs: most lines have an index of their own. */
static void put_stride(struct buf *strides, const struct job *job)
{
	if (job->stride)
		pgitem_int4(strides, job->stride);
	else
		pgitem_null(strides);
}

/* ---- lines ---- */

/* Where the parts of a settlement go. */
struct packing {
	struct queue *q;
	struct buf *lines;		/* $13 to $25 */
	struct buf *new;		/* $27 and $28: provenances that may not be stored yet */
	struct documents documents;	/* $26 */
};

static void put_provenance(struct packing *to, struct buf *ids, const char *document)
{
	const unsigned char *id;
	bool new;

	if (!document) {
		pgitem_null(ids);
		return;
	}
	id = provenances_id(to->q->provenances, document, &new);
	pgitem_uuid_bytes(ids, id);
	if (!new)
		return;
	pgitem_uuid_bytes(&to->new[0], id);
	put_document(&to->new[1], &to->documents, document);
}

/* The columns of one line, in the order of $13 to $25. False and null are one. */
static void put_line(struct packing *to, size_t job, size_t place, const struct settle_line *l)
{
	struct buf *p = to->lines;

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
	if (l->given_at)
		pgitem_int8(&p[8], l->given_at);
	else
		pgitem_null(&p[8]);
	put_provenance(to, &p[9], l->provenance);
	pgitem_text(&p[10], l->cache_key);
	pgitem_text(&p[11], l->context);
	put_document(&p[12], &to->documents, l->cache_key ? l->provenance : NULL);
}

static void begin_batch(struct buf *p)
{
	static const enum pg_type types[ARRAYS] = {
		PG_UUID, PG_INT8, PG_TEXT, PG_INT4, PG_INT8, PG_TEXT, PG_INT4, PG_TEXT, PG_INT4,
		PG_INT4, PG_INT4, PG_INT4,
		PG_INT4, PG_INT4, PG_INT4, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_BOOL,
		PG_TIMESTAMPTZ, PG_UUID, PG_TEXT, PG_TEXT, PG_INT4,
		PG_JSONB, PG_UUID, PG_INT4,
	};

	for (size_t i = 0; i < ARRAYS; i++)
		pgitems_begin(&p[i], types[i]);
}

/* ---- provenances on their way ---- */

static void arrived(struct queue *q, bool stored)
{
	q->bearer.on_its_way = false;
	provenances_settled(q->provenances, stored);
}

static void on_borne(void *arg, const PGresult *result, const struct err *err)
{
	struct queue *q = arg;
	struct bearer b = q->bearer;

	q->bearer.done = !err;
	if (!b.held)
		arrived(q, !err);
	b.answer(b.arg, result, err);
}

static void on_committed(void *arg, const PGresult *result, const struct err *err)
{
	struct queue *q = arg;
	struct bearer b = q->bearer;

	arrived(q, b.done && !err && queue_committed(result));
	b.committed(b.commit_arg, result, err);
}

/* While one bears new provenances the next bear them too, and nobody asks what becomes of these. */
static int send_settlement(struct queue *q, enum statement_id id, bool held, pg_answer_fn *answer,
			   void *arg)
{
	if (!provenances_any_new(q->provenances) || q->bearer.on_its_way)
		return queue_send(q, id, answer, arg);
	if (queue_send(q, id, on_borne, q) == -1)
		return -1;
	q->bearer = (struct bearer){ .on_its_way = true, .held = held, .answer = answer,
				     .arg = arg };
	provenances_sent(q->provenances);
	return 0;
}

int queue_commit(struct queue *q, pg_answer_fn *answer, void *arg)
{
	struct bearer *b = &q->bearer;
	int sent;

	if (!b->on_its_way || !b->held)
		return pg_send(q->pg, &statements[STATEMENT_COMMIT], NULL, answer, arg);
	b->committed = answer;
	b->commit_arg = arg;
	sent = pg_send(q->pg, &statements[STATEMENT_COMMIT], NULL, on_committed, q);
	if (sent == -1)
		arrived(q, false);
	return sent;
}

/* ---- settlements ---- */

int queue_settle(struct queue *q, enum settle_form form, const char *identity,
		 const struct settlement *const *s, size_t n, int64_t cache_ttl_ms,
		 pg_answer_fn *answer, void *arg)
{
	static const enum statement_id ids[] = {
		[SETTLE_FIRST] = STATEMENT_COMPLETE, [SETTLE_HELD] = STATEMENT_COMPLETE_HELD,
		[SETTLE_ANY] = STATEMENT_SETTLE,
	};
	struct buf *p = queue_begin(q), *documents = p + JOB_PARAMS + LINE_PARAMS;
	struct packing to = { .q = q, .lines = p + JOB_PARAMS, .new = documents + 1,
			      .documents = { .sent = documents } };

	begin_batch(p);
	provenances_begin(q->provenances);
	pgitems_begin(&p[ARRAYS + 1], PG_INT4);
	for (size_t i = 0; i < n; i++) {
		put_job(p, form, s[i], &to.documents);
		put_stride(&p[ARRAYS + 1], s[i]->job);
		for (size_t k = 0; k < s[i]->nlines; k++)
			put_line(&to, i + 1, k + 1, &s[i]->lines[k]);
	}
	/* What few jobs and lines have costs the others nothing. */
	for (int i = 0; i < JOB_PARAMS + LINE_PARAMS; i++)
		pgitems_drop_nulls(&p[i]);
	pgitems_drop_nulls(&p[ARRAYS + 1]);
	buf_str(&p[ARRAYS], identity);
	pgbinary_int8(&p[ARRAYS + 2], cache_ttl_ms);
	return send_settlement(q, ids[form], form == SETTLE_HELD, answer, arg);
}

/* A place below zero: the same again. */
void queue_settled(const PGresult *result, enum settled *settled, size_t n)
{
	for (size_t i = 0; i < n; i++)
		settled[i] = SETTLED_NOT_OURS;
	for (int row = 0; row < PQntuples(result); row++) {
		int64_t answer = PQnfields(result) == 1 ? pgvalue_int8(result, row, 0) : 0;
		int64_t place = answer < 0 && answer >= -(int64_t)n ? -answer : answer;

		if (place < 1 || place > (int64_t)n)
			fatal("the settlement of %zu jobs was answered with another statement's "
			      "rows; a pooler may be mixing answers up", n);
		settled[place - 1] = answer < 0 ? SETTLED_AGAIN : SETTLED;
	}
}
