/*
 * The control socket as a place in the file system: lock file, directory, stale socket, owner and
 * mode. server.c alone uses it; who connects is that file's business.
 */
#ifndef CONTROL_SOCKET_H
#define CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/err.h"

#define CONTROL_PATH_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

struct control_socket {
	int listener, lock;		/* -1: not open */
	bool bound;			/* the socket at the path is ours to remove */
	struct sockaddr_un address;
	char lock_path[CONTROL_PATH_SIZE + sizeof(".lock")];
};

/* See control_open(). Fills *s in any case, so that control_socket_remove() always follows. */
int control_socket_open(struct control_socket *s, const char *path, const char *group,
			struct err *err);
/* Whether it could be made: a name of its own is, there, and taken away again. -1 and err. */
int control_socket_check(const char *path, struct err *err);
/* Closes, and takes socket and lock file away. */
void control_socket_remove(struct control_socket *s);
/* Closes only. */
void control_socket_close(struct control_socket *s);

#endif
