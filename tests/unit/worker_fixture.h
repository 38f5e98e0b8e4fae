/*
 * A worker's surroundings for the tests of its parts: a scoreboard, a context, a list of jobs, a
 * rater whose calls wait to be answered, and a Postgres that is scripted at the door of pg.h: what
 * is sent waits here until the test answers it. Including this file keeps the real pg.c out of the
 * program.
 */
#ifndef WORKER_FIXTURE_H
#define WORKER_FIXTURE_H

#include <arpa/inet.h>
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pg/pg.h"
#include "process/wake.h"
#include "queue/statements.h"
#include "scoreboard_fixture.h"
#include "worker/context.h"
#include "worker/joblist.h"

/* ---- a scripted Postgres ---- */

struct sent {
	const struct statement *statement;
	struct buf params[STATEMENT_MAX_PARAMS];
	pg_answer_fn *answer;
	void *arg;
};

static struct { bool ready; int n; struct sent sent[64]; } fake_pg;

bool pg_is_ready(const struct pg *pg)
{
	(void)pg;
	return fake_pg.ready;
}

int pg_send(struct pg *pg, const struct statement *statement, const struct buf *params,
	    pg_answer_fn *answer, void *arg)
{
	struct sent *sent = &fake_pg.sent[fake_pg.n];

	(void)pg;
	if (!fake_pg.ready)
		return -1;
	assert_in_range(fake_pg.n, 0, 63);
	fake_pg.n++;
	*sent = (struct sent){ .statement = statement, .answer = answer, .arg = arg };
	for (int i = 0; params && i < statement->nparams; i++) {
		buf_init(&sent->params[i], 1 << 20);
		buf_add(&sent->params[i], params[i].data, params[i].len);
	}
	return 0;
}

static void free_sent(struct sent *sent)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_free(&sent->params[i]);
}

/* Answers what was sent first; frees result. */
static void answer_with(PGresult *result, const struct err *err)
{
	struct sent first = fake_pg.sent[0];

	assert_true(fake_pg.n > 0);
	fake_pg.n--;
	memmove(&fake_pg.sent[0], &fake_pg.sent[1], (size_t)fake_pg.n * sizeof(first));
	first.answer(first.arg, result, err);
	free_sent(&first);
	PQclear(result);
}

static inline void answer_error(enum err_kind kind, const char *sqlstate)
{
	struct err err = { .kind = kind };

	snprintf(err.text, sizeof(err.text), "it failed (SQLSTATE %s)", sqlstate);
	snprintf(err.sqlstate, sizeof(err.sqlstate), "%s", sqlstate);
	answer_with(NULL, &err);
}

static inline void assert_sent(int place, enum statement_id id)
{
	assert_true(place < fake_pg.n);
	assert_string_equal(fake_pg.sent[place].statement->name, statements[id].name);
}

/* ---- its rows ---- */

static inline PGresult *rows_of(int ncolumns)
{
	static char name[] = "column";
	PGresAttDesc columns[16] = { { .name = NULL } };
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

	for (int i = 0; i < ncolumns; i++)
		columns[i] = (PGresAttDesc){ .name = name, .format = 1 };
	assert_true(PQsetResultAttrs(result, ncolumns, columns));
	return result;
}

static inline void cell_bytes(PGresult *result, int row, int column, const void *bytes, size_t n)
{
	assert_true(PQsetvalue(result, row, column, (char *)(uintptr_t)bytes, (int)n));
}

static inline void cell_text(PGresult *result, int row, int column, const char *text)
{
	cell_bytes(result, row, column, text, text ? strlen(text) : (size_t)-1);
}

static inline void cell_int4(PGresult *result, int row, int column, int32_t value)
{
	uint32_t wire = htonl((uint32_t)value);

	cell_bytes(result, row, column, &wire, sizeof(wire));
}

static inline void cell_int8(PGresult *result, int row, int column, int64_t value)
{
	uint64_t wire = htobe64((uint64_t)value);

	cell_bytes(result, row, column, &wire, sizeof(wire));
}

static inline void cell_uuid(PGresult *result, int row, int column, const char *uuid)
{
	unsigned char bytes[UUID_BYTES];

	uuid_bytes(uuid, bytes);
	cell_bytes(result, row, column, bytes, sizeof(bytes));
}

/* The places, from 1 on, of the jobs of a settlement that were still ours: all n. */
static inline PGresult *rows_settled(int n)
{
	PGresult *result = rows_of(1);

	for (int i = 0; i < n; i++)
		cell_int8(result, i, 0, i + 1);
	return result;
}

static inline const char *id_of(int n)
{
	static char id[8][UUID_SIZE];
	static int turn;
	char *out = id[turn++ % 8];

	snprintf(out, UUID_SIZE, "00000000-0000-4000-8000-%012d", n);
	return out;
}

#define CLAIM_NUMBER (INT64_C(1) << 40)	/* job n is claimed under this and n */

/*
 * A claimed row as queue_claimed_row() reads it: job n of session `session`, one line of the rep.
 */
