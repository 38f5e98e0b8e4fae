"""init/: the SysV script starts, stops, reloads and reports on a real daemon; systemd likes the unit."""
import os
import pwd
import shutil
import signal
import subprocess

import pytest

from harness import GRADINGD, PATIENCE_S, ROOT, is_running, rep, unprivileged, wait_until
from llm_server import reserve_port

RUNNING, DEAD_WITH_PID_FILE, NOT_RUNNING = 0, 1, 3


class Script:
    """init/gradingd with the paths of a test in the place of the system's."""

    def __init__(self, pool):
        self.pool = pool
        self.directory = pool.directory
        self.pid_path = self.directory / "run" / "gradingd.pid"
        self.defaults = self.directory / "default"
        self.path = self.directory / "init"
        pool.configure(log={"to": str(pool.log_path)})
        self.configure()
        self.path.write_text((ROOT / "init/gradingd").read_text(encoding="utf-8").replace(
            "/etc/default/gradingd", str(self.defaults)), encoding="utf-8")

    def configure(self, **more):
        settings = {"CONFIG": self.pool.config_path, "DAEMON": GRADINGD, "PIDFILE": self.pid_path, **more}
        self.defaults.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()), encoding="utf-8")

    def run(self, word, expect=0):
        done = subprocess.run(["sh", self.path, word], env=self.pool.env, text=True, timeout=180, check=False,
                              capture_output=True, cwd="/")
        assert done.returncode == expect, f"{word}: {done}\n{self.pool.log}"
        return done.stdout + done.stderr

    def status(self):
        return subprocess.run(["sh", self.path, "status"], env=self.pool.env, timeout=120, check=False,
                              stdout=subprocess.DEVNULL).returncode

    @property
    def pid(self):
        return int(self.pid_path.read_text(encoding="ascii"))


@pytest.fixture
def make_script(make_pool, db):
    """make_script(group={"key": value}...): a script for a pool that is not running; stopped in the end."""
    scripts = []

    def make(**groups):
        scripts.append(Script(make_pool(db, start=False, **groups)))
        return scripts[-1]

    yield make
    for script in scripts:
        script.run("stop")


def test_start_status_stop(make_script, db):
    script = make_script()
    assert script.status() == NOT_RUNNING
    assert "is up" in script.run("start")
    assert script.status() == RUNNING
    assert script.pool.is_up(), "start returned before the pool was up"
    db.completed(rep("How are you today?"))
    pid = script.pid
    assert "running already" in script.run("start")
    assert script.pid == pid
    assert "stopped" in script.run("stop")
    assert not is_running(pid)
    assert script.status() == NOT_RUNNING
    assert not script.pid_path.exists()
    assert "not running" in script.run("stop")


def test_restart_is_another_process(make_script):
    script = make_script()
    script.run("try-restart")
    assert script.status() == NOT_RUNNING
    script.run("restart")
    first = script.pid
    script.run("restart")
    assert script.pid != first and not is_running(first)
    assert script.pool.is_up()


def test_dead_daemon_is_told_from_a_stopped_one(make_script):
    script = make_script()
    script.run("start")
    os.kill(script.pid, signal.SIGKILL)
    script.pool.wait_gone()
    assert script.status() == DEAD_WITH_PID_FILE
    script.run("start")
    assert script.status() == RUNNING


def test_number_of_another_program_is_not_ours(make_script):
    script = make_script()
    script.pid_path.parent.mkdir()
    script.pid_path.write_text(f"{os.getpid()}\n", encoding="ascii")
    assert script.status() == DEAD_WITH_PID_FILE
    script.run("stop")
    assert not script.pid_path.exists()


def test_start_says_why_not(make_script):
    script = make_script()
    script.pool.configure(pool={"wokers": 3})
    said = script.run("start", expect=1)
    assert "wokers" in said and script.pool.config_path in said
    assert script.status() == NOT_RUNNING


def test_reload_changes_a_running_pool(make_script):
    script = make_script(pool={"workers": 1})
    script.run("start")
    pid = script.pid
    script.pool.configure(pool={"workers": 3})
    script.run("reload")
    wait_until(lambda: len(script.pool.workers()) == 3, what="three workers")
    assert script.pid == pid


def test_reload_refuses_what_the_test_refuses(make_script):
    script = make_script()
    script.run("start")
    script.pool.configure(pool={"workers": -1})
    assert "workers" in script.run("reload", expect=6)
    assert "workers" in script.run("configtest", expect=78)
    assert "reloaded" not in script.pool.log
    assert script.pool.is_up()


BROKEN = {
    "unknown key": {"pool": {"wokers": 3}},
    "rater": {"rater": {"backend": "command"}, "command": {"argv": ["/nonexistent/rate"]}},
    "no such database": {"database": {"conninfo": "NOT"}},
}


