/* Rows that the database refuses, in shared memory. Children write, the supervisor reads. */
#include "scoreboard/refused.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "scoreboard/shared_text.h"

#define READ_TRIES 8
/* After its time a row is tried with the next look at the queue, which may have to wait as well. */
#define SHOWN_AFTER_MS 60000

static bool is_shown(const struct refused_row *row, int64_t now_ms)
{
	return row->id[0] && now_ms - SHOWN_AFTER_MS <= row->next_ms;
}

static bool is_same(const struct refused_row *row, const char *statement, const char *id)
{
	return strncmp(row->id, id, sizeof(row->id) - 1) == 0 &&
	       strncmp(row->statement, statement, sizeof(row->statement) - 1) == 0;
}

static struct refused_row *find(struct shared_refused *table, const char *statement, const char *id)
{
	for (int i = 0; i < REFUSED_MAX; i++)
		if (table->at[i].id[0] && is_same(&table->at[i], statement, id))
			return &table->at[i];
	return NULL;
}

/* One that is free or no longer shown, else that of the row whose time comes first. */
static struct refused_row *make_place(struct shared_refused *table, int64_t now_ms)
{
	struct refused_row *first = &table->at[0];

	for (int i = 0; i < REFUSED_MAX; i++) {
		struct refused_row *row = &table->at[i];

		if (!is_shown(row, now_ms))
			return row;
		if (row->next_ms < first->next_ms)
			first = row;
	}
	return first;
}

static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = utf8_cut(text, strlen(text), size - 1);

	memcpy(out, text, len);
	out[len] = '\0';
}

bool refused_put(struct shared_refused *table, const char *statement, const char *id,
		 const struct err *err, int64_t now_ms, int64_t next_ms)
{
	struct refused_row *row = find(table, statement, id);
	bool known = row && is_shown(row, now_ms);
	uint32_t begun = seqlock_write_begin(&table->seq);

	if (!row)
		row = make_place(table, now_ms);
	if (!known)
		*row = (struct refused_row){ .since_ms = now_ms };
	snprintf(row->id, sizeof(row->id), "%s", id);
	snprintf(row->statement, sizeof(row->statement), "%s", statement);
	snprintf(row->sqlstate, sizeof(row->sqlstate), "%s", err->sqlstate);
	copy_text(row->text, sizeof(row->text), err->text);
	row->next_ms = next_ms;
	seqlock_write_end(&table->seq, begun);
	return !known;
}

void refused_drop(struct shared_refused *table, const char *statement, const char *id)
{
	struct refused_row *row = find(table, statement, id);
	uint32_t begun;

	if (!row)
		return;
	begun = seqlock_write_begin(&table->seq);
	row->id[0] = '\0';
	seqlock_write_end(&table->seq, begun);
}

static bool read_table(const struct shared_refused *table, struct refused_row *rows)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load(&table->seq);

		memcpy(rows, table->at, sizeof(table->at));
		if (seqlock_read_ok(&table->seq, before))
			return true;
	}
	return false;
}

/* Whatever it holds, each text ends. */
static void end_texts(struct refused_row *row)
{
	row->id[sizeof(row->id) - 1] = '\0';
	row->statement[sizeof(row->statement) - 1] = '\0';
	row->sqlstate[sizeof(row->sqlstate) - 1] = '\0';
	row->text[sizeof(row->text) - 1] = '\0';
}

size_t refused_list(const struct shared_refused *table, int64_t now_ms, struct refused_row *out)
{
	size_t n = 0;

	if (atomic_load(&table->seq) == 0 || !read_table(table, out))
		return 0;
	for (int i = 0; i < REFUSED_MAX; i++) {
		if (!is_shown(&out[i], now_ms))
			continue;
		out[n] = out[i];
		end_texts(&out[n++]);
	}
	return n;
}
