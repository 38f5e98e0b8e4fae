/*
 * What every statement of a worker begins and ends with: memory to pack its parameters in, and
 * sending it. The queue_*.c beside this pack and unpack one group of statements each; values travel
 * as parameters only, never inside SQL text. Runs in workers. Keeps no state but memory.
 */
#include "queue_send.h"

#include <string.h>

#include "base/log.h"
#include "pg/pgbinary.h"
#include "provenances.h"

/* A batch of jobs at their caps, with all their lines, stays below this. */
#define PARAM_CAP_BYTES (256u << 20)
#define KEEP_BYTES (256u << 10)		/* memory that a parameter keeps for the next statement */
#define ALTERNATIVES_SEPARATOR '\x1f'	/* as in sql/pieces/separator.sql */

void queue_init(struct queue *q, struct pg *pg)
{
	q->pg = pg;
	q->provenances = provenances_new();
	q->bearer = (struct bearer){ .on_its_way = false };
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_init(&q->params[i], PARAM_CAP_BYTES);
}

void queue_free(struct queue *q)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_free(&q->params[i]);
	provenances_free(q->provenances);
}

void queue_connected(struct queue *q)
{
	provenances_forget(q->provenances);
}

struct buf *queue_begin(struct queue *q)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++) {
		if (q->params[i].size > KEEP_BYTES)
			buf_free(&q->params[i]);
		buf_reset(&q->params[i]);
	}
	return q->params;
}

int queue_send(struct queue *q, enum statement_id id, pg_answer_fn *answer, void *arg)
{
	for (int i = 0; i < statements[id].nparams; i++)
		if (!buf_ok(&q->params[i]))
			fatal("statement `%s`: its parameters exceed %u bytes", statements[id].name,
			      PARAM_CAP_BYTES);
	return pg_send(q->pg, &statements[id], q->params, answer, arg);
}

void queue_put_keys(struct buf *b, const char *const *keys, size_t n)
{
	pgitems_begin(b, PG_TEXT);
	for (size_t i = 0; i < n; i++)
		pgitem_text(b, keys[i]);
}

const char *queue_cell(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
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