@pytest.mark.parametrize("word", ["restart", "try-restart"])
@pytest.mark.parametrize("broken", BROKEN)
def test_restart_with_a_broken_configuration_stops_no_healthy_pool(make_script, db, word, broken):
    script = make_script()
    script.run("start")
    pid, good = script.pid, script.pool.groups["database"]["conninfo"]
    groups = {group: dict(keys) for group, keys in BROKEN[broken].items()}
    if "database" in groups:
        groups["database"]["conninfo"] = good + "_not"
    script.pool.configure(**groups)
    assert "not restarted" in script.run(word, expect=6)
    assert script.pid == pid and is_running(pid)
    db.completed(rep("Still at work?"))


def test_restart_without_a_program_stops_no_healthy_pool(make_script):
    script = make_script()
    script.run("start")
    pid = script.pid
    script.configure(DAEMON="/nonexistent/gradingd")
    assert "/nonexistent/gradingd" in script.run("restart", expect=5)
    assert is_running(pid)
    script.configure()


def test_a_start_without_its_database_waits_for_it(make_script, db):
    """As after a reboot: the database may be up later than we are."""
    script = make_script()
    good = script.pool.groups["database"]["conninfo"]
    port = reserve_port()
    script.pool.configure(database={"conninfo": f"host=127.0.0.1 port={port.getsockname()[1]} dbname=grading"})
    assert "waits for the database" in script.run("start")
    pid = script.pid
    assert script.status() == RUNNING
    assert script.pool.show("status")["summary"] == "waiting for the database"
    script.pool.configure(database={"conninfo": good})
    script.run("reload")
    wait_until(lambda: script.pool.show("status")["phase"] == "up")
    assert script.pid == pid
    db.completed(rep("There you are."))


def test_restart_while_the_database_is_away(make_script):
    script = make_script()
    script.run("start")
    pid = script.pid
    port = reserve_port()
    script.pool.configure(database={"conninfo": f"host=127.0.0.1 port={port.getsockname()[1]} dbname=grading"})
    assert "waits for the database" in script.run("restart")
    assert script.pid != pid and script.status() == RUNNING


def test_reload_needs_a_daemon(make_script):
    assert "not running" in make_script().run("force-reload", expect=7)


def test_stop_that_takes_too_long_becomes_quit(make_script):
    script = make_script(pool={"workers": 1, "drain": "60s"})
    script.configure(STOP_PATIENCE=1)
    script.run("start")
    script.pool.kill(script.pool.workers()[0], signal.SIGSTOP)	# it will not hear of draining
    script.pool.killed_by.add(signal.SIGKILL)
    assert "still drains" in script.run("stop")
    script.pool.wait_gone()


def test_environment_reaches_the_daemon(make_script):
    script = make_script(rater={"backend": "openai"}, openai={"api_key_env": "GRADINGD_TEST_KEY"})
    script.configure(GRADINGD_TEST_KEY="sk-from-the-defaults-file")
    script.run("start")
    environ = (f"/proc/{script.pid}/environ")
    with open(environ, "rb") as file:
        assert b"GRADINGD_TEST_KEY=" in file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_directory_belongs_to_the_user_of_the_pool(make_script):
    user = unprivileged()[0]
    script = make_script()
    socket = script.pid_path.with_name("control.sock")
    script.pool.configure(pool={"user": user}, control={"socket": str(socket)}, log={"to": "syslog"})
    script.run("start")
    uid = pwd.getpwnam(user).pw_uid
    assert os.stat(script.pid_path.parent).st_uid == uid
    assert os.stat(f"/proc/{script.pid}").st_uid == uid
    script.run("stop")
    assert list(script.pid_path.parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_that_is_there_is_not_given_away(make_script):
    """It may be /run; or a link that the user has put there."""
    user = unprivileged()[0]
    script = make_script(pool={"user": user})
    precious = script.directory / "precious"
    precious.mkdir(mode=0o755)
    script.configure(PIDFILE=precious / "gradingd.pid")
    script.pid_path = precious / "gradingd.pid"
    script.run("start")
    assert os.stat(precious).st_uid == 0
    assert os.stat(f"/proc/{script.pid}").st_uid == pwd.getpwnam(user).pw_uid
    script.run("stop")
    assert list(precious.iterdir()) == []
    os.symlink(precious / "new", script.directory / "link")
    script.configure(PIDFILE=script.directory / "link" / "gradingd.pid")
    script.run("start", expect=1)
    assert list(precious.iterdir()) == []
    script.configure()


def test_unknown_word(make_script):
    assert "usage" in make_script().run("sing", expect=2)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path):
    unit = tmp_path / "gradingd.service"
    text = (ROOT / "init/gradingd.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/usr/local/sbin/gradingd", str(GRADINGD)), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], text=True, capture_output=True, check=False,
                          timeout=PATIENCE_S)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]   # not the host's own units
    assert done.returncode == 0 and not complaints, done
