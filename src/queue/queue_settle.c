/*
 * Settlements: what becomes of some jobs and of their lines, packed as arrays with an item a job or
 * a line. Runs in workers. It decides nothing about jobs.
 */
#include "queue/queue.h"

#include <string.h>

#include "base/log.h"
#include "pg/pgbinary.h"
#include "queue_send.h"

#define JOB_PARAMS 12
#define LINE_PARAMS 11

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
	const char *known;
	unsigned slot;

	if (!text) {
		pgitem_null(numbers);
		return;
	}
	slot = slot_of(text);
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

/* The columns of one line, in the order of $13 to $23. False and null are one. */
static void put_line(struct buf *p, size_t job, size_t place, const struct settle_line *l,
		     struct documents *documents)
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
		PG_UUID, PG_INT8, PG_TEXT, PG_INT4, PG_INT8, PG_TEXT, PG_INT4, PG_TEXT, PG_INT4,
		PG_INT4, PG_INT4, PG_INT4,
		PG_INT4, PG_INT4, PG_INT4, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_BOOL, PG_INT4,
		PG_TEXT, PG_TEXT,
		PG_JSONB,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		pgitems_begin(&p[i], types[i]);
}

int queue_settle(struct queue *q, enum settle_form form, const char *identity,
		 const struct settlement *const *s, size_t n, int64_t cache_ttl_ms,
		 pg_answer_fn *answer, void *arg)
{
	static const enum statement_id ids[] = {
		[SETTLE_FIRST] = STATEMENT_COMPLETE, [SETTLE_HELD] = STATEMENT_COMPLETE_HELD,
		[SETTLE_ANY] = STATEMENT_SETTLE,
	};
	struct buf *p = queue_begin(q), *lines = p + JOB_PARAMS, *rest = lines + LINE_PARAMS;
	struct documents documents = { .sent = &rest[0] };

	begin_batch(p);
	for (size_t i = 0; i < n; i++) {
		put_job(p, form, s[i], &documents);
		for (size_t k = 0; k < s[i]->nlines; k++)
			put_line(lines, i + 1, k + 1, &s[i]->lines[k], &documents);
	}
	/* What few jobs and lines have costs the others nothing. */
	for (int i = 0; i < JOB_PARAMS + LINE_PARAMS; i++)
		pgitems_drop_nulls(&p[i]);
	buf_str(&rest[1], identity);
	pgbinary_int8(&rest[2], cache_ttl_ms);
	return queue_send(q, ids[form], answer, arg);
}

void queue_settled(const PGresult *result, bool *settled, size_t n)
{
	memset(settled, 0, n * sizeof(*settled));
	for (int row = 0; row < PQntuples(result); row++) {
		int64_t place = PQnfields(result) == 1 ? pgvalue_int8(result, row, 0) : 0;

		if (place < 1 || place > (int64_t)n)
			fatal("the settlement of %zu jobs was answered with another statement's "
			      "rows; a pooler may be mixing answers up", n);
		settled[place - 1] = true;
	}
}
