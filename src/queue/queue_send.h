/* What the files of the queue share: a statement's parameters, and how it is sent. */
#ifndef QUEUE_SEND_H
#define QUEUE_SEND_H

#include "queue/queue.h"
#include "queue/statements.h"

/* The parameters, empty, for the next statement; q->params. */
struct buf *queue_begin(struct queue *q);

/* Sends what was packed. -1 when the connection is not ready; what exceeds its cap is fatal. */
int queue_send(struct queue *q, enum statement_id id, pg_answer_fn *answer, void *arg);

/* An array of keys, as one parameter. */
void queue_put_keys(struct buf *b, const char *const *keys, size_t n);

/* A column that is text; NULL when it is null. Lives as long as the result. */
const char *queue_cell(const PGresult *result, int row, int column);

#endif
