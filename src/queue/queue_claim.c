/*
 * Claims: which jobs are taken, by which statement, and the rows that come back; and giving back
 * what a lost answer left behind. Runs in workers. It decides nothing about jobs.
 */
#include "queue/queue.h"

#include <inttypes.h>
#include <string.h>

#include "base/saturate.h"
#include "pg/pgbinary.h"
#include "queue_send.h"

#define KNOWN_MAX (FLOORS_MAX + PASSES_MAX)
/* Each class, the turns and the priorities above it, and the turns below all of a priority. */
#define SPANS_MAX (4 * KNOWN_MAX + 1)
/* How much is looked through before the floor of a class that has little; see turns_is_deep(). */
#define LATE_US 1000000

/* Columns of sql/pieces/claimed_rows.sql, in its order. */
enum { CLAIMED_ID, CLAIMED_SESSION, CLAIMED_CLAIM, CLAIMED_TIMES, CLAIMED_ATTEMPTS,
       CLAIMED_MAX_ATTEMPTS, CLAIMED_COUNTED_AS, CLAIMED_JOB_TYPE, CLAIMED_PRIORITY,
       CLAIMED_AVAILABLE_AT, CLAIMED_DATA_BYTES, CLAIMED_DATA, CLAIMED_RESULT, CLAIMED_STRIDE,
       CLAIMED_TURN, CLAIMED_WHOLE };

/* Columns of sql/peek.sql and, with the last, sql/walk.sql. */
enum { PLACE_ID, PLACE_PRIORITY, PLACE_AVAILABLE_AT, PLACE_TURN, PLACE_LARGE };

/* Known classes as the index has them: those with a floor, and those with a pass. */
struct known {
	int n;
	struct floor at[KNOWN_MAX];
};

/* A span of the index, as sql/pieces/due.sql has it. */
struct span {
	int64_t low, high;		/* priorities */
	int32_t turn_low, turn_high;
	const struct floor *class;	/* or NULL */
};

struct spans {
	int n;
	struct span at[SPANS_MAX];
};

static const struct floor *pass_of(const struct floors *passes, const struct floor *of)
{
	for (int i = 0; i < passes->n; i++)
		if (floor_same_class(&passes->at[i], of))
			return &passes->at[i];
	return NULL;
}

static void know(struct known *known, const struct floor *f)
{
	int i = 0;

	while (i < known->n && floor_class_before(&known->at[i], f))
		i++;
	if (i < known->n && floor_same_class(&known->at[i], f))
		return;
	memmove(&known->at[i + 1], &known->at[i], (size_t)(known->n - i) * sizeof(*f));
	known->at[i] = *f;
	known->n++;
}

static void know_all(struct known *known, const struct claim *claim)
{
	known->n = 0;
	for (int i = 0; i < claim->floors->n; i++)
		know(known, &claim->floors->at[i]);
	for (int i = 0; i < claim->passes->n; i++)
		know(known, &claim->passes->at[i]);
}

static void add_span(struct spans *s, const struct span *span)
{
	s->at[s->n++] = *span;
}

static void add_class(struct spans *s, const struct floor *f)
{
	add_span(s, &(struct span){ f->priority, f->priority, f->turn, f->turn, f });
}

static void add_turns(struct spans *s, int64_t priority, int32_t low, int32_t high)
{
	if (turns_between(low, high))
		add_span(s, &(struct span){ priority, priority, low, high, NULL });
}

static void add_priorities(struct spans *s, int64_t low, int64_t high)
{
	add_span(s, &(struct span){ low, high, 0, 0, NULL });
}

/* Turns of one priority that n classes of it leave. */
static void add_other_turns(struct spans *s, const struct floor *classes, int n)
{
	int32_t above = INT32_MAX;

	for (int i = 0; i < n; i++) {
		add_turns(s, classes[i].priority, classes[i].turn, above);
		above = classes[i].turn;
	}
	add_turns(s, classes[0].priority, INT32_MIN, above);
}

/*
 * Every other claim asks the known classes of a priority first, so that none of them has to wait
 * for one that nobody knows yet, nor that one for them.
 */
static void add_priority(struct spans *s, const struct turns *turns, const struct floor *classes,
			 int n)
{
	int order[KNOWN_MAX];

	turns_order(turns, classes, n, order);
	if (!turns->known_first)
		add_other_turns(s, classes, n);
	for (int i = 0; i < n; i++)
		add_class(s, &classes[order[i]]);
	if (turns->known_first)
		add_other_turns(s, classes, n);
}

