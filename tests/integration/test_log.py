"""The log never waits and says what it dropped: pipes that nobody reads, stopped terminals, full disks."""
import fcntl
import os
import pty
import pwd
import re
import resource
import signal
import socket
import subprocess
import termios

import pytest

from harness import GRADINGD, PATIENCE_S, gradingctl, rep, wait_until
from stuck import Stuck, fill, unread_pipe

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (error|warn |info |debug) [a-z]+(/\d+)?\[\d+\]: .*")
DROPPED = re.compile(r"(\d+) lines? of the log w(?:as|ere) dropped: (.*)")


def full_pipe(_):
    stuck = unread_pipe()
    fill(stuck.write)
    return stuck


def full_fifo(directory):
    path = str(directory / "fifo")
    os.mkfifo(path)
    read = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write = os.open(path, os.O_WRONLY)
    fill(write)
    return Stuck(write, read)


def full_socket(_):
    ours, theirs = socket.socketpair()
    stuck = Stuck(theirs.detach(), ours.detach())
    fill(stuck.write)
    return stuck


class StoppedTerminal(Stuck):
    """As by ^S."""

    def __init__(self):
        master, slave = pty.openpty()
        super().__init__(slave, master)
        termios.tcflow(slave, termios.TCOOFF)

    def drain(self):
        termios.tcflow(self.write, termios.TCOON)
        return super().drain()


def stopped_terminal(_):
    return StoppedTerminal()


STUCK = {"pipe": full_pipe, "fifo": full_fifo, "socket": full_socket, "terminal": stopped_terminal}


@pytest.fixture
def start_stuck(make_pool, db):
    """start_stuck(kind, popen options...): (a pool that is up, its standard error)."""
    made = []

    def start(kind, user=None, **groups):
        pool = make_pool(db, start=False, **groups)
        stuck = STUCK[kind](pool.directory)
        made.append(stuck)
        options = {}
        if user:
            os.chown(pool.directory, user.pw_uid, user.pw_gid)
            options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        pool.process = subprocess.Popen([GRADINGD, "-c", pool.config_path], env=pool.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=stuck.write, cwd=pool.directory, **options)
        pool.wait_up()
        return pool, stuck

    yield start
    for stuck in made:
        stuck.close()


def use_hard(pool, db):
    """Each of these has supervisor, janitor, workers or a trial write a line."""
    for _ in range(5):
        pool.ctl("pause")
        pool.ctl("resume")
    pool.ctl("reload")
    pool.ctl("recycle")
    for _ in range(5):
        db.wait(db.insert(rep("Hello there.")), "completed")
    os.kill(pool.workers()[0], signal.SIGKILL)      # its end is told, too
    pool.killed_by.add(signal.SIGKILL)
    db.wait(db.insert(rep("Hello again.")), "completed")
    assert pool.show("status")["phase"] == "up"


def what_was_dropped(text):
    return sum(int(n) for n, _ in DROPPED.findall(text))


def assert_whole_lines(text):
    for line in text.splitlines():
        if line.strip("."):
            assert LINE.fullmatch(line.lstrip(".")), f"half a line: {line!r}"


def check_stuck(pool, stuck, db):
    use_hard(pool, db)
    status = pool.show("status")
    assert status["log_lines_dropped"] > 10 and "nobody reads" in status["log_error"]
    assert pool.metric("log_lines_dropped_total") >= status["log_lines_dropped"]
    assert pool.metric("log_failing") == 1
    assert any(row["role"] == "log" and "nobody reads" in row["error"] for row in pool.show("errors"))
    # Read at last, it tells what is missing, in whole lines, without anything else to say.
    text = ""

    def all_is_said():
        nonlocal text
        text += stuck.drain()
        return what_was_dropped(text) >= status["log_lines_dropped"]

    wait_until(all_is_said, what="the lines that were dropped to be told")
    wait_until(lambda: stuck.drain() is not None and pool.show("status")["log_error"] is None)
    assert_whole_lines(text)


@pytest.mark.parametrize("kind", STUCK)
def test_nobody_waits_for_a_stuck_log(start_stuck, db, kind):
    pool, stuck = start_stuck(kind, pool={"workers": 2, "beat": "3s"})
    check_stuck(pool, stuck, db)
    pool.process.send_signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


@pytest.mark.parametrize("kind", STUCK)
def test_a_stuck_log_hinders_no_stop(start_stuck, db, kind):
    pool, _ = start_stuck(kind)
    use_hard(pool, db)
    pool.process.send_signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start somebody else")
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_pipe_or_terminal_of_somebody_else_does_no_harm_either(start_stuck, db, kind):
    """Which the daemon may not open again."""
    user = next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
    pool, stuck = start_stuck(kind, user, pool={"workers": 2, "beat": "3s"})
    check_stuck(pool, stuck, db)
    fill(stuck.write) if kind == "pipe" else termios.tcflow(stuck.write, termios.TCOOFF)
    pool.ctl("pause")
    pool.process.send_signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


def test_a_shared_description_stays_as_it_is(start_stuck, db):
    pool, stuck = start_stuck("pipe")
    use_hard(pool, db)
    assert not fcntl.fcntl(stuck.write, fcntl.F_GETFL) & os.O_NONBLOCK


