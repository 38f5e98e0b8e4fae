"""The link to a daemon's socket: gradingctl finds a healthy daemon without its configuration, and trusts no stranger's link."""
import contextlib
import grp
import json
import os
import pathlib
import pwd
import signal
import subprocess

import pytest

from harness import GRADINGCTL, GRADINGD, PATIENCE_S, gradingctl, wait_until

SYSTEM = pathlib.Path("/run/gradingd-links")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def link_name(pool):
    return os.path.realpath(pool.config_path)[1:].replace("/", "!") + ".sock"


def own_places(uid):
    return [pathlib.Path(f"/run/user/{uid}/gradingd"), pathlib.Path(f"/tmp/gradingd-{uid}")]


def links(pool):
    places = [SYSTEM, pathlib.Path("/run/gradingd"), *own_places(os.geteuid())]
    return [place / link_name(pool) for place in places if (place / link_name(pool)).is_symlink()]


BROKEN = {
    "broken": lambda path: pathlib.Path(path).write_text("pool: { wokers = 3; };"),
    "unreadable syntax": lambda path: pathlib.Path(path).write_text("pool: {"),
    "gone": os.unlink,
    "elsewhere": lambda path: pathlib.Path(path).write_text('control: { socket = "/nonexistent/c.sock"; };'),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_healthy_daemon_is_asked_without_its_file(pool, how):
    BROKEN[how](pool.config_path)
    for words in (["show", "status"], ["pause"], ["resume"]):
        asked = gradingctl("-c", pool.config_path, *words)
        assert asked.returncode == 0, asked
        said = asked.stderr.splitlines()
        assert len(said) == 1 and pool.socket in said[0] and str(links(pool)[0]) in said[0]
    assert pool.show("status")["paused"] is False


def test_the_file_comes_before_the_link(pool):
    asked = gradingctl("-c", pool.config_path, "show", "version")
    assert asked.returncode == 0 and asked.stderr == ""


def test_what_s_names_comes_before_all(pool):
    BROKEN["broken"](pool.config_path)
    asked = gradingctl("-c", pool.config_path, "-s", pool.socket, "show", "version")
    assert asked.returncode == 0 and asked.stderr == ""
    asked = gradingctl("-c", pool.config_path, "-s", "/nonexistent/c.sock", "show", "version")
    assert asked.returncode == 75 and "/nonexistent/c.sock" in asked.stderr


def test_the_daemons_own_answer_is_the_last_word(pool):
    BROKEN["broken"](pool.config_path)
    asked = gradingctl("-c", pool.config_path, "scale", "0")
    assert asked.returncode == 1 and "it must be from 1" in asked.stderr


def test_doctor_asks_it_too(pool):
    BROKEN["broken"](pool.config_path)
    said = gradingctl("-c", pool.config_path, "doctor").stdout
    assert "wokers" in said and "at work" in said


def test_it_goes_with_the_daemon(pool):
    assert len(links(pool)) == 1 and os.readlink(links(pool)[0]) == pool.socket
    assert pool.stop() == 0
    assert links(pool) == []
    BROKEN["broken"](pool.config_path)
    asked = gradingctl("-c", pool.config_path, "show", "status")
    assert asked.returncode == 78 and "wokers" in asked.stderr and "-s SOCKET" in asked.stderr


def test_one_that_leads_nowhere_is_taken_away(pool, make_pool, db):
    """By gradingctl, and by the next daemon that starts, whatever its configuration."""
    other = make_pool(db)
    for dead in (pool, other):
        for pid in dead.processes():
            dead.kill(pid, signal.SIGKILL)
        dead.wait_gone()
        assert len(links(dead)) == 1
        os.unlink(dead.socket)
    BROKEN["broken"](pool.config_path)
    assert gradingctl("-c", pool.config_path, "show", "status").returncode == 78
    assert links(pool) == []
    third = make_pool(db)
    assert links(other) == [] and len(links(third)) == 1


def test_two_daemons_have_one_each(pool, make_pool, db):
    other = make_pool(db, pool={"workers": 3})
    for each, workers in ((pool, 2), (other, 3)):
        BROKEN["broken"](each.config_path)
        asked = gradingctl("-c", each.config_path, "--json", "show", "status")
        assert json.loads(asked.stdout)["workers_wanted"] == workers and each.socket in asked.stderr


def test_the_same_file_under_another_name_of_its_directory(pool, tmp_path):
    BROKEN["broken"](pool.config_path)
    os.symlink(pool.directory, tmp_path / "also")
    path = tmp_path / "also" / os.path.basename(pool.config_path)
    assert gradingctl("-c", str(path), "show", "version").returncode == 0
    relative = gradingctl("-c", os.path.basename(pool.config_path), "show", "version", cwd=pool.directory)
    assert relative.returncode == 0


def test_a_very_long_path(make_pool, db):
    pool = make_pool(db, start=False)
    place = pool.directory
    for _ in range(4):
        place = place / ("d" * 100)
        place.mkdir()
    text = pathlib.Path(pool.config_path).read_text()
    pool.config_path = str(place / "gradingd.conf")
    pathlib.Path(pool.config_path).write_text(text)
    pool.start()
    BROKEN["broken"](pool.config_path)
    assert gradingctl("-c", pool.config_path, "show", "version").returncode == 0


# ---- other users ----

@pytest.fixture
def user():
    return next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))


