/*
 * With which status a process of ours ends, and so what its parent or a service manager makes of
 * it.
 */
#ifndef EXIT_CODE_H
#define EXIT_CODE_H

enum exit_code {
	EXIT_STOPPED = 0,	/* done, retired, or asked to stop */
	EXIT_FAILED = 1,	/* fatal(), or a command that could not do what was asked */
	EXIT_TRY_LATER = 75,	/* the database or the daemon is away */
	EXIT_BAD_CONFIG = 78,	/* an operator must change something before it is started again */
};

#endif
