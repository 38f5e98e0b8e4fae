"""Root in directories of pool.user: no link that this user leaves makes root write to, empty or give away a file."""
import contextlib
import grp
import os
import pwd
import stat
import subprocess
import sys

import pytest

from harness import PATIENCE_S, control_exchange, unframe, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

STARTS = 50
WORDS = "what nobody but root may change\n"

# Run by the hostile user: puts links in the place of each name, and takes them away, over and over.
SWAP = """
import os, sys
target, names = sys.argv[1], sys.argv[2:]
print("at work", flush=True)
n = 0
while True:
    for name in names:
        n += 1
        try:
            if n % 3 == 0:
                os.symlink(target, name + ".new")
                os.rename(name + ".new", name)
            elif n % 3 == 1:
                os.unlink(name)
            else:
                os.symlink(target, name)
        except OSError:
            pass
"""


# The same with the directory itself: now a directory of the user's, now a link to one of root's.
SWAP_DIRECTORY = """
import os, sys
target, name = sys.argv[1:]
os.symlink(target, name + ".link")
print("at work", flush=True)
while True:
    try:
        os.rename(name, name + ".real")
        os.rename(name + ".link", name)
        os.rename(name, name + ".link")
        os.rename(name + ".real", name)
    except OSError:
        pass
"""


@contextlib.contextmanager
def swapping(user, script, *arguments):
    """While somebody else swaps things."""
    swapper = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE,
                               user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/")
    try:
        assert swapper.stdout.readline() == b"at work\n"
        yield
    finally:
        swapper.kill()
        swapper.wait(PATIENCE_S)
        swapper.stdout.close()


@pytest.fixture
def user():
    return next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))


class Precious:
    """A file and a directory of root's, which stay as they are."""

    def __init__(self, directory):
        self.directory = directory / "precious.d"
        self.directory.mkdir(mode=0o700)
        self.file = self.directory / "precious"
        self.file.write_text(WORDS)
        self.file.chmod(0o600)
        self.before = self.look()

    def look(self):
        def facts(path):
            st = os.lstat(path)
            return (st.st_uid, st.st_gid, st.st_mode, st.st_ino)
        return facts(self.file), facts(self.directory), sorted(os.listdir(self.directory)), self.file.read_text()

    def check(self):
        assert self.look() == self.before


@pytest.fixture
def precious(tmp_path_factory):
    directory = tmp_path_factory.mktemp("root")
    os.chmod(directory, 0o755)
    return Precious(directory)


@pytest.fixture
def hostile(make_pool, db, user):
    """A pool whose run directory is pool.user's, which has pid file, log, socket and lock in it."""
    pool = make_pool(db, start=False)
    run = pool.directory / "run"
    run.mkdir(mode=0o755)
    os.chown(run, user.pw_uid, user.pw_gid)
    pool.socket, pool.log_path, pool.run_directory = str(run / "c.sock"), run / "daemon.log", run
    pool.pid_file = run / "gradingd.pid"
    pool.configure(pool={"user": user.pw_name, "workers": 1}, control={"socket": pool.socket},
                   log={"to": str(pool.log_path)})
    pool.alarms_expected = True
    yield pool
    stop(pool)


def stop(pool):
    for pid in pool.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 15)
    pool.wait_gone()


NAMES = ["gradingd.pid", "daemon.log", "c.sock", "c.sock.lock"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["file", "new", "hard"])
@pytest.mark.parametrize("options", [["-d"], ["-t"]], ids=["-d", "-t"])
def test_a_link_of_the_users_leads_root_nowhere(hostile, precious, user, name, kind, options):
    path = hostile.run_directory / name
    target = precious.file if kind != "new" else precious.directory / "made"
    if kind == "hard":
        # As where fs.protected_hardlinks is off; the file stays where it is and gets a second name.
        with contextlib.suppress(OSError):
            os.link(target, path)
        if not path.exists():
            pytest.skip("another file system")
        precious.before = precious.look()
    else:
        os.symlink(target, path)
        os.lchown(path, user.pw_uid, user.pw_gid)
    result = hostile.run(*options)
    stop(hostile)
    precious.check()
    assert result.returncode in (0, 1, 78)


@pytest.mark.parametrize("name", ["run", "run/deeper"])
def test_a_directory_that_is_a_link_leads_root_nowhere(hostile, precious, user, name):
    """The user's directory holds the directory: that may be a link to one of root's."""
    home = hostile.directory / "home"
    home.mkdir(mode=0o755)
    os.chown(home, user.pw_uid, user.pw_gid)
    os.symlink(precious.directory, home / "run")
    place = home / name
    hostile.configure(control={"socket": str(place / "c.sock"), "pid_file": str(place / "gradingd.pid")},
                      log={"to": str(place / "daemon.log")})
    for option in ("-t", "-d"):
        assert hostile.run(option).returncode != 0
        precious.check()


def test_fifty_starts_while_links_are_swapped(hostile, precious, user):
    with swapping(user, SWAP, precious.file, *(hostile.run_directory / name for name in NAMES)):
        for _ in range(STARTS):
            hostile.run("-d")
            stop(hostile)
            precious.check()