def gradingctl_as(user, *arguments, groups=()):
    return subprocess.run([GRADINGCTL, *arguments], text=True, capture_output=True, check=False, timeout=PATIENCE_S,
                          user=user.pw_uid, group=user.pw_gid, extra_groups=list(groups), cwd="/")


@as_root
@pytest.mark.parametrize("runs_as", ["", "user"])
def test_a_reader_who_may_not_read_the_file(make_pool, db, user, runs_as):
    """Somebody in control.group asks a daemon that root has started."""
    reader = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, user.pw_uid))
    group = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, user.pw_gid, reader.pw_gid))
    pool = make_pool(db, start=False, control={"group": group.gr_name})
    if runs_as:
        pool.configure(pool={"user": user.pw_name})
    os.chmod(pool.config_path, 0o600)
    pool.start()
    asked = gradingctl_as(reader, "-c", pool.config_path, "show", "status", groups=[group.gr_gid])
    assert asked.returncode == 0 and "at work" in asked.stdout, asked
    assert "Permission denied" in asked.stderr and len(asked.stderr.splitlines()) == 1
    refused = gradingctl_as(reader, "-c", pool.config_path, "pause", groups=[group.gr_gid])
    assert refused.returncode == 1 and "is for root" in refused.stderr
    stranger = gradingctl_as(reader, "-c", pool.config_path, "show", "status")
    assert stranger.returncode != 0 and "at work" not in stranger.stdout


@as_root
def test_a_daemon_of_another_user(make_pool, db, user):
    """Started by that user: asked by him, and by root, who may read the broken file as well."""
    pool = make_pool(db, start=False)
    for path in (pool.directory, pool.config_path):
        os.chown(path, user.pw_uid, user.pw_gid)
    with open(pool.log_path, "ab") as log:
        pool.process = subprocess.Popen([GRADINGD, "-c", pool.config_path], env=pool.env, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, user=user.pw_uid, group=user.pw_gid, extra_groups=[])
    pool.wait_up()
    places = [place for place in own_places(user.pw_uid) if (place / link_name(pool)).is_symlink()]
    assert len(places) == 1
    st = places[0].stat()
    assert st.st_uid == user.pw_uid and not st.st_mode & 0o022
    BROKEN["broken"](pool.config_path)
    for asked in (gradingctl("-c", pool.config_path, "show", "status"),
                  gradingctl_as(user, "-c", pool.config_path, "show", "status")):
        assert asked.returncode == 0 and "at work" in asked.stdout, asked
    assert pool.stop() == 0
    assert not (places[0] / link_name(pool)).is_symlink()
    assert not places[0].exists() or list(places[0].iterdir())


@as_root
def test_a_link_of_a_strangers_is_not_followed(make_pool, db, pool, user, tmp_path):
    """In a place that others may write, in a directory that is somebody else's, or as a link of somebody else."""
    config = tmp_path / "gradingd.conf"
    config.write_text("pool: { wokers = 3; };")
    name = os.path.realpath(config)[1:].replace("/", "!") + ".sock"
    place = pathlib.Path(f"/tmp/gradingd-{os.geteuid()}")
    made = not place.exists()
    place.mkdir(exist_ok=True, mode=0o755)
    before = place.stat()

    def is_followed():
        return gradingctl("-c", str(config), "show", "status").returncode == 0

    try:
        os.symlink(pool.socket, place / name)
        assert is_followed()
        os.chmod(place, 0o777)
        assert not is_followed()
        os.chmod(place, 0o755)
        os.chown(place, user.pw_uid, -1)
        assert not is_followed()
        os.chown(place, 0, -1)
        os.lchown(place / name, user.pw_uid, -1)
        assert not is_followed()
        os.lchown(place / name, 0, -1)
        assert is_followed()
    finally:
        os.chown(place, before.st_uid, before.st_gid)
        os.chmod(place, before.st_mode & 0o7777)
        (place / name).unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                place.rmdir()


@as_root
def test_a_place_that_a_stranger_has_taken_is_not_used(make_pool, db, user):
    """/tmp/gradingd-UID made by somebody else before: the daemon does without, and says so."""
    pool = make_pool(db, start=False)
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, user.pw_uid) and
                 not pathlib.Path(f"/tmp/gradingd-{entry.pw_uid}").exists() and
                 not pathlib.Path(f"/run/user/{entry.pw_uid}").exists())
    place = pathlib.Path(f"/tmp/gradingd-{other.pw_uid}")
    place.mkdir()
    os.chown(place, user.pw_uid, -1)
    try:
        for path in (pool.directory, pool.config_path):
            os.chown(path, other.pw_uid, other.pw_gid)
        with open(pool.log_path, "ab") as log:
            pool.process = subprocess.Popen([GRADINGD, "-c", pool.config_path], env=pool.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, user=other.pw_uid, group=other.pw_gid,
                                            extra_groups=[])
        pool.wait_up()
        assert list(place.iterdir()) == []
        wait_until(lambda: "no place to leave a link" in pool.log)
        assert pool.stop() == 0
    finally:
        place.rmdir()