static inline void claimed_row(PGresult *result, int row, int n, int session,
			       int times_claimed, const char *text)
{
	char data[256];

	snprintf(data, sizeof(data),
		 "{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"%s\",\"index\":%d}]}", text, n);
	cell_uuid(result, row, 0, id_of(n));
	cell_uuid(result, row, 1, id_of(session));
	cell_int8(result, row, 2, CLAIM_NUMBER + n);
	cell_int4(result, row, 3, times_claimed);
	cell_int4(result, row, 4, 0);
	cell_int4(result, row, 5, 3);
	cell_text(result, row, 6, NULL);
	cell_text(result, row, 7, "line_rating");
	cell_int4(result, row, 8, 0);
	cell_int8(result, row, 9, 1000 + n);
	cell_int8(result, row, 10, (int64_t)strlen(data));
	cell_text(result, row, 11, data);
	cell_text(result, row, 12, NULL);
	cell_int4(result, row, 13, 0);
	cell_int4(result, row, 14, 0);
}

/* n claimed rows, jobs first, first + 1, ... of one session. */
static inline PGresult *rows_claimed(int first, int n, int times_claimed)
{
	PGresult *result = rows_of(16);

	for (int i = 0; i < n; i++) {
		char text[32];

		snprintf(text, sizeof(text), "line %d", first + i);
		claimed_row(result, i, first + i, 999, times_claimed, text);
	}
	return result;
}

/* ---- a rater whose calls wait ---- */

static struct ask *asked[64];
static int nasked;

static void fake_start(struct rater *r, struct ask *ask)
{
	(void)r;
	assert_in_range(nasked, 0, 63);
	asked[nasked++] = ask;
}

static void fake_cancel(struct rater *r, struct ask *ask)
{
	(void)r;
	for (int i = 0; i < nasked; i++)
		if (asked[i] == ask)
			asked[i] = NULL;
}

static const struct rater_ops fake_ops = {
	.name = "fake", .advice = "see to it", .start = fake_start, .cancel = fake_cancel,
};

/* All lines of the call get this rating; or the outcome, where that is another. */
static inline void call_rated(struct rater *r, struct ask *ask, enum outcome outcome)
{
	for (size_t i = 0; i < ask->nlines; i++)
		if (outcome == OUTCOME_RATED)
			verdict_give(&ask->verdicts[i], r->config, &ask->job->arena, "good", NULL,
				     0, "");
	if (outcome != OUTCOME_RATED)
		verdict_all(ask->verdicts, ask->nlines, outcome);
	ask->used.calls = 1;
	rater_done(r, ask);
}

/* The call fails. */
static inline void call_failed(struct rater *r, struct ask *ask, enum err_kind kind)
{
	ask_fail(ask, kind, "it broke");
	ask->used.calls = 1;
	rater_done(r, ask);
}

/* ---- all of it ---- */

static char *fixture_scale[] = { "excellent", "good" };
static char *fixture_speakers[] = { "rep", "user" };
static struct config config;
static struct rater rater, fallback;
static struct child child;
static struct queue queue;
static struct context ctx;
static struct joblist jobs;

static void reset_rater(struct rater *r, bool is_fallback)
{
	*r = (struct rater){ .ops = &fake_ops, .config = &config, .model = "m",
			     .fallback = is_fallback };
	strcpy(r->fingerprint, "f");
	r->done_tail = &r->done_head;
}

static inline int set_up_worker(void **state)
{
	static bool waking;

	if (make_scoreboard(state) == -1 || (!waking && wake_init() == -1))
		return -1;
	waking = true;
	config = (struct config){
		.rater = { .scale = { fixture_scale, 2 }, .speakers = { fixture_speakers, 2 },
			   .alternatives = 3, .lines_per_call = 20 },
		.pool = { .workers = 1, .in_flight = 4, .claim_batch = 64, .drain_ms = 1000 },
		.queue = { .poll_ms = 5000, .job_deadline_ms = 60000 },
		.cache = { .ttl_ms = 1000 },
	};
	reset_rater(&rater, false);
	reset_rater(&fallback, true);
	child = (struct child){ .index = SLOT_FIRST_WORKER, .sb = sb, .config = &config,
				.slot = &sb->slots[SLOT_FIRST_WORKER], .identity = "host boot 1" };
	ctx = (struct context){ .child = &child, .config = &config, .rater = &rater,
				.queue = &queue };
	jobs = (struct joblist){ .n = 0 };
	fake_pg.ready = true;
	nasked = 0;
	queue_init(&queue, NULL);
	return 0;
}

static inline int tear_down_worker(void **state)
{
	while (fake_pg.n > 0)
		free_sent(&fake_pg.sent[--fake_pg.n]);
	for (struct grading *g = jobs.head, *next; g; g = next) {
		next = g->next;
		grading_free(g);
	}
	queue_free(&queue);
	return unmap_scoreboard(state);
}

/*
 * A job in hand, claimed for the first time, not looked up: one line of session `session` with this
 * text.
 */
static inline struct grading *add_job(int n, int session, const char *text)
{
	PGresult *result = rows_of(16);
	struct claimed_row row;
	struct grading *g;

	claimed_row(result, 0, n, session, 1, text);
	queue_claimed_row(result, 0, &row);
	g = grading_new(&row, &rater, true);
	g->rater = &rater;
	joblist_add(&jobs, g);
	PQclear(result);
	return g;
}

/* Whether the child in that slot was woken since this was asked last. */
static inline bool was_woken(int slot)
{
	uint64_t count;

	return read(wake_fd(slot), &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static inline uint64_t counted(enum counter c)
{
	return atomic_load(&child.slot->counters[c]);
}

#define WORKER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_worker, tear_down_worker)

#endif