def test_a_reader_that_went_away_ends_nobody(start_stuck, db):
    pool, stuck = start_stuck("pipe")
    os.close(stuck.read)
    use_hard(pool, db)
    assert "any more" in pool.show("status")["log_error"]


def test_a_full_disk_is_shown_everywhere_but_in_the_log(make_pool, db):
    pool = make_pool(db, start=False)
    with open("/dev/full", "wb", buffering=0) as full:
        pool.process = subprocess.Popen([GRADINGD, "-c", pool.config_path], env=pool.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=full, cwd=pool.directory)
        pool.wait_up()
        use_hard(pool, db)
    why = "No space left on device"
    assert why in pool.show("status")["log_error"]
    assert any(row["role"] == "log" and why in row["error"] for row in pool.show("errors"))
    assert pool.metric("log_failing") == 1 and pool.metric("log_lines_dropped_total") > 10
    said = gradingctl("-c", pool.config_path, "doctor")
    assert re.search(rf"log\b.*{why}", said.stdout), said
    pool.process.send_signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


def test_no_half_line_is_glued_to_the_next(make_pool, db):
    """A file that may grow no further takes the first part of a line, like a disk that becomes full."""
    pool = make_pool(db, start=False, pool={"workers": 2, "beat": "3s"})
    log = pool.directory / "cut.log"
    pool.configure(log={"to": str(log), "level": "debug"})
    limit = 3001
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    pool.process = subprocess.Popen([GRADINGD, "-c", pool.config_path], env=pool.env, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=pool.directory,
                                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)))
    pool.wait_up()

    def is_cut():
        pool.ctl("pause")
        pool.ctl("resume")
        return log.stat().st_size >= limit

    wait_until(is_cut, what="the log to be cut off")
    use_hard(pool, db)
    assert log.stat().st_size == limit
    assert "too large" in pool.show("status")["log_error"]
    before = log.read_text().splitlines()
    assert not before[-1].endswith("\n") and len(before) > 5
    for pid in pool.processes():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    wait_until(lambda: pool.show("status")["log_error"] is None and what_was_dropped(log.read_text()))
    pool.ctl("pause")
    pool.stop()
    lines = log.read_text().splitlines()
    cut = [line for line in lines if not LINE.fullmatch(line)]
    assert lines[:len(before)] == before
    assert cut in ([], [before[-1]]), "only the line that was cut off is half"
    assert LINE.fullmatch(lines[len(before)]), "and the next begins a line of its own"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_full_and_then_is_not(make_pool, db):
    pool = make_pool(db, start=False, pool={"workers": 2, "beat": "3s"})
    disk = pool.directory / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], check=False, timeout=PATIENCE_S,
                      capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    log, ballast = disk / "daemon.log", disk / "ballast"
    try:
        ballast.write_bytes(b"." * 20480)
        pool.configure(log={"to": str(log), "level": "debug"})
        pool.process = subprocess.Popen([GRADINGD, "-c", pool.config_path], env=pool.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=pool.directory)
        pool.wait_up()

        def is_full():
            pool.ctl("pause")
            pool.ctl("resume")
            return pool.show("status")["log_error"] == "No space left on device"

        wait_until(is_full, what="the disk to be full")
        use_hard(pool, db)
        before = log.read_text().splitlines()
        ballast.unlink()
        wait_until(lambda: pool.show("status")["log_error"] is None and what_was_dropped(log.read_text()))
        lines = log.read_text().splitlines()
        assert lines[:len(before)] == before and LINE.fullmatch(lines[len(before)])
        assert all(LINE.fullmatch(line) for line in lines[len(before):])
        assert pool.stop() == 0
    finally:
        for pid in pool.processes():
            pool.kill(pid)
        pool.wait_gone()
        subprocess.run(["umount", disk], check=True, timeout=PATIENCE_S)


def test_a_file_that_ends_within_a_line_is_begun_anew(make_pool, db):
    pool = make_pool(db, start=False)
    log = pool.directory / "old.log"
    log.write_text("the last words of an earl")
    pool.configure(log={"to": str(log)})
    pool.start()
    first, second = log.read_text().splitlines()[:2]
    assert first == "the last words of an earl" and LINE.fullmatch(second)


def test_a_fifo_that_nobody_reads_is_refused_and_not_waited_for(make_pool, db):
    pool = make_pool(db, start=False)
    fifo = pool.directory / "fifo"
    os.mkfifo(fifo)
    pool.configure(log={"to": str(fifo)})
    result = pool.run(timeout=PATIENCE_S)
    assert result.returncode == 78 and "nobody reads it" in result.stderr


def test_a_reopened_log_is_not_handed_to_programs(make_pool, db):
    pool = make_pool(db, start=False)
    log = pool.directory / "daemon.log"
    pool.configure(log={"to": str(log)})
    pool.start()
    os.rename(log, pool.directory / "old.log")
    pool.send(signal.SIGUSR1)
    wait_until(log.exists)
    links = {os.path.realpath(f"/proc/{pool.pid}/fd/{fd}"): fd for fd in os.listdir(f"/proc/{pool.pid}/fd")}
    with open(f"/proc/{pool.pid}/fdinfo/{links[str(log)]}", encoding="ascii") as info:
        flags = int(re.search(r"flags:\s*(\d+)", info.read())[1], 8)
    assert flags & os.O_CLOEXEC
