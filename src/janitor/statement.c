/*
 * Sends the janitor's statements. It knows none of them: the parts do, and each allows itself one
 * of a kind on its way.
 */
#include "statement.h"

#include "base/log.h"
#include "process/wake.h"
#include "scoreboard/floor.h"
#include "scoreboard/trouble.h"

#define PARAM_CAP_BYTES (1u << 20)

struct buf *statement_begin(struct maintenance *m)
{
	statement_free(m);
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_init(&m->params[i], PARAM_CAP_BYTES);
	return m->params;
}

bool statement_send(struct maintenance *m, enum statement_id id, pg_answer_fn *answer, void *arg)
{
	for (int i = 0; i < statements[id].nparams; i++)
		if (!buf_ok(&m->params[i]))
			return false;
	return pg_send(m->pg, &statements[id], m->params, answer, arg) == 0;
}

bool statement_answered(const struct err *err)
{
	if (err && err->kind != ERR_LOST) {
		log_error("%s; trying again with the next poll", err->text);
		trouble_say(err->text);
	}
	return !err;
}

void statement_free(struct maintenance *m)
{
	for (int i = 0; i < STATEMENT_MAX_PARAMS; i++)
		buf_free(&m->params[i]);
}

void statement_timer(struct maintenance *m, struct loop_timer *timer, int64_t delay_ms,
		     loop_timer_fn *fn, void *arg)
{
	if (loop_timer_set(m->loop, timer, delay_ms, fn, arg) == -1)
		fatal("out of memory: cannot set a timer");
}

void statement_wake(void *arg)
{
	struct maintenance *m = arg;

	if (wake_one_waiting(m->sb, -1))
		slot_count(m->slot, COUNTER_WAKES, 1);
}

void statement_put_back(struct maintenance *m, enum counter counter, int n, int nfailed)
{
	slot_count(m->slot, counter, (uint64_t)n);
	slot_count(m->slot, COUNTER_JOBS_FAILED, (uint64_t)nfailed);
	floors_forget(m->sb);
	statement_wake(m);
}
