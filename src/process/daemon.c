/* Going into the background, pid file, dropping root; the supervisor, before its first child. */
#include "process/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit_code.h"
#include "base/log.h"
#include "base/place.h"

static void wait_for_report(int fd)
{
	char line[1024];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(line) - 1 && (got = read(fd, line + n, sizeof(line) - 1 - n)) != 0) {
		if (got == -1 && errno != EINTR)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "0 ok") == 0)
		_exit(EXIT_STOPPED);
	fprintf(stderr, "gradingd: %s\n", line[0] && strchr(line, ' ') ? strchr(line, ' ') + 1 :
		"the daemon ended before the pool was up; see its log");
	_exit(strncmp(line, "0 ", 2) == 0 ? EXIT_STOPPED : atoi(line) > 0 ? atoi(line) :
	      EXIT_FAILED);
}

int daemon_start(struct err *err)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_set(err, ERR_RETRY, "cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid > 0) {
		close(fds[1]);
		wait_for_report(fds[0]);
	}
	close(fds[0]);
	if (pid == -1 || setsid() == -1)
		return err_set(err, ERR_RETRY, "cannot go into the background: %s",
			       strerror(errno));
	pid = fork();		/* no session leader, so no terminal can ever become ours */
	if (pid == -1)
		return err_set(err, ERR_RETRY, "cannot go into the background: %s",
			       strerror(errno));
	if (pid > 0)
		_exit(EXIT_STOPPED);
	if (chdir("/") == -1)
		return err_set(err, ERR_RETRY, "cannot change to /: %s", strerror(errno));
	return fds[1];
}

const char *daemon_log_target(const struct config *config, bool daemon)
{
	return daemon && strcmp(config->log.to, "stderr") == 0 ? "syslog" : config->log.to;
}

void daemon_leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null != -1 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

void daemon_report(int fd, int status, const char *reason)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%d %s\n", status, reason);

	if (fd == -1)
		return;
	if (write(fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) == -1)
		(void)0;	/* the waiting command was interrupted; we go on without it */
	close(fd);
	daemon_leave_terminal();	/* not before: what is said on the way is for the caller */
}

/*
 * The limit alone does not keep the kernel from piping a core to a program (core_pattern); the
 * filter leaves nothing to pipe but registers. Both are inherited. Where either cannot be set, the
 * other one still helps.
 */
void daemon_forbid_cores(void)
{
	struct rlimit none = { 0, 0 };
	int filter = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	setrlimit(RLIMIT_CORE, &none);
	if (filter == -1)
		return;
	if (write(filter, "0\n", 2) == -1)
		(void)0;
	close(filter);
}

int daemon_open_log(const struct config *config, bool daemon, struct err *err)
{
	const char *to = daemon_log_target(config, daemon), *user = config->pool.user;
	struct place_guest guest;
	int rc;

	if (to[0] != '/')
		return log_open(to, (enum log_level)config->log.level, err);
	if (place_enter(&guest, to, user, "", err) == -1)
		return -1;
	log_refuse_links(geteuid() == 0 && !place_is_roots(to, user));
	rc = log_open(to, (enum log_level)config->log.level, err);
	place_leave(&guest);
	return rc;
}

/* ---- the pid file ---- */

static struct { char path[PATH_MAX]; int fd; } pid_file = { .fd = -1 };

/* A link, or a second name of some other file, may have been left there for us. */
static int open_pid_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	struct stat st;

	if (fd == -1)
		return err_set(err, ERR_CONFIG, "cannot write the pid file %s: %s", path,
			       errno == ELOOP ? "it is a link; remove it" : strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
		return fd;
	close(fd);
	return err_set(err, ERR_CONFIG, "the pid file %s is no file of its own; remove it", path);
}

/*
 * Locked, and open, as long as this process lives; a lock of fcntl(2) is not handed on to children.
 */
int pid_file_write(const char *path, struct err *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_pid_file(path, err);

	if (fd == -1)
		return -1;
	if (fcntl(fd, F_SETLK, &whole) == -1 && (errno == EACCES || errno == EAGAIN)) {
		close(fd);
		return err_set(err, ERR_CONFIG, "the pid file %s is another daemon's that runs; "
			       "name another one with control.pid_file or -p", path);
	}
	if (ftruncate(fd, 0) == -1 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		err_set(err, ERR_CONFIG, "cannot write the pid file %s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	snprintf(pid_file.path, sizeof(pid_file.path), "%s", path);
	pid_file.fd = fd;
	return 0;
}

void pid_file_remove(void)
{
	struct stat ours, there;

	if (pid_file.fd == -1)
		return;
	if (fstat(pid_file.fd, &ours) == 0 && lstat(pid_file.path, &there) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
		unlink(pid_file.path);
	close(pid_file.fd);
	pid_file.fd = -1;
}

/* ---- another user ---- */

/* What lies elsewhere was made by that user, see place_enter(). */
static int give_away(const char *const *paths, const char *user, uid_t uid, struct err *err)
{
	for (; *paths; paths++) {
		if (!place_is_roots(*paths, user))
			continue;
		if (fchownat(AT_FDCWD, *paths, uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) == -1 &&
		    errno != ENOENT)
			return err_set(err, ERR_CONFIG, "cannot give %s to %s: %s", *paths, user,
				       strerror(errno));
	}
	return 0;
}

int drop_privileges(const char *user, const char *const *paths, struct err *err)
{
	const struct passwd *pw;
	uid_t uid;
	gid_t gid;

	if (!user[0] || geteuid() != 0)
		return 0;
	pw = getpwnam(user);
	if (!pw)
		return err_set(err, ERR_CONFIG, "pool.user: there is no user \"%s\"", user);
	uid = pw->pw_uid;	/* to ask about another user overwrites this one */
	gid = pw->pw_gid;
	if (give_away(paths, user, uid, err) == -1)
		return -1;
	log_chown(uid);
	if (initgroups(user, gid) == -1 || setgid(gid) == -1 || setuid(uid) == -1)
		return err_set(err, ERR_CONFIG, "cannot become user %s: %s", user, strerror(errno));
	if (uid != 0 && setuid(0) != -1)
		return err_set(err, ERR_CONFIG, "became user %s, but could become root again",
			       user);
	return log_check(err);	/* else no reload and no rotation would work */
}
