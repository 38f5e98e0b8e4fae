"""gradingd -t and -d: exit status, the sentence that says why, pid file, one daemon a socket."""
import contextlib
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness import (GRADINGCTL, GRADINGD, MIGRATIONS, PATIENCE_S, ROOT, ControlError, connect, gradingctl,
                     is_running, migrate, postgres_tool, rep, wait_until)
from llm_server import reserve_port


class Daemon:
    """What -d leaves behind, with the pid file's word on who it is."""

    def __init__(self, pool):
        self.pool = pool
        self.pid_file = pathlib.Path(pool.directory / "gradingd.pid")
        pool.log_path = pool.directory / "daemon.log"
        pool.configure(log={"to": str(pool.log_path)})

    def start(self, *options):
        """With pipes for its output: a daemon that keeps them open never lets go of the command's reader."""
        return self.pool.run("-d", *options)

    def stop(self):
        os.kill(int(self.pid_file.read_text()), signal.SIGTERM)
        self.pool.wait_gone()


@pytest.fixture
def daemon(make_pool, db):
    pool = make_pool(db, start=False)
    daemon = Daemon(pool)
    yield daemon
    with contextlib.suppress(OSError, ValueError):
        daemon.stop()


def test_a_daemon_is_up_when_the_command_returns(daemon, db):
    result = daemon.start()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert daemon.pool.show("status")["phase"] == "up"
    pid = int(daemon.pid_file.read_text())
    assert pid == daemon.pool.show("version")["pid"]
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    db.wait(db.insert(), "completed")
    daemon.stop()
    assert not daemon.pid_file.exists() and not os.path.exists(daemon.pool.socket)


def test_the_pid_file_goes_where_it_is_wanted(daemon):
    daemon.pid_file = daemon.pool.directory / "else.pid"
    assert daemon.start("-p", str(daemon.pid_file)).returncode == 0
    assert is_running(int(daemon.pid_file.read_text()))


def test_a_second_daemon_on_the_socket_is_refused(daemon):
    daemon.start()
    pid = daemon.pid_file.read_text()
    second = daemon.start()
    assert second.returncode not in (0, 75) and pid.strip() in second.stderr
    assert daemon.pid_file.read_text() == pid
    assert daemon.pool.show("status")["phase"] == "up"


def test_a_second_daemon_on_the_pid_file_is_refused(daemon, make_pool, db):
    daemon.start()
    pid = daemon.pid_file.read_text()
    other = Daemon(make_pool(db, start=False))
    refused = other.start("-p", str(daemon.pid_file))
    assert refused.returncode == 78 and "control.pid_file or -p" in refused.stderr
    assert daemon.pid_file.read_text() == pid and is_running(int(pid))
    assert not other.pid_file.exists()


def test_a_second_foreground_pool_on_the_socket_is_refused(pool):
    second = pool.run()
    assert second.returncode == 1 and str(pool.pid) in second.stderr
    assert pool.show("status")["phase"] == "up"


class Gate:
    """A port that nobody listens on, until it is opened: then it leads to the database."""

    def __init__(self, postgres, db):
        self.postgres, self.port = postgres, reserve_port()
        number = self.port.getsockname()[1]
        self.conninfo = f"host=127.0.0.1 port={number} user=postgres dbname={db.name} connect_timeout=60"
        self.socket, self.number, self.over = None, number, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        if self.socket:
            self.socket.close()

    def listen(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port.close()
        self.socket.bind(("127.0.0.1", self.number))
        self.socket.listen(64)

    def open(self):
        self.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while not self.over:
            try:
                peer = self.socket.accept()[0]
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.postgres.port))
            for source, target in ((peer, there), (there, peer)):
                threading.Thread(target=self.carry, args=(source, target), daemon=True).start()

    @staticmethod
    def carry(source, target):
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


nobody = reserve_port()        # it never listens


def away(pool):
    port = nobody.getsockname()[1]
    pool.configure(database={"conninfo": f"host=127.0.0.1 port={port} dbname=grading connect_timeout=2"})


def missing(pool):
    pool.configure(database={"conninfo": pool.groups["database"]["conninfo"] + "_not"})


