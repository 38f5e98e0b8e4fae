"""What the integration tests stand on: a private Postgres, databases from a migrated template, and pools.

Waiting is always for a condition. Each wait has a deadline, PATIENCE_S unless it says otherwise, which is
far beyond what an idle machine needs: it is there so that a defect is told, not to measure a speed. Nothing
here sleeps for a fixed time. What the database shows may be ahead of the counters: those move when the answer
has reached the process that counts, so they are waited for as well. Directories, ports and process markers
are each test run's own, so several runs may go on side by side.
"""
import collections
import contextlib
import glob
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from llm_server import reserve_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GRADINGD_BUILD", "build"))
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD
GRADINGD = BUILD / "gradingd"
GRADINGCTL = BUILD / "gradingctl"
MIGRATIONS = sorted((ROOT / "migrations").glob("*.sql"))      # as a shell would name them
SCALE = {"excellent", "good", "poor", "missed_opportunity"}
# How long a condition is waited for. pytest.ini has the deadline of a whole test, which is longer.
PATIENCE_S = 60
BOUNCER = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
PUBLISHER = 257         # its slot
KEY = "sk-test-5ecret5ecret5ecret"

# What a child says that must never appear, in a plain build or under sanitizers.
ALARMS = re.compile(r"runtime error:|Sanitizer|out of memory|\bfatal\b|ended with exit status 1\b"
                    r"|Segmentation|\(SQLSTATE (?:42|22|XX)")


def wait_until(condition, timeout=PATIENCE_S, what=None, pause=0.01):
    """What condition() returns, as soon as that is true. Who waits for long asks less often: asking takes CPU."""
    begun = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - begun
        if waited > timeout:
            raise AssertionError(f"not within {timeout} s: {what or 'the condition'} (last: {value!r})")
        time.sleep(pause if waited < 2 else max(pause, 0.05))


def stays(condition, seconds, what=None):
    """condition() is true all the time for so long: for what must not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), what or "the condition did not last"
        time.sleep(0.02)


def within(seconds, measure, tries=5):
    """Some call of measure(), which returns seconds, stays within so many.

    A busy machine delays one or the other; what is slow by itself is slow each time.
    """
    took = []
    while not took or took[-1] > seconds:
        assert len(took) < tries, f"not once within {seconds} s: {took}"
        took.append(measure())


def promptly(measure, times=10):
    """measure(), which returns seconds, so many times: all in all in less time than if each had waited for a look.

    For what must not be left to the janitor's next look at the queue, which it takes every 10 s (so choose a long
    queue.poll). By chance that is near once or twice, not each time; and a machine may be slow by a factor of hundreds.
    Benchmarks measure how fast things are.
    """
    took = []
    for _ in range(times):
        took.append(measure())
        assert sum(took) < 3 * times, f"that waited to be looked for: {took}"


def elapsed(action):
    """How long action() takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def together(*actions):
    """Runs them at the same time, each in a thread of its own, until all have ended. Raises what one of them raised."""
    raised = []

    def run(action):
        try:
            action()
        except Exception as error:      # pylint: disable=broad-except
            raised.append(error)

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    assert not any(thread.is_alive() for thread in threads), f"not all have ended within {PATIENCE_S} s"
    if raised:
        raise raised[0]


def rep(*texts, first=0, speaker="rep"):
    """A transcript of one speaker's lines, each with its index."""
    return [{"speaker": speaker, "text": text, "index": first + n} for n, text in enumerate(texts)]


def new_session():
    return str(uuid.uuid4())


# ---- Postgres ----

def postgres_tool(name):
    """Debian keeps the server's programs out of PATH."""
    found = shutil.which(name)
    if not found and shutil.which("pg_config"):
        found = shutil.which(name, path=subprocess.check_output(["pg_config", "--bindir"], text=True,
                                                                timeout=PATIENCE_S).strip())
    newest = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"),
                    key=lambda path: int(re.search(r"/(\d+)/", path)[1]))
    if not found and not newest:
        raise FileNotFoundError(f"{name}: install postgresql")
    return found or newest[-1]


