/*
 * The words of the control socket, written once: which commands there are, who may say them, what
 * help says of them, and finding the one that a request line means. Pure, and without what the
 * commands do: gradingctl links it, too.
 */
#ifndef GRAMMAR_H
#define GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "control/protocol.h"

/*
 * X(id, words, arguments as help shows them, how many at least, at most, who may say it, help).
 * Arguments are counted without "json", which every READ takes. A help of NULL: another way to say
 * the row above. Rows that begin with the same words stand together, and no row is the beginning of
 * another.
 */
#define CONTROL_COMMANDS(X) \
	X(SHOW_STATUS,  "show status",  "", 0, 0, READ, "the pool at a glance") \
	X(SHOW_WORKERS, "show workers", "", 0, 0, READ, "one line for each child") \
	X(SHOW_QUEUE,   "show queue",   "", 0, 0, READ, "what waits, as last counted") \
	X(SHOW_METRICS, "show metrics", "", 0, 0, READ, "all counters, as Prometheus text") \
	X(SHOW_CONFIG,  "show config",  "", 0, 0, READ, "every key; secrets are starred") \
	X(SHOW_ERRORS,  "show errors",  "", 0, 0, READ, \
	  "each child's last error; rows that are refused") \
	X(SHOW_LIMITS,  "show limits",  "", 0, 0, READ, \
	  "breaker, requests and tokens a minute, open calls") \
	X(SHOW_VERSION, "show version", "", 0, 0, READ, "version and pid") \
	X(PAUSE,   "pause",   "", 0, 0, ADMIN, "claim nothing more, finish what is in hand") \
	X(RESUME,  "resume",  "", 0, 0, ADMIN, "claim again after a pause") \
	X(DRAIN,   "drain",   "", 0, 0, ADMIN, "finish what is in hand, then stop") \
	X(RELOAD,  "reload",  "", 0, 0, ADMIN, "load the configuration again") \
	X(SCALE,   "scale",   "N", 1, 1, ADMIN, "run N workers") \
	X(RECYCLE, "recycle", "[SLOT]", 0, 1, ADMIN, "replace one child, or all workers") \
	X(LOG,     "log",     "LEVEL", 1, 1, ADMIN, "log error, warn, info or debug, and above") \
	X(OPEN_BREAKER,      "open breaker",      "", 0, 0, ADMIN, \
	  "give the rater a rest until closed") \
	X(OPEN_THE_BREAKER,  "open the breaker",  "", 0, 0, ADMIN, NULL) \
	X(CLOSE_BREAKER,     "close breaker",     "", 0, 0, ADMIN, "ask the rater again, now") \
	X(CLOSE_THE_BREAKER, "close the breaker", "", 0, 0, ADMIN, NULL) \
	X(CLOSE_IT,          "close it",          "", 0, 0, ADMIN, NULL) \
	X(HELP, "help", "", 0, 0, READ, "this list")

#define X(id, words, args, min, max, access, help) COMMAND_##id,
enum control_command { CONTROL_COMMANDS(X) COMMAND_COUNT };
#undef X

enum access { ACCESS_READ, ACCESS_ADMIN };

struct grammar_row {
	const char *words;
	const char *args;
	int min_args, max_args;
	enum access access;
	const char *help;
};
extern const struct grammar_row grammar[COMMAND_COUNT];

#define REQUEST_WORDS_MAX 8

/* A request line that is understood. */
struct request {
	enum control_command command;
	bool json;
	int nargs;
	char *args[REQUEST_WORDS_MAX];		/* in `line` */
	char line[CONTROL_LINE_CAP + 1];	/* cut at its blanks */
};

/*
 * Reads a line (without newline) that was said by an admin, or by a reader; words may be cut short
 * as long as they name one command. Returns -1 and err, in one printable line, when it is no
 * command, or not for who said it.
 */
int grammar_read(struct request *r, const char *line, bool admin, struct err *err);

/* "show status [json]"; out has GRAMMAR_USAGE_SIZE bytes, and is returned. */
#define GRAMMAR_USAGE_SIZE 64
const char *grammar_usage(enum control_command command, char *out);

/* All commands, a line each with what it does; for help, gradingctl and the checks. */
void grammar_help(struct buf *out);

#endif