/* All of the index, priority by priority. */
static void list_spans(struct spans *s, const struct known *known, const struct turns *turns)
{
	int64_t above = INT64_MAX;

	s->n = 0;
	for (int i = 0, n; i < known->n; i += n) {
		const struct floor *first = &known->at[i];

		for (n = 1; i + n < known->n && first[n].priority == first->priority; n++)
			;
		add_priorities(s, first->priority, above);
		add_priority(s, turns, first, n);
		above = first->priority;
	}
	add_priorities(s, INT64_MIN, above);
}

static int64_t begins_at(const struct claim *claim, const struct floor *f)
{
	if (claim->slack_ms > 0 || turns_is_deep(claim->turns, f))
		return f->available_at;
	return sat_sub(f->available_at, LATE_US);
}

static void put_spans(struct buf *p, const struct spans *s, const struct claim *claim)
{
	static const struct floor none;

	pgitems_begin(&p[0], PG_INT8);
	pgitems_begin(&p[1], PG_INT8);
	pgitems_begin(&p[2], PG_INT4);
	pgitems_begin(&p[3], PG_INT4);
	pgitems_begin(&p[4], PG_TIMESTAMPTZ);
	pgitems_begin(&p[5], PG_UUID);
	for (int i = 0; i < s->n; i++) {
		const struct span *span = &s->at[i];

		pgitem_int8(&p[0], span->low);
		pgitem_int8(&p[1], span->high);
		pgitem_int4(&p[2], span->turn_low);
		pgitem_int4(&p[3], span->turn_high);
		pgitem_int8(&p[4], span->class ? begins_at(claim, span->class) : 0);
		pgitem_uuid_bytes(&p[5], span->class ? span->class->id : none.id);
	}
}

/* Where each of them begins at the earliest. */
static void put_passes(struct buf *p, const struct spans *s, const struct floors *passes)
{
	static const struct floor nowhere = { .available_at = INT64_MIN };	/* -infinity */

	pgitems_begin(&p[0], PG_TIMESTAMPTZ);
	pgitems_begin(&p[1], PG_UUID);
	for (int i = 0; i < s->n; i++) {
		const struct floor *pass = NULL;

		if (s->at[i].class)
			pass = pass_of(passes, s->at[i].class);
		pgitem_int8(&p[0], pass ? pass->available_at : nowhere.available_at);
		pgitem_uuid_bytes(&p[1], pass ? pass->id : nowhere.id);
	}
}

/* $1 to $10 of all claims in order. */
static void put_search(struct buf *p, const struct claim *claim)
{
	struct known known;
	struct spans spans;

	know_all(&known, claim);
	list_spans(&spans, &known, claim->turns);
	pgbinary_int4(&p[0], claim->jobs);
	put_spans(&p[1], &spans, claim);
	pgbinary_int8(&p[7], claim->slack_ms);
	put_passes(&p[8], &spans, claim->passes);
}

static void put_these(struct buf *p, const struct claim *claim)
{
	pgbinary_int4(&p[0], claim->jobs);
	pgitems_begin(&p[1], PG_UUID);
	for (int i = 0; i < claim->jobs; i++)
		pgitem_uuid_bytes(&p[1], claim->these[i].id);
	buf_printf(&p[2], "%" PRId64 "ms", claim->patience_ms);
	pgbinary_int4(&p[3], JOB_DATA_CAP_BYTES);
	buf_str(&p[4], claim->identity);
}

static void put_in_order(struct buf *p, const struct claim *claim)
{
	put_search(p, claim);
	pgbinary_int4(&p[10], JOB_DATA_CAP_BYTES);
	buf_str(&p[11], claim->identity);
}

int queue_claim(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	if (claim->these) {
		put_these(p, claim);
		return queue_send(q, claim->briefly ? STATEMENT_CLAIM_THESE_BRIEFLY
						    : STATEMENT_CLAIM_THESE, answer, arg);
	}
	put_in_order(p, claim);
	return queue_send(q, claim->briefly ? STATEMENT_CLAIM_BRIEFLY : STATEMENT_CLAIM, answer,
			  arg);
}

/* What comes next is answered too, and tells whether this went wrong. */
static void no_answer(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg;
	(void)result;
	(void)err;
}

int queue_hold(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	if (pg_send(q->pg, &statements[STATEMENT_BEGIN], NULL, no_answer, NULL) == -1)
		return -1;
	put_search(p, claim);
	pgbinary_int4(&p[10], JOB_DATA_CAP_BYTES);
	return queue_send(q, STATEMENT_HOLD, answer, arg);
}

int queue_peek(struct queue *q, const struct claim *claim, pg_answer_fn *answer, void *arg)
{
	put_search(queue_begin(q), claim);
	return queue_send(q, STATEMENT_PEEK, answer, arg);
}

