"""Where the drill happens: Postgres, provider, proxy, pool and feeder, and what is measured while a fault is injected."""
import contextlib
import itertools
import json
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psycopg

import feeder
import harness
import proxy
from harness import wait_until

WORKERS = 6
IN_FLIGHT = 12
DELAY_MS = 300
NORMAL = 0.7            # of the throughput before the fault
NORMAL_SHORT = 0.3      # in the shortened drill, beside which others are at work
WINDOW_S = 1.0          # in which that must be reached
BUCKET_S = 0.1
POISON = "drillpoison"


class Server(harness.Postgres):
    SETTINGS = dict(harness.Postgres.SETTINGS, wal_level="replica", max_wal_senders=4, hot_standby="on",
                    autovacuum_naptime="5s")


class Standby(Server):
    """A copy of a server that follows it, and can be promoted."""

    def __init__(self, directory, primary):         # pylint: disable=super-init-not-called
        self.directory, self.data = str(directory), os.path.join(directory, "data")
        self.reserved = proxy.reserve_port()
        self.port = self.reserved.getsockname()[1]
        self.user, self.become = harness.unprivileged()
        if self.user:
            shutil.chown(self.directory, self.user)
        self.tool("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-h", primary.directory,
                  "-p", str(primary.port), "-U", "postgres")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.write(f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n")
        self.start()

    def promote(self):
        self.tool("pg_ctl", "-D", self.data, "-w", "promote")


class Provider:
    def __init__(self):
        program = pathlib.Path(__file__).with_name("provider.py")
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([sys.executable, "-B", str(program)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.said())}/v1"
        self.behave("good")

    def behave(self, do, **more):
        self.process.stdin.write(json.dumps({"do": do, "delay_ms": DELAY_MS, **more}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.said())

    def said(self):
        """The next line, which it is known to say: nothing is read ahead of it."""
        assert select.select([self.process.stdout], [], [], harness.PATIENCE_S)[0], "the provider says nothing"
        return self.process.stdout.readline()

    def close(self):
        self.process.stdin.close()
        self.process.wait(harness.PATIENCE_S)


class Lab:
    def __init__(self, short):
        self.short = short
        self.measure_s = WINDOW_S if short else 3
        self.directories = []
        self.random = random.Random(4)
        self.server = Server(self.directory("gdd-"))
        with psycopg.connect(self.server.conninfo("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE drill")
        self.db = harness.Database(self.server, "drill")
        harness.migrate(self.db.conninfo)
        self.db.rows(feeder.TABLES)
        self.proxy = proxy.Proxy(os.path.join(self.server.directory, f".s.PGSQL.{self.server.port}"))
        self.provider = Provider()
        self.boot = pathlib.Path(self.directory("gddb-")) / "boot_id"
        self.boot.write_text("11111111-1111-1111-1111-111111111111\n", encoding="ascii")
        self.pools, self.pool = [], None
        self.pool = self.new_pool().start()
        self.feeder = feeder.Feeder(lambda: self.db.connect(connect_timeout=5), 600 if short else 1500)
        self.feeder.start()
        self.transcripts = feeder.transcripts(1000001)
        self.may_fail = []
        self.servers = [self.server]

    def seconds(self, full):
        """How long a fault lasts: as said, or a part of that in the shortened drill."""
        return max(full / 6, 1) if self.short else full

    def directory(self, prefix):
        path = tempfile.mkdtemp(prefix=prefix, dir="/tmp")
        os.chmod(path, 0o755)
        self.directories.append(path)
        return path

    def close(self):
        self.feeder.over.set()
        for pool in self.pools:
            for pid in pool.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.proxy.close()
        self.provider.close()
        self.db.close()
        for server in self.servers:
            with contextlib.suppress(subprocess.CalledProcessError):
                server.stop("immediate")
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)

    # ---- pools ----

    def groups(self):
        """The configuration that a row starts from, and that is brought back after it."""
        return {"database": {"conninfo": self.db.conninfo, "pool_mode": "session", "listen_conninfo": ""},
                "pool": {"workers": WORKERS, "in_flight": IN_FLIGHT, "claim_batch": IN_FLIGHT, "drain": "10s",
                         "beat": "30s"},
                "queue": {"poll": "1s", "stuck_after": "10m", "job_deadline": "2m", "keep_completed": "0"},
                "rater": {"backend": "openai"}, "log": {"level": "info"},
                "openai": {"base_url": self.provider.url, "api_key_env": "GRADINGD_TEST_KEY", "timeout": "5s"}}

    def new_pool(self, **env):
        env = {"GRADINGD_TEST_KEY": harness.KEY, **env}
        pool = harness.Pool(self.directory("gdp-"), self.groups(),
                            harness.preload(DRILL_BOOT=str(self.boot), DRILL_POISON=POISON, **env))
        self.pools.append(pool)
        return pool

    def reload(self, **groups):
        """Other settings, under load: all children are replaced one after another."""
        self.configure(**groups)
        before = set(self.pool.children().values())
        self.pool.send(signal.SIGHUP)
        wait_until(lambda: self.is_whole() and not before & set(self.pool.children().values()),
                   what="all children to be replaced")

    def configure(self, **groups):
        for group, keys in self.groups().items():
            self.pool.groups[group] = dict(keys)
        self.pool.configure(**groups)

    def is_whole(self):
        status = self.pool.show("status")
        return status["database_connected"] == status["children"] == self.pool.groups["pool"]["workers"] + 1

    def restart_pool(self, stderr=None, **env):
        """A new supervisor after the old one has gone, with another environment perhaps."""
        self.pool.env.update(env)
        self.pool.start(wait=False, stderr=stderr)     # how long it takes to be at work is measured

    def kill_worker(self, signo=signal.SIGKILL, pool=None):
        pool = pool or self.pool
        victims = pool.workers()
        if victims:
            pool.kill(self.random.choice(victims), signo)

    def kill_everything(self, pool):
        """As a power failure does it: nobody is left to give anything back."""
        for signo in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pool.processes():
                pool.kill(pid, signo)
        pool.wait_dead()
        pool.wait_gone()

    # ---- what is done to the database ----

    def now(self):
        return time.time()          # the servers and this program share a clock

    def refuse(self, sqlstates, share=1.0):
        """From now on statements that write fail with one of these, so large a share of them."""
        states = ", ".join(f"'{state}'" for state in sqlstates)
        self.db.rows("CREATE OR REPLACE FUNCTION drill_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                     f" IF random() < {share} THEN RAISE EXCEPTION 'drill' USING ERRCODE ="
                     f" (ARRAY[{states}])[1 + floor(random() * {len(sqlstates)})::int]; END IF; RETURN NULL; END $$")
        for table in ("grading_jobs", "line_ratings", "grading_sessions", "phrase_cache"):
            self.db.rows(f"CREATE TRIGGER drill_refuse BEFORE UPDATE OR INSERT ON {table}"
                         " EXECUTE FUNCTION drill_refuse()")

    def refuse_no_more(self):
        for table in ("grading_jobs", "line_ratings", "grading_sessions", "phrase_cache"):
            self.db.rows(f"DROP TRIGGER drill_refuse ON {table}")

    def insert(self, n, priority=0):
        """So many jobs and a few more, beside those of the feeder. Returns their ids."""
        jobs = []
        while len(jobs) < n:
            jobs += feeder.insert(self.feeder.connection, itertools.islice(self.transcripts, feeder.SESSIONS_AT_ONCE),
                                  priority)
        return [job for job, *_ in jobs]

    @contextlib.contextmanager
    def guarded(self, condition, sqlstates="55000"):
        """A trigger of the application's refuses to have such rows changed."""
        states = ", ".join(f"'{state}'" for state in sqlstates.split())
        self.db.rows("CREATE FUNCTION drill_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                     f" IF {condition} THEN RAISE EXCEPTION 'not now' USING errcode ="
                     f" (ARRAY[{states}])[1 + abs(mod(hashtext(OLD.id::text), {len(sqlstates.split())}))]; END IF;"
                     " RETURN NEW; END $$")
        self.db.rows("CREATE TRIGGER drill_guard BEFORE UPDATE ON grading_jobs"
                     " FOR EACH ROW EXECUTE FUNCTION drill_guard()")
        try:
            yield
        finally:
            self.db.rows("DROP TRIGGER drill_guard ON grading_jobs")
            self.db.rows("DROP FUNCTION drill_guard()")

    def terminate_one(self):
        self.db.rows("SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                     " WHERE application_name LIKE 'gradingd %%' ORDER BY random() LIMIT 1) victim")

    # ---- what is measured ----

    def completed(self, since, until):
        """How many jobs were completed in each bucket of this time."""
        buckets = [0] * (int((until - since) / BUCKET_S) + 1)
        for bucket, n in self.db.rows(
                "SELECT floor((extract(epoch FROM completed_at) - %s::float8) / %s::float8)::int, count(*)"
                " FROM grading_jobs WHERE status = 'completed' AND completed_at >= to_timestamp(%s::float8)"
                " AND completed_at < to_timestamp(%s::float8) GROUP BY 1", since, BUCKET_S, since, until):
            if 0 <= bucket < len(buckets):
                buckets[bucket] += n
        return buckets

    def rate(self, since, until):
        return sum(self.completed(since, until)) / max(until - since, 0.001)

    def recent_rate(self):
        """As it is measured before a fault."""
        return self.rate(self.now() - self.measure_s, self.now())

    def ncompleted(self, jobs):
        return self.db.value("SELECT count(*) FROM grading_jobs WHERE id = ANY(%s::uuid[]) AND status = 'completed'", jobs)

    def first_normal(self, since, wanted, until):
        """How long after `since` the first window begins in which the throughput is as wanted; None: not yet."""
        buckets, width = self.completed(since, until), int(WINDOW_S / BUCKET_S)
        for at in range(len(buckets) - width):
            if sum(buckets[at:at + width]) >= wanted * WINDOW_S:
                return at * BUCKET_S
        return None

    def warm_up(self):
        """Until the pool has all calls in flight that it may have, and their answers come."""
        wait_until(lambda: sum(self.completed(self.now() - WINDOW_S, self.now()))
                   >= 0.7 * WORKERS * IN_FLIGHT / (DELAY_MS / 1000) * WINDOW_S or time.sleep(BUCKET_S), 20,
                   "the pool to work at its speed")

    def wait_normal(self, since, wanted, patience_s=60):
        return wait_until(lambda: self.looked(since, wanted), patience_s, "the throughput of before")[0]

    def looked(self, since, wanted):
        time.sleep(BUCKET_S)
        took = self.first_normal(since, wanted, self.now())
        return None if took is None else (took,)

    def tally(self):
        """(attempts spent, jobs failed) so far."""
        return self.db.row("SELECT coalesce(sum(attempts), 0)::int, count(*) FILTER (WHERE status = 'failed')::int"
                           " FROM grading_jobs WHERE attempts > 0 OR status = 'failed'")

    def drain(self, patience_s=180):
        wait_until(lambda: time.sleep(0.2) or not self.db.value(
            "SELECT count(*) FROM grading_jobs WHERE status IN ('pending', 'processing')"), patience_s,
            "the queue to be worked off")
