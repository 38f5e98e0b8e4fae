/*
 * Root in places that are not root's alone. What another user may change can be made to lead
 * anywhere, between any two calls: there root acts as that user, who can go no further by a link
 * than without one. Only while there is one thread.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Whether nobody but root can change what path leads to, up to its last name: each directory on the
 * way, links followed, is root's and not for others to write. A group may write that `user` ("": no
 * user in particular) is not in. What is not there yet would be made by root. False also where that
 * cannot be found out.
 */
bool place_is_roots(const char *path, const char *user);

#define PLACE_GROUPS 256

struct place_guest {
	bool acting;
	gid_t gid, groups[PLACE_GROUPS];	/* whose place the guest's were taken in */
	int ngroups;
};

/*
 * From here to place_leave() this process is `user`, if it is root, has a user to become, and path
 * is not root's; otherwise nothing changes. group: one more that the guest is in ("": none). -1 and
 * err, as when there is no such user; nothing has changed then.
 */
int place_enter(struct place_guest *g, const char *path, const char *user, const char *group,
		struct err *err);
/* Root again; errno stays as it is. */
void place_leave(const struct place_guest *g);

#endif
