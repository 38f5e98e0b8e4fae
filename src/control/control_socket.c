/*
 * The control socket's lock, directory, owner and mode. Supervisor, at its start and end; it
 * answers nobody.
 */
#include "control/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TRIES 8
#define BACKLOG 64

static int refuse_path(const char *path, struct err *err)
{
	return err_set(err, ERR_CONFIG,
		       "control.socket must have 1 to %zu characters, not %zu: \"%.200s\"",
		       CONTROL_PATH_SIZE - 1, strlen(path), path);
}

static int refuse_file(const char *path, struct err *err)
{
	return err_set(err, ERR_CONFIG,
		       "%s exists and is no socket; move it away, or set control.socket", path);
}

/* ---- its directory ---- */

/* The directory of path, "" for none, into out (CONTROL_PATH_SIZE bytes). */
static const char *directory_of(const char *path, char *out)
{
	const char *slash = strrchr(path, '/');

	snprintf(out, CONTROL_PATH_SIZE, "%.*s", (int)(slash ? slash - path : 0), path);
	return out;
}

/*
 * One directory, and none at the top of the file system: such a name is a typing error, or the
 * operator's to make.
 */
static int make_directory(const char *path, struct err *err)
{
	char dir[CONTROL_PATH_SIZE];
	mode_t mask;
	int made, saved;

	directory_of(path, dir);
	if (!dir[0] || access(dir, F_OK) == 0)
		return 0;
	if (strrchr(dir, '/') == dir)
		return err_set(err, ERR_CONFIG,
			       "control.socket: there is no directory %s, and none is made at the "
			       "top of the file system", dir);
	mask = umask(022);
	made = mkdir(dir, 0755);
	saved = errno;
	umask(mask);
	if (made == -1 && saved != EEXIST)
		return err_set(err, ERR_CONFIG,
			       "cannot make the directory %s for the control socket: %s%s", dir,
			       strerror(saved),
			       saved == ENOENT ? "; the directory above it has to be there" : "");
	return 0;
}

/* ---- whether it could be ---- */

/* Something can be made in dir: it is tried, under a name of its own. */
static int try_making(const char *dir, const char *what, struct err *err)
{
	char path[CONTROL_PATH_SIZE + sizeof("/.gradingd.XXXXXX")];

	snprintf(path, sizeof(path), "%s/.gradingd.XXXXXX", dir);
	if (!mkdtemp(path))
		return err_set(err, ERR_CONFIG, "cannot make %s for the control socket: %s%s", what,
			       strerror(errno),
			       errno == ENOENT ? "; the directory above it has to be there" : "");
	rmdir(path);
	return 0;
}

int control_socket_check(const char *path, struct err *err)
{
	char dir[CONTROL_PATH_SIZE], parent[CONTROL_PATH_SIZE], what[CONTROL_PATH_SIZE + 40];
	struct stat st;

	if (strlen(path) >= CONTROL_PATH_SIZE)
		return refuse_path(path, err);
	directory_of(path, dir);
	if (stat(dir[0] ? dir : "/", &st) == 0) {
		if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
			return refuse_file(path, err);
		snprintf(what, sizeof(what), "a file in %s", dir[0] ? dir : "/");
		return try_making(dir, what, err);
	}
	if (strrchr(dir, '/') == dir)
		return make_directory(path, err);	/* which says why not */
	snprintf(what, sizeof(what), "the directory %s", dir);
	return try_making(directory_of(dir, parent), what, err);
}

/* ---- the lock ---- */

static int say_locked(int fd, const char *path, struct err *err)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
	size_t digits = strspn(pid, "0123456789");

	if (n > 0 && digits > 0)
		return err_set(err, ERR_PERMANENT, "another gradingd (pid %.*s) holds %s",
			       (int)digits, pid, path);
	return err_set(err, ERR_PERMANENT, "another gradingd holds %s", path);
}

/*
 * Whoever closes removes the file, so the one we locked may be no longer the one others will find.
 */
