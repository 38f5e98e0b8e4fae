/* The bottom of the publisher: how its channels send a statement and set a timer. */
#include "base/log.h"
#include "channel.h"

#define PARAM_CAP_BYTES (4u << 20)

void publishing_end(struct publishing *p)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_free(&p->params[i]);
}

struct buf *publishing_begin(struct publishing *p)
{
	publishing_end(p);
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_init(&p->params[i], PARAM_CAP_BYTES);
	return p->params;
}

bool publishing_send(struct publishing *p, enum statement_id id, pg_answer_fn *answer, void *arg)
{
	for (int i = 0; i < statements[id].nparams; i++)
		if (!buf_ok(&p->params[i]))
			return false;
	return pg_send(p->pg, &statements[id], p->params, answer, arg) == 0;
}

void publishing_timer(struct publishing *p, struct loop_timer *timer, int64_t delay_ms,
		      loop_timer_fn *fn, void *arg)
{
	if (loop_timer_set(p->loop, timer, delay_ms, fn, arg) == -1)
		fatal("out of memory: cannot set a timer");
}
