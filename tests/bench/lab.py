"""Where the benchmarks run: a private Postgres as people run it (fsync on), jobs, pools, the bare loop, and meters.

The tables are emptied and filled anew before each measurement, vacuumed, and a checkpoint is made, so that every
one starts from the same state. Autovacuum is off lest it falls into one measurement and not into the next.
"""
import contextlib
import copy
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import psycopg

import harness
import material
import processes

JOBS = 20_000
BARE = harness.BUILD / "bench" / "bare"
TABLES = "grading_jobs, grading_sessions, line_ratings, phrase_cache"
PATIENCE_S = 600


class Server(harness.Postgres):
    # min_wal_size: segments are written over, as on a server that has run for a while, not made anew in each round.
    SETTINGS = {"listen_addresses": "", "shared_buffers": "512MB", "min_wal_size": "1GB", "max_connections": 200,
                "autovacuum": "off", "timezone": "UTC"}

    def pid(self):
        return int(pathlib.Path(self.data, "postmaster.pid").read_text(encoding="ascii").split()[0])


def kill_server(directory):
    """A server in this directory that nobody stopped."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(pathlib.Path(directory, "data", "postmaster.pid").read_text(encoding="ascii").split()[0]),
                signal.SIGQUIT)


@dataclasses.dataclass
class Run:
    """One burn-down."""
    jobs: int
    seconds: float
    statements: int
    wal_bytes: int
    postgres_s: float       # CPU
    ours_s: float           # CPU of the pool, or of the bare loop

    @property
    def rate(self):
        return self.jobs / self.seconds


def median(runs, what):
    return statistics.median(map(what, runs))


def spread(values, form="{:,.0f}"):
    """The median, and the least and the greatest."""
    values = list(values)
    return " ".join([form.format(statistics.median(values)), f"({form.format(min(values))}-{form.format(max(values))})"])


class Lab:
    def __init__(self, directory, full):
        self.full = full
        self.directory = str(directory)
        self.server = Server(directory)
        self.db = self.new_database("bench")
        self.make_material()

    def new_database(self, name):
        with psycopg.connect(self.server.conninfo("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        db = harness.Database(self.server, name)
        harness.migrate(db.conninfo)
        return db

    @contextlib.contextmanager
    def beside(self, name):
        """The same with a database of its own on the same server: what a fault of the machine does to both is no
        fault of the queue's."""
        other = copy.copy(self)
        other.db = self.new_database(name)
        other.make_material()
        try:
            yield other
        finally:
            other.db.close()
            self.db.rows(f"DROP DATABASE {name}")

    def close(self):
        self.db.close()
        self.server.stop("immediate")

    def pick(self, short, long):
        return long if self.full else short

    def make_material(self):
        self.db.rows("CREATE UNLOGGED TABLE material (place serial PRIMARY KEY, session_id uuid, job_data jsonb)")
        with self.db.connection.cursor().copy("COPY material (session_id, job_data) FROM STDIN") as copy:
            for row in material.jobs(JOBS):
                copy.write_row(row)

    def add_peers(self):
        """The tables of bench-peers."""
        harness.migrate_by_psql(self.db.conninfo, [pathlib.Path(__file__).with_name("peers.sql")])

    # ---- the queue's state ----

    def insert(self, n=JOBS, table="grading_jobs", columns="", values=""):
        """n jobs, in sessions of their own each time that the material is used."""
        first = self.db.value(f"SELECT count(*) FROM {table}")
        self.db.rows(f"INSERT INTO {table} (session_id, job_type, job_data{columns})"
                     f" SELECT md5(concat_ws('/', session_id, turn, %s::text))::uuid, 'line_rating', job_data{values}"
                     " FROM generate_series(1, %s::int) turn, material ORDER BY turn, place LIMIT %s",
                     first, -(-n // JOBS), n)

    def settle_down(self):
        self.db.rows("VACUUM ANALYZE")
        self.db.rows("CHECKPOINT")

    def empty(self):
        self.db.rows(f"TRUNCATE {TABLES}")

    def fresh(self, n=JOBS):
        self.empty()
        self.insert(n)
        self.settle_down()

    @contextlib.contextmanager
    def snapshot(self):
        """Another connection's old snapshot: nothing that dies meanwhile can be removed."""
        with psycopg.connect(self.db.conninfo) as holder:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT count(*) FROM grading_sessions")
            yield
            holder.rollback()

    # ---- ours ----

    @contextlib.contextmanager
    def pool(self, workers=2, pool=None, options="", **groups):
        """A pool that waits: it claims nothing before burn()."""
        directory = tempfile.mkdtemp(prefix="gdb-", dir="/tmp")
        made = harness.Pool(directory, {"database": {"conninfo": self.db.conninfo + options},
                                        "pool": dict({"workers": workers}, **(pool or {})), "log": {"level": "warn"}})
        made.configure(**groups)
        try:
            made.start()
            made.ctl("pause")
            yield made
            made.stop()
            made.check_log()
        finally:
            for pid in made.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            shutil.rmtree(directory)

    def burn(self, pool, n=JOBS):
        """Lets the pool work off the n jobs that are there."""
        before = pool.show("metrics")
        meter = Meter(self, pool.pid)
        meter.start()
        pool.ctl("resume")
        while (done := pool.metric("jobs_completed_total") - before["gradingd_jobs_completed_total"]) < n:
            meter.wait(done, n)
        meter.stop()
        pool.ctl("pause")
        after = pool.show("metrics")
        if after["gradingd_jobs_failed_total"] != before["gradingd_jobs_failed_total"]:
            raise AssertionError(f"jobs failed:\n{pool.log}")
        return Run(n, meter.seconds, after["gradingd_statements_total"] - before["gradingd_statements_total"],
                   meter.wal_bytes, meter.postgres_s, meter.pool_s)

    def ours(self, n=JOBS, **keys):
        """A burn-down on fresh tables."""
        with self.pool(**keys) as pool:
            self.fresh(n)
            run = self.burn(pool, n)
        stored = self.db.value("SELECT count(*) FROM line_ratings")
        assert stored == n * material.LINES, f"{stored} ratings of {n} jobs"
        return run

    # ---- the bare loop ----

    def burn_bare(self, processes_=2, batch=64, claims="written"):
        words = [BARE, self.db.conninfo, str(processes_), str(batch), claims]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bare:
            assert bare.stdout.readline() == "ready\n"
            meter = Meter(self)
            meter.start()
            told = json.loads(bare.communicate("go\n", PATIENCE_S)[0])
            meter.stop()
        return Run(told["jobs"], told["seconds"], told["statements"], meter.wal_bytes, meter.postgres_s, told["cpu_s"])

    def bare(self, n=JOBS, **keys):
        self.fresh(n)
        run = self.burn_bare(**keys)
        assert run.jobs == n and self.db.value("SELECT sum(rated_lines) FROM grading_sessions") == n * material.LINES
        return run


class Meter:
    """Time, CPU and WAL between start() and stop()."""

    def __init__(self, lab, pool_pid=None):
        self.lab, self.pool_pid, self.server_pid = lab, pool_pid, lab.server.pid()
        self.began = self.seconds = self.wal_bytes = self.postgres_s = self.pool_s = 0

    def read(self):
        return [time.monotonic(), processes.cpu_seconds(self.server_pid),
                processes.cpu_seconds(self.pool_pid) if self.pool_pid else 0,
                self.lab.db.value("SELECT pg_current_wal_insert_lsn() - '0/0'")]

    def start(self):
        self.began = self.read()

    def stop(self):
        self.seconds, self.postgres_s, self.pool_s, self.wal_bytes = (
            now - then for now, then in zip(self.read(), self.began))

    def wait(self, done, n):
        """Half of what seems to be left: few looks, and a close one at the end."""
        spent = time.monotonic() - self.began[0]
        if spent > PATIENCE_S:
            raise AssertionError(f"{done} of {n} jobs are done after {PATIENCE_S} s")
        time.sleep(min(max(spent * (n - done) / max(done, 1) / 2, 0.002), 0.2))
