/*
 * The known places of links to control sockets: which may be used, which may be trusted. Supervisor
 * at its start and end, and gradingctl; it connects to nobody.
 */
#include "control/known_link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fnv.h"
#include "base/place.h"

#define SUFFIX ".sock"
#define NAME_MAX_BYTES 200		/* longer ones are cut, and told apart by a hash */
#define SWEEP_MAX 1000			/* entries looked at, for those that lead nowhere */
#define PLACE_SIZE 64
#define SERVICE_PLACE "/run/gradingd"	/* others make it, and have files there */
#define LEAVE_TRIES 3

/* ---- names ---- */

/* The directory without its links, where those can be seen: users may say it differently. */
static void plain_path(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX], real[PATH_MAX];

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
	if (slash && realpath(dir, real))
		snprintf(out, size, "%s/%s", strcmp(real, "/") ? real : "", slash + 1);
	else
		snprintf(out, size, "%s", path);
}

const char *known_link_name(const char *config_path, char *out)
{
	char path[2 * PATH_MAX], *end = out + NAME_MAX_BYTES;
	const char *p = path;
	size_t n = 0;

	plain_path(config_path, path, sizeof(path));
	for (p += *p == '/'; *p && out + n + 3 < end; p++)
		if (*p == '/')
			out[n++] = '!';
		else if (*p == '!' || *p == '%')
			n += (size_t)sprintf(out + n, "%%%02X", (unsigned char)*p);
		else
			out[n++] = *p;
	if (*p)
		n += (size_t)sprintf(out + n, "%%%016" PRIx64, fnv64_text(path));
	strcpy(out + n, SUFFIX);
	return out;
}

/* ---- places ---- */

struct place {
	char path[PLACE_SIZE];
	char above[PLACE_SIZE];		/* must be there and be the owner's; "": it need not */
	mode_t mode;
	bool of_system;			/* root decides whose it is; else it is uid's */
	uid_t uid;
};

/* The nth place for links of a daemon that was started by uid. */
static struct place place_of(int n, uid_t uid)
{
	struct place p = { .mode = 0755, .uid = uid };

	switch (n) {
	case 0:
		p.of_system = true;
		snprintf(p.path, sizeof(p.path), "/run/gradingd-links");
		break;
	case 1:
		p.of_system = true;
		snprintf(p.path, sizeof(p.path), SERVICE_PLACE);
		break;
	case 2:
		snprintf(p.above, sizeof(p.above), "/run/user/%u", (unsigned)uid);
		snprintf(p.path, sizeof(p.path), "/run/user/%u/gradingd", (unsigned)uid);
		break;
	default:
		snprintf(p.path, sizeof(p.path), "/tmp/gradingd-%u", (unsigned)uid);
	}
	return p;
}
#define PLACES_OF_SYSTEM 2
#define PLACES 4

/* A directory of its owner's alone, whose name nobody else can have given to another one. */
static bool is_private(const struct place *p, struct stat *st)
{
	if (lstat(p->path, st) == -1 || !S_ISDIR(st->st_mode) || (st->st_mode & 022))
		return false;
	return p->of_system ? place_is_roots(p->path, "") : st->st_uid == p->uid;
}

/* ---- the daemon's side ---- */

static bool make_place(const struct place *p)
{
	mode_t mask;
	struct stat st;

	if (p->above[0] && (lstat(p->above, &st) == -1 || !S_ISDIR(st.st_mode) ||
			    st.st_uid != p->uid))
		return false;
	mask = umask(022);
	if (mkdir(p->path, p->mode) == -1 && errno != EEXIST) {
		umask(mask);
		return false;
	}
	umask(mask);
	return is_private(p, &st) && st.st_uid == geteuid();
}

/* A service's directory is for its manager to make. */
static bool find_place(struct place *found)
{
	struct stat st;

	for (int n = 0; n < PLACES; n++) {
		*found = place_of(n, geteuid());
		if (n == 1 ? is_private(found, &st) && st.st_uid == geteuid() :
		    (n != 0 || geteuid() == 0) && make_place(found))
			return true;
	}
	return false;
}

