/*
 * The keeper: a process of its own between a worker and its program. It is the program's parent and
 * adopts all orphans below it, so that it can end them all, even when the worker was killed with
 * SIGKILL. For program.c.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdint.h>

struct keeper_task {
	char *const *argv, *const *env;
	int in, out, err;	/* the program's ends of its three pipes */
	int orders;		/* read here; end of file means that the worker is gone */
	int reports;		/* written here; end of file means that nothing is left */
};

enum keeper_order { KEEPER_TERM = 'T', KEEPER_KILL = 'K' };	/* a byte each */

/* Each is written at once, so they are read whole. */
struct keeper_report {
	enum { KEEPER_PID, KEEPER_NOT_STARTED, KEEPER_ENDED } what;
	int32_t value;		/* its pid, an errno, its wait status */
};

/*
 * Just after fork, all signals blocked; possibly from a process with threads, so it calls nothing
 * but async-signal-safe functions. Never returns.
 */
void keeper_main(const struct keeper_task *task) __attribute__((noreturn));

#endif