def unprivileged():
    """Postgres and PgBouncer refuse to run as root: (user name, the words that become that user)."""
    if os.geteuid() != 0:
        return None, []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    return user, ["runuser", "-u", user, "--"]


class Postgres:
    """A cluster in a directory of its own: Unix socket and loopback TCP on a free port."""

    SETTINGS = {"listen_addresses": "127.0.0.1", "fsync": "off", "full_page_writes": "off",
                "max_connections": 200, "shared_buffers": "64MB", "max_wal_size": "1GB",
                "log_min_messages": "warning", "timezone": "UTC", "max_worker_processes": 4}

    def __init__(self, directory):
        self.directory = str(directory)
        self.data = os.path.join(self.directory, "data")
        self.reserved = reserve_port()
        self.port = self.reserved.getsockname()[1]
        self.user, self.become = unprivileged()
        if self.user:
            shutil.chown(self.directory, self.user)
        self.tool("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8",
                  "--no-sync")
        settings = dict(self.SETTINGS, port=self.port, unix_socket_directories=self.directory)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self.start()

    def tool(self, name, *arguments):
        subprocess.run([*self.become, postgres_tool(name), *arguments], check=True, cwd=self.directory,
                       stdout=subprocess.DEVNULL, timeout=2 * PATIENCE_S)

    def start(self):
        self.tool("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.directory, "log"), "start")

    def stop(self, mode="fast"):
        self.tool("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def restart(self, mode="immediate"):
        self.stop(mode)
        self.start()

    def conninfo(self, dbname, **more):
        words = dict(host=self.directory, port=self.port, user="postgres", dbname=dbname, **more)
        return " ".join(f"{name}={value}" for name, value in words.items())


def gradingctl(*arguments, **options):
    """gradingctl with these arguments, to its end; the caller looks at its exit status."""
    return subprocess.run([GRADINGCTL, *arguments], text=True, capture_output=True, check=False, timeout=120, **options)


def migrate(conninfo):
    """Brings a database to the newest schema, as an operator does."""
    result = gradingctl("-d", conninfo, "migrate")
    assert result.returncode == 0, result.stdout + result.stderr


def migrate_by_psql(conninfo, files=MIGRATIONS):
    for file in files:
        subprocess.run([postgres_tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, conninfo],
                       check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)


def connect(conninfo, **more):
    """A connection of the test's own. No statement on it goes on for ever."""
    return psycopg.connect(conninfo, **{"row_factory": namedtuple_row, "connect_timeout": PATIENCE_S,
                                        "options": f"-c statement_timeout={PATIENCE_S}s", "autocommit": True, **more})


NOWHERE = str(uuid.UUID(int=0))


def claim_of_everything(n, cap_bytes=1 << 20):
    """What claim, claim_briefly and hold take, but for the claimant: one span, of all priorities and turns, from its start."""
    return (n, [-2 ** 63], [2 ** 63 - 1], [0], [0], ["-infinity"], [NOWHERE], 0, ["-infinity"], [NOWHERE], cap_bytes)


def daemon_statements():
    """name -> (types of its parameters, text), of all statements that have a plan."""
    files = sorted((ROOT / "src/queue/sql").glob("*.sql"))
    printed = subprocess.run(["sh", ROOT / "src/queue/embed_sql.sh", "psql", *files], text=True, capture_output=True,
                             check=True, timeout=PATIENCE_S).stdout
    found = re.findall(r"^PREPARE (\w+)(?: \((.*?)^\))? AS\n(.*?);$", printed, re.MULTILINE | re.DOTALL)
    return {name: ([t.strip(" ,\t") for t in re.sub(r"--.*", "", types).split("\n") if t.strip()], text)
            for name, types, text in found}


class Database:
    """One database; its rows come as named tuples. The connection is made anew when it was lost."""

    def __init__(self, postgres, name):
        self.postgres = postgres
        self.name = name
        self.conninfo = postgres.conninfo(name)
        self.connection = None

    def connect(self, **more):
        return connect(self.conninfo, **more)

    def rows(self, sql, *params):
        if self.connection is None or self.connection.closed:
            self.connection = self.connect()
        try:
            cursor = self.connection.execute(sql, params or None)
        except psycopg.OperationalError:
            if not self.connection.closed:
                raise
            self.connection = self.connect()        # it was cut before: Postgres was restarted meanwhile
            cursor = self.connection.execute(sql, params or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, sql, *params):
        return next(iter(self.rows(sql, *params)), None)

    def value(self, sql, *params):
        row = self.row(sql, *params)
        return row and row[0]

    def close(self):
        if self.connection:
            self.connection.close()

    def insert(self, transcript=None, session=None, **columns):
        """A job as an application inserts it; columns take precedence. Returns its id."""
        values = {"session_id": session or new_session(), "job_type": "line_rating",
                  "job_data": {"transcript": rep("Hello there.") if transcript is None else transcript}}
        values.update(columns)
        if values["job_data"] is not None and not isinstance(values["job_data"], Jsonb):
            values["job_data"] = Jsonb(values["job_data"])
        names = ", ".join(values)
        marks = ", ".join(["%s"] * len(values))
        return self.value(f"INSERT INTO grading_jobs ({names}) VALUES ({marks}) RETURNING id", *values.values())

    # So many (the second parameter) plain jobs, each a session of its own with one line (the first).
    MANY = ("INSERT INTO grading_jobs (session_id, job_type, job_data) SELECT gen_random_uuid(), 'line_rating',"
            " jsonb_build_object('transcript', jsonb_build_array(jsonb_build_object('speaker', 'rep',"
            " 'text', replace(%s, '{n}', n::text), 'index', 0))) FROM generate_series(1, %s) n")

    def insert_many(self, n, text="Line {n} of many."):
        self.rows(self.MANY, text, n)

    def job(self, job):
        return self.row("SELECT * FROM grading_jobs WHERE id = %s", job)

    def wait(self, job, *statuses, timeout=PATIENCE_S):
        """The job, once its status is one of these."""
        return wait_until(lambda: (row := self.job(job)).status in statuses and row, timeout,
                          f"job {job} {' or '.join(statuses)}")

    def wait_blocked(self):
        """Until somebody waits for a lock."""
        wait_until(lambda: self.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), what="a lock to be waited for")

    def count(self, status=None):
        return self.value("SELECT count(*) FROM grading_jobs WHERE %s::text IS NULL OR status = %s", status, status)

    def unsettled(self):
        """Jobs that wait or are being rated; counted at once, since they go from the one to the other and back."""
        return self.value("SELECT count(*) FROM grading_jobs WHERE status IN ('pending', 'processing')")

    def ratings(self, session):
        return self.rows("SELECT * FROM grading_line_ratings WHERE session_id = %s ORDER BY line_index", session)

    def session(self, session):
        return self.row("SELECT * FROM grading_sessions WHERE session_id = %s", session)

    def session_of(self, job):
        return self.session(self.job(job).session_id)

    def completed(self, transcript, **columns):
        """Inserts a job, waits for it to be completed: (job, its ratings)."""
        job = self.wait(self.insert(transcript, **columns), "completed", "failed")
        assert job.status == "completed", job.error
        return job, self.ratings(job.session_id)


class Bouncer:
    """A PgBouncer in transaction mode before a Postgres."""

    POOL_SIZE = 3       # connections to the server

    def __init__(self, directory, postgres):
        self.directory, self.reserved = directory, reserve_port()
        self.port = self.reserved.getsockname()[1]
        user, self.become = unprivileged()
        (directory / "users.txt").write_text('"postgres" ""\n')
        (directory / "bouncer.ini").write_text(
            f"[databases]\n* = host={postgres.directory} port={postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {directory}/users.txt\n"
            f"pool_mode = transaction\ndefault_pool_size = {self.POOL_SIZE}\nmax_client_conn = 200\n"
            f"logfile = {directory}/log\npidfile = {directory}/pid\nadmin_users = postgres\n")
        if user:
            for path in (directory, *directory.iterdir()):
                shutil.chown(path, user)
        self.start()

    def start(self):
        self.process = subprocess.Popen([*self.become, BOUNCER, "-q", str(self.directory / "bouncer.ini")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers)

    def stop(self):
        os.kill(int((self.directory / "pid").read_text()), signal.SIGTERM)
        self.process.wait(PATIENCE_S)

    def conninfo(self, dbname):
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={dbname}"

    def answers(self):
        try:
            connect(self.conninfo("pgbouncer"), options=None).close()
        except psycopg.Error:
            return False
        return True


def preload(**settings):
    """The environment of a pool that lives on another host, or crashes over a text: see tests/drill/fakehost.c."""
    library = BUILD / "drill" / "fakehost.so"
    assert library.exists(), f"{library} is missing: make {os.path.relpath(library, ROOT)}"
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0", **settings}


# ---- configuration ----

class Raw(str):
    """A value as it stands in the configuration: a group, a number."""


def config_value(value):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[ " + ", ".join(config_value(item) for item in value) + " ]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def config_text(groups):
    """Of groups of keys, and of keys that stand alone: their value is no group."""
    return "".join(f"{group}: {{ " + " ".join(f"{key} = {config_value(value)};" for key, value in keys.items())
                   + " };\n" if isinstance(keys, dict) else f"{group} = {config_value(keys)};\n"
                   for group, keys in groups.items())


# ---- the daemon ----

class ControlError(Exception):
    """The daemon answered err, or broke off."""


def read_to_end(s, size=65536):
    """All that comes until the peer closes. Where it left our bytes unread, a reset follows its last ones."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := s.recv(size):
            parts.append(part)
    return b"".join(parts)


def control_exchange(path, request, timeout=PATIENCE_S):
    """Sends bytes to a control socket, returns all that comes back."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        with contextlib.suppress(BrokenPipeError):      # it has answered and closed already
            s.sendall(request)
        return read_to_end(s)


def unframe(reply):
    head, _, body = reply.partition(b"\n")
    if not head.startswith(b"ok "):
        raise ControlError(head.decode() or "no answer")
    assert int(head[3:]) == len(body), f"the frame says {head!r}, the body has {len(body)} bytes"
    return body.decode()


def is_running(pid):
    """There, and no zombie."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Pool:
    """One gradingd with a configuration, directory and process marker of its own."""

    def __init__(self, directory, groups, env=None):
        self.directory = pathlib.Path(directory)
        self.socket = str(self.directory / "c.sock")
        self.config_path = str(self.directory / "gradingd.conf")
        self.log_path = self.directory / "log"
        self.marker = f"GRADINGD_TEST={uuid.uuid4().hex}"
        name, value = self.marker.split("=")
        self.env = dict(os.environ, **{name: value}, **(env or {}))
        self.groups = collections.defaultdict(dict)
        self.groups["control"] = {"socket": self.socket}
        self.process = None
        self.killed_by = set()		# signals the test sent to children itself
        self.alarms_expected = False
        self.configure(**groups)

    def configure(self, **groups):
        """Merges groups of keys into the configuration and writes it."""
        for group, keys in groups.items():
            if isinstance(keys, dict):
                self.groups[group].update(keys)
            else:
                self.groups[group] = keys
        self.write_config(config_text(self.groups))

    def write_config(self, text):
        pathlib.Path(self.config_path).write_text(text, encoding="utf-8")

    def run(self, *arguments, timeout=120):
        """gradingd with these options, to its end."""
        return subprocess.run([GRADINGD, "-c", self.config_path, *arguments], env=self.env, text=True, timeout=timeout,
                              capture_output=True, check=False, cwd=self.directory, stdin=subprocess.DEVNULL)

    def start(self, wait=True, stderr=None):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen([GRADINGD, "-c", self.config_path], env=self.env, stdout=log,
                                            stderr=log if stderr is None else stderr, stdin=subprocess.DEVNULL,
                                            cwd=self.directory)
        if wait:
            self.wait_up()
        return self

    def wait_up(self):
        wait_until(self.is_up, what=f"the pool to be up; its log:\n{self.log}")
        return self

    def is_up(self):
        assert self.process is None or self.process.poll() is None, f"gradingd ended early:\n{self.log}"
        try:
            return self.show("status")["phase"] == "up"
        except (OSError, ControlError):
            return False

    @property
    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self):
        return self.process.pid

    def ctl(self, words):
        return unframe(control_exchange(self.socket, words.encode() + b"\n"))

    def show(self, what):
        return json.loads(self.ctl(f"show {what} json"))

    def metric(self, name):
        return self.show("metrics")["gradingd_" + name]

    def wait_metric(self, name, value):
        """Until a counter shows this, which may be later than the database does."""
        wait_until(lambda: self.metric(name) == value, what=f"{name} to be {value}")

    def wait_log(self, words):
        """Until the log says so, which may be later than the socket or the database does."""
        wait_until(lambda: words in self.log, what=f"the log to say {words!r}")

    def children(self):
        """pid by slot; 0 is the janitor, PUBLISHER the publisher."""
        return {row["slot"]: row["pid"] for row in self.show("workers") if row["pid"]}

    def workers(self):
        return [pid for slot, pid in sorted(self.children().items()) if 0 < slot < PUBLISHER]

    def publisher(self):
        return self.children().get(PUBLISHER)

    def janitor(self):
        return self.children().get(0)

    def busy(self):
        """Pids of the workers that have jobs in hand."""
        return [row["pid"] for row in self.show("workers") if row["slot"] > 0 and row["pid"] and row["in_flight"]]

    def kill(self, pid, signo=signal.SIGKILL):
        """A child that is gone already is no matter: another took its place."""
        self.killed_by.add(signo)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signo)

    def pause(self):
        """Nothing is claimed from here on. A claim may be under way when the order comes, so the workers are replaced."""
        before = self.workers()
        self.ctl("pause")
        self.ctl("recycle")
        wait_until(lambda: self.show("status")["workers_idle"] == len(before) and not set(before) & set(self.workers()))

    def stays_pending(self, db):
        """A job that nobody claims. Claims that were under way when the order came may take one a worker before."""
        for _ in range(len(self.workers()) + 1):
            job = db.insert()
            with contextlib.suppress(AssertionError):
                stays(lambda: db.job(job).status == "pending", 0.5)
                return job
        raise AssertionError("jobs are claimed all the same")

    def send(self, signo):
        os.kill(self.pid, signo)

    def wait_dead(self):
        """Until the supervisor is gone, whatever became of its children."""
        self.process.wait(PATIENCE_S)

    def processes(self):
        """Everything that was started from this pool, whoever its parent is now."""
        marker = self.marker.encode()
        found = []
        for environ in glob.glob("/proc/[0-9]*/environ"):
            with contextlib.suppress(OSError):
                pid = int(environ.split("/")[2])
                if marker in pathlib.Path(environ).read_bytes().split(b"\0") and is_running(pid):
                    found.append(pid)
        return found

    def wait_gone(self, timeout=PATIENCE_S):
        wait_until(lambda: not self.processes(), timeout, "all processes of the pool to be gone")

    def wait_exit(self, timeout=PATIENCE_S):
        """The supervisor's exit status, once it and all of its children are gone."""
        status = self.process.wait(timeout)
        self.wait_gone()
        return status

    def stop(self, signo=signal.SIGTERM, timeout=PATIENCE_S):
        self.send(signo)
        return self.wait_exit(timeout)

    def check_log(self):
        """Nothing but what the test did itself has gone wrong in the children."""
        log = re.sub(r"(was killed by signal \d+) \(.*?\)", r"\1", self.log)
        if not self.alarms_expected:
            alarm = ALARMS.search(log)
            assert not alarm, f"{alarm[0]!r} in the log:\n{log}"
        deaths = {int(signo) for signo in re.findall(r"was killed by signal (\d+)", log)}
        assert deaths <= self.killed_by, f"children died of signals {deaths - self.killed_by}:\n{log}"

    def close(self):
        """At the end of each test: stops what still runs, and finds fault with what is left."""
        try:
            if self.process and self.process.poll() is None:
                assert self.stop() == 0
            self.wait_gone()
            self.check_log()
        finally:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process:
                self.process.wait(PATIENCE_S)
