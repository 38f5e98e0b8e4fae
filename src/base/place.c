/*
 * Whose a path is, and acting as a user for a while. Before privileges are dropped for good, and in
 * checks; it opens directories for a look and changes nothing in them.
 */
#include "base/place.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40		/* as the kernel has it */

struct groups { gid_t gids[PLACE_GROUPS]; int n; };

/* ---- whose a path is ---- */

/* On the way along a path, as the kernel walks it. */
struct walk {
	int dir;			/* where we are */
	struct stat at;
	char path[PATH_MAX];		/* from the last link on; of it */
	const char *rest;		/* this is still to go */
	int links;
	const struct groups *groups;	/* of the user who is not trusted */
};

static bool is_among(const struct groups *groups, gid_t gid)
{
	for (int i = 0; i < groups->n; i++)
		if (groups->gids[i] == gid)
			return true;
	return false;
}

static bool others_may_write(const struct walk *w)
{
	return w->at.st_uid != 0 || (w->at.st_mode & S_IWOTH) ||
	       ((w->at.st_mode & S_IWGRP) && w->at.st_gid != 0 &&
		(w->groups->n == 0 || is_among(w->groups, w->at.st_gid)));
}

/* As /tmp is: what root has made there others cannot rename or remove. */
static bool is_sticky(const struct walk *w)
{
	return w->at.st_uid == 0 && (w->at.st_mode & S_ISVTX);
}

static bool go_to(struct walk *w, int from, const char *name)
{
	int fd = openat(from, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return false;
	if (w->dir != -1)
		close(w->dir);
	w->dir = fd;
	return fstat(fd, &w->at) == 0;
}

static void set_path(struct walk *w, const char *path)
{
	strcpy(w->path, path);
	w->rest = w->path;
}

/* Goes on where the link leads, then with what was left. */
static bool follow(struct walk *w, const char *name)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlinkat(w->dir, name, target, sizeof(target) - 1);

	if (n <= 0 || ++w->links > LINKS_MAX)
		return false;
	target[n] = '\0';
	if ((size_t)n + 1 + strlen(w->rest) >= sizeof(rest))
		return false;
	strcpy(rest, target);
	strcat(rest, "/");
	strcat(rest, w->rest);
	set_path(w, rest);
	return target[0] != '/' || go_to(w, AT_FDCWD, "/");
}

enum step { STEP_ON, STEP_SAFE, STEP_UNSAFE };

static enum step safe_if(bool safe)
{
	return safe ? STEP_SAFE : STEP_UNSAFE;
}

/* Takes the next name off the path; out has room for any. False at the end. */
static bool next_name(struct walk *w, char *out)
{
	const char *begin = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(begin, "/");

	memcpy(out, begin, len);
	out[len] = '\0';
	w->rest = begin + len;
	w->rest += strspn(w->rest, "/");
	return len > 0;
}

static enum step go_on(struct walk *w)
{
	char name[PATH_MAX];
	struct stat st;
	bool last;

	if (!next_name(w, name))
		return STEP_SAFE;
	if (strcmp(name, ".") == 0)
		return STEP_ON;
	last = w->rest[0] == '\0';
	if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return safe_if(errno == ENOENT && !others_may_write(w));
	if (others_may_write(w) && (last || !is_sticky(w) || st.st_uid != 0))
		return STEP_UNSAFE;
	if (S_ISLNK(st.st_mode))
		return follow(w, name) ? STEP_ON : STEP_UNSAFE;
	if (last)
		return STEP_SAFE;
	return go_to(w, w->dir, name) ? STEP_ON : STEP_UNSAFE;
}

static bool is_roots(const char *path, const struct groups *groups)
{
	struct walk w = { .dir = -1, .groups = groups };
	enum step step = STEP_UNSAFE;

	if (path[0] == '/' && strlen(path) < sizeof(w.path) && go_to(&w, AT_FDCWD, "/")) {
		set_path(&w, path);
		do
			step = go_on(&w);
		while (step == STEP_ON);
	}
	if (w.dir != -1)
		close(w.dir);
	return step == STEP_SAFE;
}

static int find_groups(const struct passwd *pw, struct groups *groups)
{
	groups->n = PLACE_GROUPS - 1;		/* room for one more */
	return getgrouplist(pw->pw_name, pw->pw_gid, groups->gids, &groups->n) == -1 ? -1 : 0;
}

bool place_is_roots(const char *path, const char *user)
{
	struct groups groups = { .n = 0 };
	const struct passwd *pw = user[0] ? getpwnam(user) : NULL;

	if (user[0] && (!pw || find_groups(pw, &groups) == -1))
		return false;
	return is_roots(path, &groups);
}

/* ---- acting as somebody else ---- */

void place_leave(const struct place_guest *g)
{
	int saved = errno;

	/* Whoever cannot become root again would go on as somebody else without knowing it. */
	if (g->acting && (seteuid(0) == -1 || setegid(g->gid) == -1 ||
			  setgroups((size_t)g->ngroups, g->groups) == -1))
		abort();
	errno = saved;
}

static int become(struct place_guest *g, const struct passwd *pw, const struct groups *groups)
{
	g->gid = getegid();
	g->ngroups = getgroups(PLACE_GROUPS, g->groups);
	if (g->ngroups == -1 || setgroups((size_t)groups->n, groups->gids) == -1)
		return -1;
	g->acting = true;
	if (setegid(pw->pw_gid) == 0 && seteuid(pw->pw_uid) == 0)
		return 0;
	place_leave(g);
	g->acting = false;
	return -1;
}

int place_enter(struct place_guest *g, const char *path, const char *user, const char *group,
		struct err *err)
{
	const struct passwd *pw = user[0] && geteuid() == 0 ? getpwnam(user) : NULL;
	const struct group *more = group[0] ? getgrnam(group) : NULL;
	struct groups groups;

	g->acting = false;
	if (!user[0] || geteuid() != 0)
		return 0;
	if (!pw)
		return err_set(err, ERR_CONFIG, "pool.user: there is no user \"%s\"", user);
	if (find_groups(pw, &groups) == -1)
		return err_set(err, ERR_CONFIG, "pool.user: %s is in more than %d groups", user,
			       PLACE_GROUPS - 1);
	if (is_roots(path, &groups))
		return 0;
	if (more)
		groups.gids[groups.n++] = more->gr_gid;
	if (become(g, pw, &groups) == -1)
		return err_set(err, ERR_RETRY, "cannot act as user %s: %s", user, strerror(errno));
	return 0;
}
