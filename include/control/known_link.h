/*
 * Where a daemon's socket is to be found without its configuration: a symbolic link to it, named
 * after the configuration's file, in a directory that everybody can work out. The supervisor leaves
 * it; gradingctl looks for it when the file is broken, or not for its user to read.
 *
 *     /run/gradingd-links    where root starts the daemon
 *     /run/gradingd          where a service manager has made that for it
 *     /run/user/UID/gradingd, /tmp/gradingd-UID    of anybody else, for that user
 */
#ifndef KNOWN_LINK_H
#define KNOWN_LINK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define KNOWN_LINK_NAME_SIZE 256
#define KNOWN_LINK_PLACES 6

/* The link's name for the configuration at an absolute path; out has KNOWN_LINK_NAME_SIZE bytes. */
const char *known_link_name(const char *config_path, char *out);

/* ---- the daemon's side ---- */

struct known_link { char path[PATH_MAX]; };		/* "": none */

/*
 * Leaves a link to the socket, in the place of an older one, and removes those beside it that lead
 * nowhere any more. Before root is dropped. -1 and err when there is no place for it.
 */
int known_link_leave(struct known_link *link, const char *config_path, const char *socket,
		     struct err *err);
/* Leaves it again if somebody took it away, as those do who tidy up /tmp. */
void known_link_keep(struct known_link *link, const char *config_path, const char *socket);
/* Takes it away, if it still leads to that socket and we may. */
void known_link_remove(struct known_link *link, const char *socket);

/* ---- gradingctl's side ---- */

/* A walk over the places. */
struct known_link_search {
	char name[KNOWN_LINK_NAME_SIZE];
	uid_t uids[2];			/* whose own places are looked at, too */
	int at;				/* next place */
	char link[PATH_MAX];		/* what was found */
	char socket[PATH_MAX];		/* where it leads */
};

/* Of the caller and of the owner of the configuration. */
void known_link_begin(struct known_link_search *s, const char *config_path);
/*
 * The next link that may be trusted: nobody but root, the daemon's user or the caller could have
 * made it. False at the end.
 */
bool known_link_next(struct known_link_search *s);
/* What was found leads nowhere: takes it away where the caller may. */
void known_link_forget(const struct known_link_search *s);

#endif
