/*
 * An external program that is kept running: bytes to its standard input, lines from its standard
 * output, its standard error into our log. Workers only, on the process's own loop; nothing blocks.
 * Whatever becomes of this process, the program and all that it started end with it.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"

struct program;

struct program_end {
	bool started;		/* it was executed; otherwise `how` says why not */
	bool orderly;		/* exit status 0 */
	bool took;		/* it had begun to read what was sent last */
	pid_t pid;
	char how[160];		/* "ended with exit status 3", "was killed by signal 9 (Killed)" */
};

/* All from the loop. line and overlong may send and kill, only ended may free. */
struct program_events {
	/* A line of its output, NUL-terminated, without the newline; valid during the call. */
	void (*line)(void *arg, const char *line, size_t len);
	void (*overlong)(void *arg);	/* a line beyond the cap: kill it, nothing more is read */
	/* The last of them: nothing of the program is left. */
	void (*ended)(void *arg, const struct program_end *end);
};

/* Whether argv[0] could be executed by us now; -1 and err (ERR_CONFIG) says why not. */
int program_check(const char *path, struct err *err);

/*
 * Starts argv[0] (an absolute path) with this environment, both NULL-terminated and the caller's.
 * That it could not be executed is told by ended(). NULL and err when there is no memory, process
 * or descriptor to be had.
 */
struct program *program_start(struct loop *loop, char *const *argv, char *const *env,
			      size_t line_cap_bytes, const struct program_events *events, void *arg,
			      struct err *err);

/* Copies; bytes that do not fit into the pipe follow when they do. */
void program_send(struct program *p, const char *bytes, size_t len);
/* How many bytes of what was sent last it has not read yet. */
size_t program_unread(const struct program *p);
/* Nothing of its output waits to be read, not even part of a line. */
bool program_is_quiet(const struct program *p);
pid_t program_pid(const struct program *p);	/* 0 until known */

/* Kills it and all that it started; ended() follows. */
void program_kill(struct program *p);
/* Ends its input; some time later sends TERM, at last kills it. at_once: TERM now. */
void program_stop(struct program *p, bool at_once);
/* At any time: kills what is left. No ended() follows. NULL is fine. */
void program_free(struct program *p);

#endif