static bool lock_is_in_place(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static int try_lock(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if (fd == -1)
		return err_set(err, ERR_CONFIG, "cannot open the lock file %s: %s", path,
			       strerror(errno));
	/* Another name of some other file: it would be emptied for our pid. */
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_nlink > 1) {
		close(fd);
		return err_set(err, ERR_CONFIG, "the lock file %s is no file of its own; remove it",
			       path);
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (errno == EWOULDBLOCK)
		say_locked(fd, path, err);
	else
		err_set(err, ERR_CONFIG, "cannot lock %s: %s", path, strerror(errno));
	close(fd);
	return -1;
}

static int take_lock(const char *path, struct err *err)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = try_lock(path, err);

		if (fd == -1)
			return -1;
		if (lock_is_in_place(fd, path)) {
			/* Only a courtesy to whoever is refused; the lock itself is what counts. */
			if (ftruncate(fd, 0) == 0)
				dprintf(fd, "%d\n", (int)getpid());
			return fd;
		}
		close(fd);
	}
	return err_set(err, ERR_RETRY, "the lock file %s is removed by others again and again",
		       path);
}

/* ---- the socket ---- */

static int remove_stale(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) == -1)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return refuse_file(path, err);
	if (unlink(path) == -1)
		return err_set(err, ERR_CONFIG, "cannot remove the stale socket %s: %s", path,
			       strerror(errno));
	return 0;
}

/*
 * By a descriptor of what is there, once it is known to be ours: the name may lead elsewhere a
 * moment later.
 */
static int give_to_group(const char *path, const char *name, struct err *err)
{
	const struct group *group = getgrnam(name);
	struct stat st;
	int fd, rc = -1;

	if (!group)
		return err_set(err, ERR_CONFIG, "control.group: there is no group \"%s\"", name);
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	errno = EPERM;
	if (fd != -1 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_nlink == 1 &&
	    st.st_uid == geteuid())
		rc = fchownat(fd, "", (uid_t)-1, group->gr_gid, AT_EMPTY_PATH);
	if (rc == -1)
		err_set(err, ERR_CONFIG, "cannot give %s to group %s: %s", path, name,
			strerror(errno));
	if (fd != -1)
		close(fd);
	return rc;
}

/* The mode comes from the mask, so that nothing is left to be changed by its name. */
static int bind_there(const struct control_socket *s, bool for_group)
{
	mode_t mask = umask(for_group ? 0117 : 0177);
	int bound = bind(s->listener, (const struct sockaddr *)&s->address, sizeof(s->address));
	int saved = errno;

	umask(mask);
	errno = saved;
	return bound;
}

/* Nobody can connect before listen(2), and by then owner and mode are what they should be. */
static int bind_and_listen(struct control_socket *s, const char *group, struct err *err)
{
	const char *path = s->address.sun_path;

	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listener == -1)
		return err_set(err, ERR_RETRY, "cannot make a socket: %s", strerror(errno));
	if (remove_stale(path, err) == -1)
		return -1;
	if (bind_there(s, group[0]) == -1)
		return err_set(err, ERR_CONFIG, "cannot bind the control socket %s: %s", path,
			       strerror(errno));
	s->bound = true;
	if (group[0] && give_to_group(path, group, err) == -1)
		return -1;
	if (listen(s->listener, BACKLOG) == -1)
		return err_set(err, ERR_RETRY, "cannot listen on %s: %s", path, strerror(errno));
	return 0;
}

int control_socket_open(struct control_socket *s, const char *path, const char *group,
			struct err *err)
{
	*s = (struct control_socket){ .listener = -1, .lock = -1, .address.sun_family = AF_UNIX };
	if (!path[0] || strlen(path) >= CONTROL_PATH_SIZE)
		return refuse_path(path, err);
	memcpy(s->address.sun_path, path, strlen(path));
	snprintf(s->lock_path, sizeof(s->lock_path), "%s.lock", s->address.sun_path);
	if (make_directory(path, err) == -1)
		return -1;
	s->lock = take_lock(s->lock_path, err);
	return s->lock == -1 ? -1 : bind_and_listen(s, group, err);
}

/* The lock file goes last: until then no other daemon touches the path. */
void control_socket_remove(struct control_socket *s)
{
	if (s->bound)
		unlink(s->address.sun_path);
	if (s->lock != -1)
		unlink(s->lock_path);
	control_socket_close(s);
}

void control_socket_close(struct control_socket *s)
{
	if (s->listener != -1)
		close(s->listener);
	if (s->lock != -1)
		close(s->lock);
	s->listener = s->lock = -1;
}
