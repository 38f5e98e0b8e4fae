/* When a dead child is started again: pure policy over its history and how it ended. */
#ifndef RESTART_H
#define RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_FIRST_DELAY_MS 500
#define RESTART_MAX_DELAY_MS 30000
#define RESTART_GOOD_LIFE_MS 60000	/* so long alive, and earlier crashes are forgotten */

/* One a slot; zero-initialise. */
struct restart_history {
	unsigned crashes;		/* in a row, without a good or useful life between */
};

struct restart_decision {
	bool stop_all;			/* the configuration is wrong: no child can work */
	int64_t delay_ms;		/* else: start again so much later */
};

/*
 * status: as wait(2) gave it. lived_ms: from fork to death. useful: it settled a job in that time,
 * so restarting it at once is no empty loop. was_up: the pool has been up, so that what a child
 * finds wrong now was changed meanwhile (a rubric that is being edited) and may be mended: the
 * others go on. random: any 32 random bits, for jitter.
 *
 * The first crash restarts at once; then half a second doubling to 30 s, each with up to half of it
 * taken off. Exit status 0 is no crash (retired or asked to) and restarts at once.
 */
struct restart_decision restart_decide(struct restart_history *h, int status, int64_t lived_ms,
				       bool useful, bool was_up, uint32_t random);

#endif