/* Of daemons that could not take theirs away: killed, or no longer root. */
static void sweep(const char *place)
{
	DIR *dir = opendir(place);
	const struct dirent *entry;
	struct stat st;

	for (int i = 0; dir && i < SWEEP_MAX && (entry = readdir(dir)); i++) {
		size_t len = strlen(entry->d_name);

		if (len <= strlen(SUFFIX) ||
		    strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) != 0 ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
		    !S_ISLNK(st.st_mode))
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) == -1 && errno == ENOENT)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static int leave(struct known_link *link, const char *config_path, const char *socket,
		 struct err *err)
{
	char name[KNOWN_LINK_NAME_SIZE], fresh[PATH_MAX];
	struct place place;

	link->path[0] = '\0';
	known_link_name(config_path, name);
	if (!find_place(&place))
		return err_set(err, ERR_RETRY, "there is no place to leave a link to %s", socket);
	sweep(place.path);
	snprintf(link->path, sizeof(link->path), "%s/%s", place.path, name);
	snprintf(fresh, sizeof(fresh), "%s/.%d", place.path, (int)getpid());
	unlink(fresh);
	if (symlink(socket, fresh) == 0 && rename(fresh, link->path) == 0)
		return 0;
	err_set(err, ERR_RETRY, "cannot leave the link %s to %s: %s", link->path, socket,
		strerror(errno));
	unlink(fresh);
	link->path[0] = '\0';
	return -1;
}

int known_link_leave(struct known_link *link, const char *config_path, const char *socket,
		     struct err *err)
{
	int rc = -1;

	/* Another daemon that stops takes the place away when it is empty. */
	for (int i = 0; i < LEAVE_TRIES && rc == -1; i++)
		rc = leave(link, config_path, socket, err);
	return rc;
}

void known_link_keep(struct known_link *link, const char *config_path, const char *socket)
{
	struct known_link again;
	struct stat st;
	struct err err;

	if (link->path[0] && lstat(link->path, &st) == -1 && errno == ENOENT &&
	    known_link_leave(&again, config_path, socket, &err) == 0)
		*link = again;
}

static bool leads_to(const char *link, const char *socket)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n <= 0)
		return false;
	target[n] = '\0';
	return strcmp(target, socket) == 0;
}

void known_link_remove(struct known_link *link, const char *socket)
{
	char *slash = strrchr(link->path, '/');

	if (slash && leads_to(link->path, socket) && unlink(link->path) == 0) {
		*slash = '\0';
		if (strcmp(link->path, SERVICE_PLACE) != 0)
			rmdir(link->path);		/* unless others have links there */
	}
	link->path[0] = '\0';
}

/* ---- gradingctl's side ---- */

void known_link_begin(struct known_link_search *s, const char *config_path)
{
	char path[PATH_MAX], cwd[PATH_MAX];
	struct stat st;

	*s = (struct known_link_search){ .uids = { geteuid(), geteuid() } };
	if (config_path[0] == '/' || !getcwd(cwd, sizeof(cwd)) ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s", cwd, config_path) >= sizeof(path))
		snprintf(path, sizeof(path), "%s", config_path);
	if (stat(path, &st) == 0)
		s->uids[1] = st.st_uid;
	known_link_name(path, s->name);
}

/* Places of the system, then of the one user, then of the other. */
static struct place place_at(const struct known_link_search *s)
{
	int of_users = PLACES - PLACES_OF_SYSTEM;

	if (s->at < PLACES_OF_SYSTEM)
		return place_of(s->at, 0);
	if (s->at < PLACES)
		return place_of(s->at, s->uids[0]);
	return place_of(s->at - of_users, s->uids[1]);
}

static bool is_there(struct known_link_search *s, const struct place *p)
{
	struct stat dir, link;
	ssize_t n;

	if (!is_private(p, &dir) ||
	    (size_t)snprintf(s->link, sizeof(s->link), "%s/%s", p->path, s->name) >=
		    sizeof(s->link) ||
	    lstat(s->link, &link) == -1 || !S_ISLNK(link.st_mode) ||
	    (link.st_uid != dir.st_uid && link.st_uid != 0))
		return false;
	n = readlink(s->link, s->socket, sizeof(s->socket) - 1);
	s->socket[n > 0 ? n : 0] = '\0';
	return s->socket[0] == '/';
}

bool known_link_next(struct known_link_search *s)
{
	while (s->at < KNOWN_LINK_PLACES) {
		struct place p = place_at(s);

		s->at++;
		if (is_there(s, &p))
			return true;
	}
	return false;
}

void known_link_forget(const struct known_link_search *s)
{
	unlink(s->link);
}
