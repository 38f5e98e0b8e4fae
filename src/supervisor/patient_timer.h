/* Timers of a process that nothing may end: one that cannot be set is said, and life goes on. */
#ifndef PATIENT_TIMER_H
#define PATIENT_TIMER_H

#include "base/log.h"
#include "base/loop.h"

static inline void patient_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms,
				     loop_timer_fn *fn, void *arg)
{
	if (loop_timer_set(loop, timer, delay_ms, fn, arg) == -1)
		log_error("out of memory: a timer could not be set");
}

#endif