def nonsense(pool):
    pool.configure(pool={"workers": 0})


def unknown_key(pool):
    pool.configure(pool={"wrokers": 4})


def no_key(pool):
    pool.configure(rater={"backend": "openai"}, openai={"api_key_env": "GRADINGD_NO_SUCH_VARIABLE"})


# How the world is wrong, the exit status, and the words an operator needs.
TROUBLES = {
    "database away": (away, 75, "connect"),
    "database missing": (missing, 78, "does not exist"),
    "value out of range": (nonsense, 78, "pool.workers"),
    "unknown key": (unknown_key, 78, "wrokers"),
    "no API key": (no_key, 78, "GRADINGD_NO_SUCH_VARIABLE"),
}


@pytest.mark.parametrize("trouble, status, words", [TROUBLES[name] for name in TROUBLES if name != "database away"],
                         ids=[name for name in TROUBLES if name != "database away"])
def test_a_daemon_that_cannot_work_says_why(daemon, trouble, status, words):
    trouble(daemon.pool)
    daemon.pool.alarms_expected = True
    result = daemon.start()
    assert result.returncode == status
    assert words in result.stderr and len(result.stderr.splitlines()) == 1
    daemon.pool.wait_gone()
    assert not daemon.pid_file.exists() and not os.path.exists(daemon.pool.socket)


def test_a_daemon_waits_for_a_database_that_is_away(daemon, db, postgres):
    """The command returns before the database is there, and says so; the pool is up as soon as it is."""
    with Gate(postgres, db) as gate:
        daemon.pool.configure(database={"conninfo": gate.conninfo})
        result = daemon.start()
        assert result.returncode == 0 and "waits for the database" in result.stderr, result
        assert "connect" in result.stderr and len(result.stderr.splitlines()) == 1
        assert daemon.pool.show("status")["summary"] == "waiting for the database"
        assert is_running(int(daemon.pid_file.read_text()))
        gate.open()
        wait_until(lambda: daemon.pool.show("status")["phase"] == "up")
        db.wait(db.insert(), "completed")
        daemon.stop()