def test_starts_while_the_directory_is_swapped(hostile, precious, user):
    home = hostile.directory / "home"
    for path in (home, home / "run"):
        path.mkdir(mode=0o755)
        os.chown(path, user.pw_uid, user.pw_gid)
    place = home / "run"
    hostile.configure(control={"socket": str(place / "c.sock"), "pid_file": str(place / "gradingd.pid")},
                      log={"to": str(place / "daemon.log")})
    with swapping(user, SWAP_DIRECTORY, precious.directory, place):
        for _ in range(STARTS // 2):
            hostile.run("-d")
            stop(hostile)
            precious.check()


def test_the_users_own_places_work(hostile, db, user):
    """Started by root, everything is the user's from the first moment, and goes with the daemon."""
    assert hostile.run("-d").returncode == 0
    for name in NAMES:
        assert os.lstat(hostile.run_directory / name).st_uid == user.pw_uid, name
    db.wait(db.insert(), "completed")
    stop(hostile)
    assert sorted(os.listdir(hostile.run_directory)) == ["daemon.log"]


def test_roots_places_work(make_pool, db, user):
    """What root makes where only root may make something is the user's when it is ready."""
    pool = make_pool(db, start=False)
    run = pool.directory / "run"            # the daemon makes it
    pool.socket, pool.log_path = str(run / "c.sock"), pool.directory / "daemon.log"
    pool.configure(pool={"user": user.pw_name}, control={"socket": pool.socket}, log={"to": str(pool.log_path)})
    result = pool.run("-d")
    assert result.returncode == 0, result
    for path in (run, run / "c.sock", run / "c.sock.lock", run / "gradingd.pid", pool.log_path):
        assert os.lstat(path).st_uid == user.pw_uid, path
    db.wait(db.insert(), "completed")
    stop(pool)
    assert os.listdir(run) == []


def test_a_link_of_roots_own_is_followed(make_pool, db, user):
    """As /var/run is one, and a log that lies on another disk."""
    pool = make_pool(db, start=False)
    (pool.directory / "disk").mkdir()
    os.symlink(pool.directory / "disk", pool.directory / "run")
    os.symlink(pool.directory / "disk" / "real.log", pool.directory / "log.link")
    pool.socket = str(pool.directory / "run" / "c.sock")
    pool.log_path = pool.directory / "disk" / "real.log"
    pool.configure(pool={"user": user.pw_name}, control={"socket": pool.socket},
                   log={"to": str(pool.directory / "log.link")})
    pool.log_path.touch()
    os.chown(pool.log_path, user.pw_uid, -1)
    result = pool.run("-d")
    assert result.returncode == 0, result
    assert "is up" in pool.log_path.read_text()
    stop(pool)


def test_a_group_of_others_gets_the_socket_in_the_users_directory(hostile, user):
    """control.group is none of the user's own groups: root's word was needed for that."""
    mine = set(os.getgrouplist(user.pw_name, user.pw_gid))
    group = next(entry for entry in grp.getgrall() if entry.gr_gid not in mine and entry.gr_gid != 0)
    hostile.configure(control={"group": group.gr_name})
    assert hostile.run("-d").returncode == 0
    st = os.lstat(hostile.socket)
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (user.pw_uid, group.gr_gid, 0o660)
    assert "summary" in unframe(control_exchange(hostile.socket, b"show status json\n"))


def test_root_without_a_user_follows_no_link_of_anothers(hostile, precious):
    """Nobody else is named in whose place root could act."""
    hostile.configure(pool={"user": ""})
    for name in ("gradingd.pid", "daemon.log", "c.sock.lock"):
        path = hostile.run_directory / name
        path.unlink(missing_ok=True)
        os.symlink(precious.file, path)
        result = hostile.run("-d")
        assert result.returncode == 78 and name in result.stderr and "link" in result.stderr.lower(), result
        precious.check()
        path.unlink()
    stop(hostile)


def test_a_key_file_that_is_a_link_is_read_as_the_user(hostile, precious, user):
    """Else any secret of root's in one line would go to a provider."""
    key = hostile.run_directory / "key"
    precious.file.write_text("sk-of-somebody-else\n")
    os.symlink(precious.file, key)
    hostile.configure(rater={"backend": "openai"},
                      openai={"api_key_file": str(key), "base_url": "http://127.0.0.1:9/v1"})
    for option in ("-t", "-d"):
        result = hostile.run(option)
        assert result.returncode == 78 and "Permission denied" in result.stderr, result


def test_what_a_failed_start_takes_away_is_its_own(hostile, precious, user):
    """The pid file is refused when socket and lock are there already: those go, and nothing else does."""
    os.symlink(precious.file, hostile.pid_file)
    result = hostile.run("-d")
    assert result.returncode == 78
    precious.check()
    wait_until(lambda: sorted(os.listdir(hostile.run_directory)) == ["daemon.log", "gradingd.pid"],
               what=lambda: os.listdir(hostile.run_directory))     # the one that failed says so before it tidies up


def test_a_log_that_is_opened_again_after_a_rotation(hostile, precious, user):
    assert hostile.run("-d").returncode == 0
    pid = int(hostile.pid_file.read_text())
    os.unlink(hostile.log_path)
    os.symlink(precious.file, hostile.log_path)
    os.kill(pid, 10)
    wait_until(lambda: hostile.show("status")["phase"] == "up")
    stop(hostile)
    precious.check()
