/*
 * The janitor's surroundings for the tests of its parts: what its parts share, a loop for their
 * timers, and the scripted Postgres of worker_fixture.h.
 */
#ifndef JANITOR_FIXTURE_H
#define JANITOR_FIXTURE_H

#include "worker_fixture.h"

#include "janitor/statement.h"

static struct maintenance m;

static inline int set_up_janitor(void **state)
{
	if (set_up_worker(state) == -1)
		return -1;
	config.queue.stuck_after_ms = 600000;
	config.queue.keep_completed_ms = 3600000;
	config.queue.keep_failed_ms = 7200000;
	m = (struct maintenance){
		.loop = loop_new(), .config = &config, .sb = sb, .slot = &sb->slots[SLOT_JANITOR]
	};
	return m.loop ? 0 : -1;
}

static inline int tear_down_janitor(void **state)
{
	statement_free(&m);
	loop_free(m.loop);
	return tear_down_worker(state);
}

/* What the janitor counted. */
static inline uint64_t cared(enum counter c)
{
	return atomic_load(&m.slot->counters[c]);
}

/* Lets timers run until something is sent, or for so long. */
static inline bool sent_within(int64_t ms)
{
	int64_t until = now_ms() + ms;

	while (fake_pg.n == 0 && now_ms() < until)
		loop_turn(m.loop, 10);
	return fake_pg.n > 0;
}

/* A chore's answer: this outcome for each of the first n places. */
static inline PGresult *rows_outcome(int n, const char *outcome)
{
	PGresult *result = rows_of(2);

	for (int i = 0; i < n; i++) {
		cell_int8(result, i, 0, i + 1);
		cell_text(result, i, 1, outcome);
	}
	return result;
}

static inline void cell_bool(PGresult *result, int row, int column, bool value)
{
	char byte = value;

	cell_bytes(result, row, column, &byte, 1);
}

/* Whether the parameter holds the uuid, in its binary form. */
static inline bool param_has_uuid(int place, int param, const char *uuid)
{
	const struct buf *b = &fake_pg.sent[place].params[param];
	unsigned char bytes[UUID_BYTES];

	uuid_bytes(uuid, bytes);
	return memmem(b->data, b->len, bytes, sizeof(bytes));
}

static inline bool param_has_text(int place, int param, const char *text)
{
	const struct buf *b = &fake_pg.sent[place].params[param];

	return memmem(b->data, b->len, text, strlen(text));
}

#define JANITOR_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_janitor, tear_down_janitor)

#endif