int queue_walk(struct queue *q, int n, const struct floor *from, const struct floor *to,
	       pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	pgbinary_int4(&p[0], n);
	pgbinary_int8(&p[1], from->priority);
	pgbinary_int4(&p[2], from->turn);
	pgbinary_int8(&p[3], from->available_at);
	buf_add(&p[4], from->id, UUID_BYTES);
	pgbinary_int8(&p[5], to->available_at);
	buf_add(&p[6], to->id, UUID_BYTES);
	return queue_send(q, STATEMENT_WALK, answer, arg);
}

void queue_place(const PGresult *result, int row, struct floor *place)
{
	*place = (struct floor){
		.priority = pgvalue_int4(result, row, PLACE_PRIORITY),
		.turn = pgvalue_int4(result, row, PLACE_TURN),
		.available_at = pgvalue_int8(result, row, PLACE_AVAILABLE_AT),
	};
	memcpy(place->id, PQgetvalue(result, row, PLACE_ID), UUID_BYTES);
}

bool queue_place_is_large(const PGresult *result, int row)
{
	return pgvalue_bool(result, row, PLACE_LARGE);
}

/* A transaction that had failed is answered with ROLLBACK. */
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

void queue_claimed_row(const PGresult *result, int row, struct claimed_row *out)
{
	const char *job_type = queue_cell(result, row, CLAIMED_JOB_TYPE);

	pgvalue_uuid(result, row, CLAIMED_ID, out->id);
	pgvalue_uuid(result, row, CLAIMED_SESSION, out->session_id);
	out->passed_over = PQgetisnull(result, row, CLAIMED_CLAIM);
	out->claim = pgvalue_int8(result, row, CLAIMED_CLAIM);
	out->times_claimed = pgvalue_int4(result, row, CLAIMED_TIMES);
	out->attempts = pgvalue_int4(result, row, CLAIMED_ATTEMPTS);
	out->max_attempts = pgvalue_int4(result, row, CLAIMED_MAX_ATTEMPTS);
	out->counted_as = counted_from(queue_cell(result, row, CLAIMED_COUNTED_AS));
	out->job_type = job_type ? job_type : "";
	out->place = (struct floor){
		.priority = pgvalue_int4(result, row, CLAIMED_PRIORITY),
		.turn = pgvalue_int4(result, row, CLAIMED_TURN),
		.available_at = pgvalue_int8(result, row, CLAIMED_AVAILABLE_AT),
	};
	memcpy(out->place.id, PQgetvalue(result, row, CLAIMED_ID), UUID_BYTES);
	out->data_bytes = PQgetisnull(result, row, CLAIMED_DATA_BYTES) ? -1
		: pgvalue_int8(result, row, CLAIMED_DATA_BYTES);
	out->data = queue_cell(result, row, CLAIMED_DATA);
	out->result = queue_cell(result, row, CLAIMED_RESULT);
	out->stride = pgvalue_int4(result, row, CLAIMED_STRIDE);
	out->whole = queue_cell(result, row, CLAIMED_WHOLE);
}

int queue_release_waiting(struct queue *q, const char *const *sessions, size_t n,
			  pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	pgitems_begin(&p[0], PG_UUID);
	for (size_t i = 0; i < n; i++)
		pgitem_uuid(&p[0], sessions[i]);
	return queue_send(q, STATEMENT_RELEASE_WAITING, answer, arg);
}

/* Columns of sql/lost.sql. */
enum { LOST_ID, LOST_SESSION, LOST_CLAIM };

int queue_lost(struct queue *q, const char *identity, struct job *const *jobs, size_t n,
	       pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	buf_str(&p[0], identity);
	pgitems_begin(&p[1], PG_INT8);
	for (size_t i = 0; i < n; i++)
		pgitem_int8(&p[1], jobs[i]->claim);
	return queue_send(q, STATEMENT_LOST, answer, arg);
}

void queue_lost_row(const PGresult *result, int row, struct lost_row *out)
{
	pgvalue_uuid(result, row, LOST_ID, out->id);
	pgvalue_uuid(result, row, LOST_SESSION, out->session_id);
	out->claim = pgvalue_int8(result, row, LOST_CLAIM);
}

int queue_release_lost(struct queue *q, const char *identity, const struct lost_row *const *lost,
		       size_t n, pg_answer_fn *answer, void *arg)
{
	struct buf *p = queue_begin(q);

	buf_str(&p[0], identity);
	pgitems_begin(&p[1], PG_UUID);
	pgitems_begin(&p[2], PG_INT8);
	for (size_t i = 0; i < n; i++) {
		pgitem_uuid(&p[1], lost[i]->id);
		pgitem_int8(&p[2], lost[i]->claim);
	}
	return queue_send(q, STATEMENT_RELEASE_LOST, answer, arg);
}