def test_a_service_manager_is_told_that_it_waits(make_pool, db, tmp_path):
    """Which else would end it after a while, and start it over and over."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "n"))
    told.settimeout(PATIENCE_S)
    pool = make_pool(db, start=False, env={"NOTIFY_SOCKET": str(tmp_path / "n")})
    away(pool)
    pool.start(wait=False)
    said = []
    while "READY=1" not in said:
        said.append(told.recv(4096).decode())
    assert any(line.startswith("STATUS=waiting for the database: ") for line in said), said
    assert pool.show("status")["summary"] == "waiting for the database"
    assert pool.stop() == 0
    told.close()


def test_a_daemon_that_waits_goes_on_when_it_is_refused(daemon, postgres, bare_db, db):
    """The database comes back before its tables do, as during a restore: what was promised is to wait."""
    daemon.pool.alarms_expected = True
    with Gate(postgres, bare_db) as gate:
        daemon.pool.configure(database={"conninfo": gate.conninfo})
        assert daemon.start().returncode == 0
        gate.open()
        wait_until(lambda: "gradingctl migrate" in daemon.pool.log, what="the refusal in the log")
        assert daemon.pool.show("status")["summary"] == "waiting for the database"
        migrate(bare_db.conninfo)
        wait_until(lambda: daemon.pool.show("status")["phase"] == "up")
        bare_db.wait(bare_db.insert(), "completed")
        daemon.stop()


def test_a_daemon_that_gets_no_answer_at_all_waits_as_well(daemon, postgres, db):
    """As behind a firewall that drops what comes."""
    with Gate(postgres, db) as gate:
        gate.listen()       # and never accepts
        daemon.pool.configure(database={"conninfo": gate.conninfo})
        result = daemon.start()
        assert result.returncode == 0 and "waits for the database" in result.stderr, result
        daemon.stop()


@pytest.mark.parametrize("trouble, status, words", TROUBLES.values(), ids=TROUBLES.keys())
def test_the_check_says_what_is_wrong(make_pool, db, trouble, status, words):
    pool = make_pool(db, start=False)
    trouble(pool)
    result = pool.run("-t")
    assert result.returncode == status
    assert words in result.stdout + result.stderr


def test_the_check_of_a_good_configuration(make_pool, db):
    result = make_pool(db, start=False).run("-t")
    assert result.returncode == 0, result.stdout + result.stderr
    for what in ("configuration", "database", "schema", "functions", "pool mode", "rater"):
        assert what in result.stdout


@pytest.mark.parametrize("change, words", [
    ("UPDATE grading_migrations SET checksum = 'x' WHERE version = 0", "of another release"),
    ("DELETE FROM grading_migrations WHERE version = 0", "of another release"),
    ("UPDATE grading_migrations SET checksum = NULL WHERE version = 0", "ok")])
def test_the_check_knows_functions_of_another_release(make_pool, db, change, words):
    db.rows(change)
    result = make_pool(db, start=False).run("-t")
    line = next(line for line in result.stdout.splitlines() if line.startswith("functions"))
    assert words in line and result.returncode == 0


@pytest.mark.parametrize("option, stream", [("-t", "stdout"), ("-d", "stderr")])
def test_a_schema_that_is_missing_or_old(make_pool, bare_db, option, stream):
    pool = make_pool(bare_db, start=False)
    Daemon(pool)
    pool.alarms_expected = True
    for _ in ("missing", "old"):
        result = pool.run(option)
        assert result.returncode == 78 and "gradingctl migrate" in getattr(result, stream)
        bare_db.rows("CREATE TABLE IF NOT EXISTS grading_migrations (version int)")
        bare_db.rows("INSERT INTO grading_migrations VALUES (82)")


def test_a_wrong_password_is_no_reason_to_try_later(make_pool, db, postgres):
    hba = pathlib.Path(postgres.data) / "pg_hba.conf"
    before = hba.read_text()
    db.rows("CREATE ROLE stranger LOGIN PASSWORD 'right'")
    hba.write_text("host all stranger 127.0.0.1/32 scram-sha-256\n" + before)
    try:
        db.rows("SELECT pg_reload_conf()")
        pool = make_pool(db, start=False)
        pool.configure(database={"conninfo": f"host=127.0.0.1 port={postgres.port} dbname={db.name} user=stranger password=wr0ng5ecret"})
        result = wait_until(lambda: (r := pool.run("-t")).returncode and r)
        pool.alarms_expected = True
        started = pool.run("-d")
    finally:
        hba.write_text(before)
        db.rows("SELECT pg_reload_conf()")
        db.rows("DROP ROLE stranger")
    assert result.returncode == 78 and "password authentication failed" in result.stdout
    assert started.returncode == 78 and "password authentication failed" in started.stderr
    assert "wr0ng5ecret" not in result.stdout + result.stderr + started.stderr


def test_a_stale_socket_and_pid_file_are_no_obstacle(daemon):
    daemon.start()
    for pid in daemon.pool.processes():
        daemon.pool.kill(pid)
    daemon.pool.wait_gone()
    assert daemon.pid_file.exists() and os.path.exists(daemon.pool.socket)
    assert daemon.start().returncode == 0
    daemon.stop()


def test_a_file_in_the_sockets_place_is_not_removed(make_pool, db):
    pool = make_pool(db, start=False)
    pathlib.Path(pool.socket).write_text("precious")
    assert pool.run().returncode == 78
    assert pathlib.Path(pool.socket).read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_started_by_root_it_runs_as_its_user_and_cleans_up_behind_itself(daemon, db):
    user = next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
    run = daemon.pool.directory / "run"
    daemon.pool.socket = str(run / "control.sock")
    daemon.pid_file = run / "gradingd.pid"
    daemon.pool.configure(pool={"user": user.pw_name}, control={"socket": daemon.pool.socket})
    result = daemon.start()
    assert result.returncode == 0, result.stderr
    for pid in daemon.pool.processes():
        assert os.stat(f"/proc/{pid}").st_uid == user.pw_uid
    db.wait(db.insert(), "completed")
    daemon.stop()
    assert not daemon.pid_file.exists() and not os.path.exists(daemon.pool.socket)


@pytest.fixture
def users_pool(make_pool, db):
    """A pool for root to start as another user, whose directory is the user's but for what a test makes in it."""
    user = next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
    pool = make_pool(db, start=False)
    os.chown(pool.directory, user.pw_uid, user.pw_gid)
    pool.user = user
    return pool


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_log_file_is_made_for_the_user_of_the_pool(users_pool):
    pool, log = users_pool, users_pool.directory / "gradingd.log"
    pool.configure(pool={"user": pool.user.pw_name}, log={"to": str(log)})
    assert pool.run("-t").returncode == 0
    assert log.stat().st_uid == pool.user.pw_uid
    pool.start()
    pool.ctl("reload")
    wait_until(lambda: pool.show("status")["reloads"] == 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("options", [["-t"], []])
def test_a_log_file_that_a_reload_could_not_open_is_refused(users_pool, options):
    pool, log = users_pool, users_pool.directory / "gradingd.log"
    log.touch(mode=0o640)
    pool.configure(pool={"user": pool.user.pw_name}, log={"to": str(log)})
    result = pool.run(*options)
    said = result.stderr + log.read_text()
    assert result.returncode == 78 and f"user {pool.user.pw_name} may not write the log file {log}" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_key_that_a_reload_could_not_read_is_refused_by_the_check(users_pool):
    pool, key = users_pool, users_pool.directory / "key"
    key.write_text("sk-secret")
    key.chmod(0o600)
    pool.configure(pool={"user": pool.user.pw_name}, rater={"backend": "openai"}, openai={"api_key_file": str(key)})
    result = pool.run("-t")
    assert result.returncode == 78
    assert f"a reload would run as {pool.user.pw_name} and fail" in result.stderr and str(key) in result.stderr
    os.chown(key, pool.user.pw_uid, -1)
    result = pool.run("-t")
    assert result.returncode == 0 and f"checked as {pool.user.pw_name}" in result.stdout


def test_a_socket_in_no_place_is_refused_by_the_check(make_pool, db):
    pool = make_pool(db, start=False)
    place = pool.directory / "a"
    pool.configure(control={"socket": str(place / "b" / "c.sock")})
    result = pool.run("-t")
    assert result.returncode == 78 and f"{place / 'b'}" in result.stderr and "the directory above it" in result.stderr
    pool.configure(control={"socket": str(place / "c.sock")})
    assert pool.run("-t").returncode == 0 and not place.exists()


def test_no_directory_is_made_at_the_top(make_pool, db):
    """A typing error in /run would else become a directory that nobody looks for."""
    top = pathlib.Path(f"/gradingd-{os.getpid()}")
    pool = make_pool(db, start=False, control={"socket": str(top / "c.sock")})
    for options in (["-t"], [], ["-d"]):
        result = pool.run(*options)
        assert result.returncode == 78 and str(top) in result.stderr + result.stdout + pool.log, result
        assert not top.exists()


def test_a_socket_that_cannot_be_made_is_refused_by_the_check(make_pool, db):
    pool = make_pool(db, start=False)
    (pool.directory / "file").write_text("")
    for path, words in ((pool.directory / "file" / "c.sock", "Not a directory"),
                        (pool.directory / "file" / "a" / "c.sock", "Not a directory"),
                        ("/proc/gradingd/c.sock", "/proc/gradingd"),
                        (pool.directory / "file", "is no socket")):
        pool.configure(control={"socket": str(path)})
        result = pool.run("-t")
        assert result.returncode == 78 and words in result.stderr, result
    assert sorted(os.listdir(pool.directory)) == ["file", "gradingd.conf"]


# What an application's own table may look like, that no start would survive; and the words that say it.
UNFIT = {
    "enum": ("""CREATE TYPE job_status AS ENUM ('pending', 'processing', 'completed', 'failed');
                CREATE TABLE grading_jobs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), session_id uuid NOT NULL,
                    job_type text NOT NULL, job_data jsonb, status job_status NOT NULL DEFAULT 'pending', result jsonb,
                    error text, attempts int NOT NULL DEFAULT 0)""", "grading_jobs.status is of type job_status"),
    "json": ("""CREATE TABLE grading_jobs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), session_id uuid NOT NULL,
                    job_type text NOT NULL, job_data json, status text NOT NULL DEFAULT 'pending', result jsonb,
                    error text, attempts int NOT NULL DEFAULT 0)""", "grading_jobs.job_data is of type json"),
}


@pytest.mark.parametrize("table, words", UNFIT.values(), ids=UNFIT.keys())
def test_the_check_finds_a_table_that_no_start_would_survive(make_pool, bare_db, table, words):
    """migrate refuses it by the same words; psql, by which it came this far, knows no such check."""
    bare_db.rows(table)
    migrated = gradingctl("-d", bare_db.conninfo, "migrate")
    assert migrated.returncode != 0 and words in migrated.stderr, migrated
    for file in MIGRATIONS:
        subprocess.run([postgres_tool("psql"), "-X", "-q", "-f", file, bare_db.conninfo], check=True,
                       capture_output=True, timeout=PATIENCE_S)
    result = make_pool(bare_db, start=False).run("-t")
    assert result.returncode == 78 and words in result.stdout, result


def test_the_check_finds_each_migration_that_is_missing(make_pool, db):
    versions = [row.version for row in db.rows("SELECT version FROM grading_migrations WHERE version > 0 ORDER BY 1")]
    pool = make_pool(db, start=False)
    for version in (versions[-1], versions[2]):
        db.rows("DELETE FROM grading_migrations WHERE version = %s", version)
        result = pool.run("-t")
        assert result.returncode == 78 and "gradingctl migrate" in result.stdout
        assert re.search(rf"schema +0?{version}_\w+\.sql (was not|and 1 more were not) applied", result.stdout), result.stdout


def test_the_check_says_once_that_migrations_are_missing(make_pool, db, bare_db):
    """And not also of each thing that they would bring, as if that were another mistake."""
    db.rows("DELETE FROM grading_migrations WHERE version >= 93 OR version = 0")
    db.rows("DROP SEQUENCE grading_cursors")
    for target in (db, bare_db):
        said = make_pool(target, start=False).run("-t").stdout
        assert said.count("gradingctl migrate") == 1 and "database.conninfo" not in said, said
        assert not re.search(r"^(functions|numbers)", said, re.MULTILINE), said


def test_the_check_finds_a_statement_that_is_refused(make_pool, db):
    db.rows("ALTER TABLE phrase_cache RENAME alternatives TO others")
    result = make_pool(db, start=False).run("-t")
    assert result.returncode == 78 and "statements" in result.stdout and "alternatives" in result.stdout


def test_the_check_warns_of_an_encoding_that_lacks_letters(make_pool, postgres):
    name = "test_latin1"
    with connect(postgres.conninfo("postgres")) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        migrate(postgres.conninfo(name))
        result = make_pool(postgres.conninfo(name), start=False).run("-t")
        assert result.returncode == 0 and re.search(r"warning\b.*LATIN1", result.stdout), result
    finally:
        with connect(postgres.conninfo("postgres")) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


MISTAKES = """pool: {
	wokers = 3;
	drain = "soon";
};
colour: { red = 1; };
rater: { backend = "openai"; fallback = "openai"; };
openai: { model = ""; };
queue: { poll = 5; stuck_after = "10m"; job_deadline = "9m"; };
"""


@pytest.mark.parametrize("options", [["-t"], ["-d"], []], ids=["-t", "-d", "foreground"])
def test_all_mistakes_of_a_file_are_told(make_pool, db, options):
    pool = make_pool(db, start=False, env={"OPENAI_API_KEY": "sk-some-key"})
    pool.write_config(MISTAKES)
    result = pool.run(*options)
    assert result.returncode == 78
    told = {}
    for line in result.stderr.splitlines():
        number = re.match(rf"gradingd: {re.escape(pool.config_path)}:(\d+): (.*)", line)
        told.setdefault(int(number[1]), []).append(number[2])
    expected = {2: ["wokers"], 3: ["pool.drain"], 5: ["colour"], 6: ["rater.fallback"], 7: ["openai.model"],
                8: ["queue.poll", "queue.job_deadline"]}
    assert sorted(told) == sorted(expected), result.stderr
    for number, words in expected.items():
        assert len(told[number]) == len(words) and all(word in "\n".join(told[number]) for word in words), result.stderr


def test_a_value_that_is_wrong_is_blamed_once(make_pool, db):
    """And not for what its default would exclude."""
    pool = make_pool(db, start=False)
    pool.write_config('queue: { stuck_after = "1m"; job_deadline = "eternal"; };')
    said = pool.run("-t").stderr.splitlines()
    assert len(said) == 1 and "queue.job_deadline" in said[0]


def test_the_mistakes_that_are_told_have_a_bound(make_pool, db):
    pool = make_pool(db, start=False)
    pool.write_config("pool: {\n" + "".join(f"\twrong{n} = 1;\n" for n in range(1000)) + "};\n")
    said = pool.run("-t").stderr.splitlines()
    assert len(said) == 21 and said[-1] == "gradingd: and 980 more mistakes"


def test_a_reload_names_the_first_mistake_and_counts_the_others(pool):
    pool.write_config("pool: { wokers = 3; }; colour: { red = 1; };\nqueue: { poll = 5; };\n")
    with pytest.raises(ControlError, match=r"wokers.*\(and 2 more mistakes\)"):
        pool.ctl("reload")
    assert pool.is_up()


def test_the_check_goes_on_after_a_mistake(make_pool, db):
    """Group, socket and log are looked at, each, and the database and the rater too."""
    pool = make_pool(db, start=False, control={"group": "no-such-group", "socket": "/proc/gradingd/c.sock"},
                     log={"to": "/nonexistent/log"})
    result = pool.run("-t")
    assert result.returncode == 78
    for words in ("no-such-group", "/proc/gradingd", "/nonexistent/log"):
        assert words in result.stderr
    assert "database       ok" in result.stdout and "rubric" in result.stdout


@pytest.mark.parametrize("conninfo, words", [
    ("prt=5478", 'did you mean "port"?'), ("dbname=x password=a secret=s", "the connection string is malformed")])
def test_the_check_names_a_misspelt_option_and_no_secret(make_pool, db, conninfo, words):
    pool = make_pool(db, start=False, database={"conninfo": conninfo})
    result = pool.run("-t")
    assert result.returncode == 78 and words in result.stdout and "database.conninfo" in result.stdout
    assert "secret" not in result.stdout + result.stderr


def test_the_check_warns_of_a_password_for_all_to_read(make_pool, db):
    pool = make_pool(db, start=False, openai={"proxy": "http://me:secret@127.0.0.1:1"})
    for mode, warned in ((0o644, True), (0o640, False)):
        os.chmod(pool.config_path, mode)
        result = pool.run("-t")
        assert result.returncode == 0 and ("holds a password" in result.stdout) == warned


@pytest.mark.parametrize("argv, words", [(["extra"], "extra is no option"), (["--max-jobs", "3"], "goes with --once"),
                                         (["-d", "-t"], "give one of them"), (["-p", "/x"], "goes with -d")])
def test_options_that_do_not_fit_are_named(make_pool, db, argv, words):
    result = make_pool(db, start=False).run(*argv)
    assert result.returncode == 1 and words in result.stderr.splitlines()[0]


def test_version_and_help(make_pool, db):
    pool = make_pool(db, start=False)
    assert pool.run("--version").stdout.startswith("gradingd ")
    assert "usage" in pool.run("--help").stdout
    assert pool.run("--nonsense").returncode == 1


def test_a_rubric_that_is_being_edited_ends_no_pool(make_pool, db, tmp_path):
    rubric = tmp_path / "rubric.conf"
    rules = (ROOT / "etc" / "rubric.conf").read_text()
    rubric.write_text(rules)
    pool = make_pool(db, rubric={"file": str(rubric)}, pool={"workers": 2})
    rubric.write_text(rules[:2000])
    pool.ctl("recycle 1")
    wait_until(lambda: "rubric.conf" in (pool.show("workers")[1]["error"] or ""))
    db.completed(rep("Hello."))
    rubric.write_text(rules)
    wait_until(lambda: all(w["state"] != "waiting" and w["pid"] for w in pool.show("workers")))
    db.completed(rep("Hello again."))


# ---- standard descriptors that are closed ----

CLOSED = [[fd for fd in range(3) if n & 1 << fd] for n in range(8)]
closed_ids = ["+".join(map(str, fds)) or "none" for fds in CLOSED]


def with_closed(fds, argv, env, **options):
    """argv with these descriptors closed; the others lead to pipes or to nowhere."""
    closing = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in fds)
    return subprocess.run(["sh", "-c", f'exec "$@" {closing}', "sh", *map(str, argv)], env=env, text=True, check=False,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=2 * PATIENCE_S, **options)


