"""Runs a peer, a job queue for Node.js (peers/): its processes, its Redis, a burn-down and single jobs.

The programs are run from build/bench/peers, where make has put them beside what npm installed.
"""
import contextlib
import dataclasses
import json
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading

import harness
import lab
import material
import processes

HOME = harness.BUILD / "bench" / "peers"
WORKERS = 2         # processes
PATIENCE_S = 120    # for all jobs to be enqueued


@dataclasses.dataclass
class Kind:
    title: str
    schema: str         # what it keeps in Postgres; dropped before each run
    redis: bool = False


PEERS = {"graphile-worker": Kind("graphile-worker", "graphile_worker"),
         "pg-boss": Kind("pg-boss", "pgboss"),
         "bullmq": Kind("BullMQ", "", redis=True)}
FORMS = ["rows", "json", "single"]      # see peers/results.js


def node():
    """The Node.js that came with the peers, else the machine's own."""
    return next(map(str, HOME.glob("node_modules/node-linux-*/bin/node")), "node")


def program_version(program):
    return re.search(r"v=?([0-9.]+)", subprocess.check_output([program, "--version"], text=True))[1]


def versions(names):
    pinned = json.loads((HOME / "package.json").read_text(encoding="utf-8"))["dependencies"]
    told = [f"{PEERS[name].title} {pinned[name]}" for name in names]
    if any(PEERS[name].redis for name in names):
        told.append(f"Redis {program_version('redis-server')} with appendfsync everysec")
    return ", ".join([*told, f"Node.js {program_version(node())}"])


class Redis:
    """On a socket in a directory of its own, durable as people run it: an append-only file, synced every second."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="gdredis-", dir="/tmp")
        self.socket = f"{self.directory}/redis.sock"
        settings = {"port": 0, "unixsocket": self.socket, "dir": self.directory, "appendonly": "yes",
                    "appendfsync": "everysec", "save": "", "logfile": f"{self.directory}/log"}
        self.process = subprocess.Popen(["redis-server", *(word for name, value in settings.items()
                                                           for word in (f"--{name}", str(value)))],
                                        stdin=subprocess.DEVNULL, start_new_session=True)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory)


@contextlib.contextmanager
def redis_for(names):
    """A Redis, if one of the peers needs it."""
    if not any(PEERS[name].redis for name in names):
        yield None
        return
    redis = Redis()
    try:
        harness.wait_until(lambda: os.path.exists(redis.socket), what="Redis to be up")
        yield redis
    finally:
        redis.close()


class Process:
    """One process of a peer; peers/main.js says what it understands."""

    def __init__(self, peer, form, env):
        self.peer = peer
        self.stored = 0
        self.answers = queue.SimpleQueue()
        # A session of its own: a Ctrl-C is for the benchmark, which ends it.
        self.process = subprocess.Popen([node(), "main.js", peer, form], cwd=HOME, env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        threading.Thread(target=self.listen, daemon=True).start()
        self.answer()

    def listen(self):
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "stored":
                self.stored = int(rest)
            else:
                self.answers.put(word)
        self.answers.put(None)

    def answer(self):
        try:
            said = self.answers.get(timeout=PATIENCE_S)
        except queue.Empty:
            said = None
        if said is None:
            raise AssertionError(f"a process of {self.peer} ended or did not answer; what it said is above")
        return said

    def progress(self):
        if self.process.poll() is not None:
            raise AssertionError(f"a process of {self.peer} ended early; what it said is above")
        return self.stored

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.wait()


class Meter(lab.Meter):
    """Counts Node.js and Redis, whose threads the family of a process does not tell of."""

    def __init__(self, room, pids):
        super().__init__(room)
        self.pids = pids

    def read(self):
        seconds, postgres_s, _, wal_bytes = super().read()
        return [seconds, postgres_s, sum(map(processes.all_threads_cpu_seconds, self.pids)), wal_bytes]


class Peer:
    """One peer, storing its results in one form."""

    def __init__(self, room, name, form, redis):
        self.room, self.name, self.form, self.redis, self.kind = room, name, form, redis, PEERS[name]
        self.env = {**os.environ, "PGHOST": room.server.directory, "PGPORT": str(room.server.port),
                    "PGUSER": "postgres", "PGDATABASE": room.db.name, "REDIS_SOCKET": redis.socket if redis else ""}

    @contextlib.contextmanager
    def processes(self):
        """The one that fills the fresh queue, and the workers, which wait."""
        if self.kind.schema:
            self.room.db.rows(f"DROP SCHEMA IF EXISTS {self.kind.schema} CASCADE")
        self.room.db.rows("TRUNCATE peer.line_ratings, peer.grading_sessions, peer.results")
        with contextlib.ExitStack() as stack:
            def start():
                process = Process(self.name, self.form, self.env)
                stack.callback(process.close)
                return process
            filler = start()
            filler.ask("install")
            yield filler, [start() for _ in range(WORKERS)]

    def burn(self, n=lab.JOBS):
        """A burn-down of n jobs: until all results are stored and the queue has no job left."""
        with self.processes() as (filler, workers):
            filler.ask("enqueue", n)
            self.room.settle_down()
            meter = Meter(self.room, [worker.process.pid for worker in workers]
                          + ([self.redis.process.pid] if self.kind.redis else []))
            meter.start()
            for worker in workers:
                worker.ask("work")
            while (done := sum(worker.progress() for worker in workers)) < n or filler.ask("left") != "0":
                meter.wait(min(done, n - 1), n)
            meter.stop()
        self.check(n)
        return lab.Run(n, meter.seconds, 0, meter.wal_bytes, meter.postgres_s, meter.pool_s)

    def check(self, n):
        """Every job's results are there, once."""
        if self.form != "rows":
            expected, found = (n,), self.room.db.row("SELECT count(*) FROM peer.results"
                                                     " WHERE json_array_length(result -> 'lines') = %s", material.LINES)
        else:
            expected = (n * material.LINES, n, n * material.LINES, 0)
            found = self.room.db.row(
                "SELECT (SELECT count(*) FROM peer.line_ratings) AS lines, sum(completed_batches) AS jobs,"
                " sum(rated_lines) AS rated, count(*) FILTER (WHERE status <> 'completed' OR completed_at IS NULL)"
                " FROM peer.grading_sessions")
        assert tuple(found) == expected, f"{self.name} stored {tuple(found)} instead of {expected}"

    @contextlib.contextmanager
    def idle(self):
        """Workers waiting for work: yields what enqueues a job for a session, and tells when the call began."""
        with self.processes() as (filler, workers):
            for worker in workers:
                worker.ask("work")
            yield lambda session, _: float(filler.ask("send", session))
