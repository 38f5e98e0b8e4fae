/*
 * The control socket's lock, directory, owner and mode. Supervisor, at its start and end; it
 * answers nobody.
 */
#include "control/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TRIES 8
#define BACKLOG 64

/* What is made here is ours to remove: *made says whether there was anything to make. */
static int make_directory(const char *path, bool *made_it, struct err *err)
{
	char dir[CONTROL_PATH_SIZE];
	const char *slash = strrchr(path, '/');
	int made, saved;
	mode_t mask;

	*made_it = false;
	if (!slash || slash == path)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	mask = umask(022);
	made = mkdir(dir, 0755);
	saved = errno;
	umask(mask);
	*made_it = made == 0;
	errno = saved;
	if (made == -1 && saved != EEXIST)
		return err_set(err, ERR_CONFIG,
			       "cannot make the directory %s for the control socket: %s%s", dir,
			       strerror(saved),
			       saved == ENOENT ? "; the directory above it has to be there" : "");
	return 0;
}

int control_socket_check(const char *path, struct err *err)
{
	char dir[CONTROL_PATH_SIZE];
	bool made;

	if (make_directory(path, &made, err) == -1)
		return errno == EACCES ? 0 : -1;
	snprintf(dir, sizeof(dir), "%.*s",
		 (int)(strrchr(path, '/') ? strrchr(path, '/') - path : 0), path);
	if (made)
		rmdir(dir);
	return 0;
}

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

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static int try_lock(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		return err_set(err, ERR_CONFIG, "cannot open the lock file %s: %s", path,
			       strerror(errno));
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

static int remove_stale(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) == -1)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_CONFIG,
			       "%s exists and is no socket; move it away, or set control.socket",
			       path);
	if (unlink(path) == -1)
		return err_set(err, ERR_CONFIG, "cannot remove the stale socket %s: %s", path,
			       strerror(errno));
	return 0;
}

static int give_to_group(const char *path, const char *name, struct err *err)
{
	struct group *group = getgrnam(name);

	if (!group)
		return err_set(err, ERR_CONFIG, "control.group: there is no group \"%s\"", name);
	if (chown(path, (uid_t)-1, group->gr_gid) == -1 || chmod(path, 0660) == -1)
		return err_set(err, ERR_CONFIG, "cannot give %s to group %s: %s", path, name,
			       strerror(errno));
	return 0;
}

/* Nobody can connect before listen(2), and by then owner and mode are what they should be. */
static int bind_and_listen(struct control_socket *s, const char *group, struct err *err)
{
	const char *path = s->address.sun_path;
	mode_t mask;
	int bound;

	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listener == -1)
		return err_set(err, ERR_RETRY, "cannot make a socket: %s", strerror(errno));
	if (remove_stale(path, err) == -1)
		return -1;
	mask = umask(0177);
	bound = bind(s->listener, (struct sockaddr *)&s->address, sizeof(s->address));
	umask(mask);
	if (bound == -1)
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
	bool made;

	*s = (struct control_socket){ .listener = -1, .lock = -1, .address.sun_family = AF_UNIX };
	if (!path[0] || strlen(path) >= CONTROL_PATH_SIZE)
		return err_set(err, ERR_CONFIG,
			       "control.socket must have 1 to %zu characters, not %zu: \"%.200s\"",
			       CONTROL_PATH_SIZE - 1, strlen(path), path);
	memcpy(s->address.sun_path, path, strlen(path));
	snprintf(s->lock_path, sizeof(s->lock_path), "%s.lock", s->address.sun_path);
	if (make_directory(path, &made, err) == -1)
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