def assert_standard_descriptors(pid):
    """All three are there, and are no socket, pipe or file of the daemon's own."""
    for fd in range(3):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        assert target == "/dev/null" or target.startswith(("/tmp/", "pipe:")), f"{fd} is {target}"


@pytest.mark.parametrize("fds", CLOSED, ids=closed_ids)
def test_a_daemon_started_with_closed_descriptors(daemon, db, fds):
    pool = daemon.pool
    result = with_closed(fds, [GRADINGD, "-c", pool.config_path, "-d"], pool.env)
    assert result.returncode == 0
    pid = int(daemon.pid_file.read_text())
    assert_standard_descriptors(pid)
    db.wait(db.insert(), "completed")
    worker = pool.workers()[0]
    assert_standard_descriptors(worker)
    pool.kill(worker)
    wait_until(lambda: worker not in pool.workers() and len(pool.workers()) == 2, what="the dead worker to be replaced")
    daemon.stop()


def test_a_daemon_keeps_nothing_open_of_who_starts_it(daemon, tmp_path):
    pool = daemon.pool
    with open(tmp_path / "lock", "w", encoding="utf-8") as lock:
        subprocess.run([GRADINGD, "-c", pool.config_path, "-d"], env=pool.env, check=True, pass_fds=[lock.fileno()],
                       timeout=2 * PATIENCE_S)
    for pid in (int(daemon.pid_file.read_text()), *pool.workers()):
        files = set()
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):      # closed meanwhile
                files.add(os.readlink(link))
        assert str(pool.log_path) in files and lock.name not in files
    daemon.stop()


@pytest.mark.parametrize("fds", CLOSED, ids=closed_ids)
def test_a_foreground_pool_started_with_closed_descriptors(make_pool, db, fds):
    pool = make_pool(db, start=False)
    closing = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in fds)
    with open(pool.log_path, "ab") as log:
        pool.process = subprocess.Popen(["sh", "-c", f'exec "$@" {closing}', "sh", GRADINGD, "-c", pool.config_path],
                                        env=pool.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    pool.wait_up()
    assert_standard_descriptors(pool.pid)
    db.wait(db.insert(), "completed")
    worker = pool.workers()[0]
    assert_standard_descriptors(worker)
    pool.kill(worker)
    wait_until(lambda: worker not in pool.workers() and len(pool.workers()) == 2, what="the dead worker to be replaced")
    assert pool.stop() == 0


@pytest.mark.parametrize("fds", CLOSED, ids=closed_ids)
def test_other_programs_with_closed_descriptors(pool, fds):
    check = with_closed(fds, [GRADINGD, "-c", pool.config_path, "-t"], pool.env)
    assert check.returncode == 0 and ("rater" in check.stdout) == (1 not in fds)
    asked = with_closed(fds, [GRADINGCTL, "-c", pool.config_path, "show", "status"], pool.env)
    assert asked.returncode == 0 and ("at work" in asked.stdout) == (1 not in fds)
    wrong = with_closed(fds, [GRADINGCTL, "-c", pool.config_path, "sing"], pool.env)
    assert wrong.returncode == 1 and ("sing" in wrong.stderr) == (2 not in fds)
