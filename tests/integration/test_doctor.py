"""gradingctl doctor: what is well, what is not, what to do; bounded in time, and without a secret."""
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

import harness
from conftest import short_directory
from harness import GRADINGCTL, KEY, PATIENCE_S, gradingctl, migrate, wait_until
from llm_server import reserve_port
from test_pgbouncer import BOUNCER, bouncer  # noqa: F401 (a fixture)
from test_security import cluster, make_secured, secured  # noqa: F401 (fixtures)

PASSWORD = "pa55word5ecret"


class Report:
    """What it said: state and findings by check."""

    def __init__(self, done):
        self.status = done.returncode
        self.text = done.stdout + done.stderr
        self.whole = json.loads(done.stdout)
        self.checks = self.whole["checks"]

    def of(self, check):
        return [line for line in self.checks if line["check"] == check]

    def one(self, check):
        lines = self.of(check)
        assert len(lines) == 1, self.text
        return lines[0]

    def state(self, check):
        return self.one(check)["state"]

    @property
    def wrong(self):
        """What is not well, less what a test without a daemon cannot help."""
        return [line for line in self.checks if line["state"] != "ok" and line["check"] != "daemon"]


def doctor(*arguments, env=None):
    return Report(gradingctl("--json", *arguments, "doctor", env=env))


def examine(db):
    return doctor("-d", getattr(db, "conninfo", db))


@pytest.fixture
def make_config(tmp_path):
    """make_config(group={"key": value}...): the path of a configuration, which nobody runs."""

    def make(**groups):
        path = tmp_path / "gradingd.conf"
        path.write_text(harness.config_text(dict({"control": {"socket": str(tmp_path / "c.sock")}}, **groups)))
        return str(path)

    return make


# ---- all is well ----

def test_all_is_well(pool):
    report = doctor("-c", pool.config_path)
    assert report.wrong == [] and report.state("daemon") == "ok"
    assert (report.status, report.whole["state"]) == (0, "ok")
    assert "newer" not in report.one("schema")["found"], "migrate and doctor are of one build"


def test_people_get_a_line_a_check(pool):
    done = gradingctl("-c", pool.config_path, "doctor")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert all(line.startswith("ok ") for line in lines)
    assert any(line.split()[1] == "claim" and "grading_jobs_turns" in line for line in lines)


def test_advice_stands_below(bare_db):
    done = gradingctl("-d", bare_db.conninfo, "doctor")
    assert done.returncode == 1
    assert "error    schema" in done.stdout and "-> gradingctl migrate" in done.stdout


# ---- configuration, daemon ----

def test_without_a_daemon(make_config, db):
    report = doctor("-c", make_config(database={"conninfo": db.conninfo}))
    assert report.state("daemon") == "error" and report.status == 1
    assert "c.sock" in report.one("daemon")["found"] and report.wrong == []


def test_a_daemon_that_does_no_work(pool):
    pool.ctl("pause")
    report = doctor("-c", pool.config_path)
    assert report.state("daemon") == "warning" and "paused" in report.one("daemon")["found"] and report.status == 0


def test_a_wrong_configuration(make_config):
    report = doctor("-c", make_config(pool={"wokers": 3}))
    assert report.state("configuration") == "error" and "wokers" in report.one("configuration")["found"]
    assert report.status == 1


# ---- the database is away, or slow ----

def test_the_database_is_away(make_config):
    report = doctor("-c", make_config(database={"conninfo": "host=/nowhere dbname=x"}))
    assert report.state("database") == "error" and report.status == 1
    assert not report.of("schema")


def test_a_server_that_never_answers(make_config):
    """It accepts and is silent: the rest is told all the same, in bounded time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        conninfo = f"host=127.0.0.1 port={server.getsockname()[1]} dbname=x"
        began = time.monotonic()
        report = doctor("-c", make_config(database={"conninfo": conninfo}))
        assert report.state("database") == "error" and report.state("rater") == "ok"
        assert time.monotonic() - began < 60


def test_a_lock_in_the_way(db):
    with db.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE grading_migrations IN ACCESS EXCLUSIVE MODE")
        report = examine(db)
    assert report.state("schema") == "error" and "lock" in report.one("schema")["found"]
    assert report.status == 1


def test_a_server_that_falls_silent_later(db):
    """Its process is stopped while it waits for a lock, so that not even a timeout ends the wait."""
    process = None
    with db.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE grading_migrations IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen([GRADINGCTL, "--json", "-d", f"{db.conninfo} application_name=halted", "doctor"],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        pid = wait_until(lambda: db.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'halted'"
                                          " AND wait_event_type = 'Lock'"))
        os.kill(pid, signal.SIGSTOP)
    try:
        out, _ = process.communicate(timeout=120)
    finally:
        os.kill(pid, signal.SIGCONT)
    report = Report(subprocess.CompletedProcess([], process.returncode, out, ""))
    assert report.status == 1 and "in time" in report.one("database")["found"]


# ---- schema and plans ----

def test_an_old_schema(db):
    newest = db.value("SELECT max(version) FROM grading_migrations")
    db.rows("DELETE FROM grading_migrations WHERE version = %s", newest)
    report = examine(db)
    assert str(newest) in report.one("schema")["found"] and report.state("schema") == "error" and report.status == 1


def migrate_as_advised(db, line):
    """That migration again, and those after it."""
    first = next(n for n, path in enumerate(harness.MIGRATIONS) if path.name in line["advice"])
    harness.migrate_by_psql(db.conninfo, harness.MIGRATIONS[first:])


@pytest.mark.parametrize("do, word", [("DROP INDEX grading_jobs_turns", "missing"),
                                      ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'grading_jobs_turns'::regclass",
                                       "invalid")])
def test_an_index_that_is_of_no_use(db, do, word):
    db.rows(do)
    report = examine(db)
    line = report.one("indexes")
    assert line["state"] == "error" and f"grading_jobs_turns is {word}" in line["found"] and "psql -f" in line["advice"]
    migrate_as_advised(db, line)
    assert examine(db).state("indexes") == "ok"


def test_a_table_without_the_key_that_keeps_its_rows_apart(db):
    """The application's may have come without; a partial index, and one on more, keep nothing apart."""
    db.rows("ALTER TABLE phrase_cache DROP CONSTRAINT phrase_cache_pkey; CREATE UNIQUE INDEX ON phrase_cache (cache_key, rating)")
    db.rows("ALTER TABLE line_ratings DROP CONSTRAINT line_ratings_pkey;"
            "CREATE UNIQUE INDEX ON line_ratings (session_id, line_index) WHERE cached")
    lines = examine(db).of("indexes")
    assert {line["state"] for line in lines} == {"error"} and len(lines) == 2
    for line in lines:
        db.rows(line["advice"])
    assert examine(db).state("indexes") == "ok"


CALLED = ["grading_uuid", "grading_jobs_wake", "grading_jobs_place", "grading_refuse_line",
          "grading_enqueue", "grading_progress", "grading_ratings", "grading_retry",
          "grading_retry_many", "grading_cancel", "grading_may_read", "grading_open_jobs", "grading_count", "grading_secure"]


def test_a_function_of_another_release(db):
    """As psql -f of an old migration makes it."""
    harness.migrate_by_psql(db.conninfo, [path for path in harness.MIGRATIONS if path.name.startswith("090")])
    lines = examine(db).of("functions")
    assert {line["state"] for line in lines} == {"error"}
    assert {"grading_cancel", "grading_retry_many"} == {line["found"].split()[2].rstrip("()") for line in lines}
    migrate_as_advised(db, lines[0])
    assert examine(db).state("functions") == "ok"


def test_functions_of_a_newer_release_are_no_fault(db):
    harness.migrate_by_psql(db.conninfo, [path for path in harness.MIGRATIONS if path.name.startswith("090")])
    db.rows("INSERT INTO grading_migrations (version, name) VALUES (999, '999_later.sql')")
    assert examine(db).state("functions") == "ok"


@pytest.mark.parametrize("name", CALLED)
def test_a_function_that_is_missing(db, name):
    """It is told, with what hung on it; what is advised brings all back as it was."""
    made = "SELECT proname, prosrc, prosecdef, proconfig FROM pg_proc WHERE proname = ANY(%s) ORDER BY 1"
    before = db.rows(made, CALLED)
    db.rows(f"DROP FUNCTION {name} CASCADE")
    report = examine(db)
    line = report.one("functions")
    assert line["state"] == "error" and f"{name}() is missing" in line["found"]
    migrate_as_advised(db, line)
    if name == "grading_uuid":
        db.rows(report.one("defaults")["advice"])
    assert examine(db).wrong == []
    assert db.rows(made, CALLED) == before and len(before) == len(CALLED)


def test_a_queue_that_wakes_nobody(db):
    db.rows("ALTER TABLE grading_jobs DISABLE TRIGGER grading_jobs_wake")
    line = examine(db).one("triggers")
    assert line["state"] == "warning" and "grading_jobs_wake is disabled" in line["found"]
    db.rows(line["advice"])
    assert examine(db).state("triggers") == "ok"
    db.rows("DROP TRIGGER grading_jobs_wake ON grading_jobs")
    line = examine(db).one("triggers")
    assert line["state"] == "warning" and "grading_jobs_wake is missing" in line["found"]
    migrate_as_advised(db, line)
    assert examine(db).state("triggers") == "ok"


DEFAULTS = ["id", "status", "attempts", "max_attempts", "created_at", "updated_at", "priority", "available_at", "claim"]


def test_defaults_that_plain_rows_rely_upon(db):
    shown = ("SELECT column_name, column_default FROM information_schema.columns WHERE table_name = 'grading_jobs'"
             " AND column_name = ANY(%s) ORDER BY 1")
    before = db.rows(shown, DEFAULTS)
    for name in [*DEFAULTS, "job_type"]:
        db.rows(f"ALTER TABLE grading_jobs ALTER COLUMN {name} DROP DEFAULT")
    lines = examine(db).of("defaults")
    assert sorted(line["found"].split()[2] for line in lines) == sorted(DEFAULTS), "a plain row names its job_type"
    assert {line["state"] for line in lines} == {"error"}
    for line in lines:
        db.rows(line["advice"])
    assert examine(db).state("defaults") == "ok" and db.rows(shown, DEFAULTS) == before


def finish(db, n):
    """So many finished jobs behind a few that wait, and statistics of an empty table."""
    db.rows("ALTER TABLE grading_jobs SET (autovacuum_enabled = false)")
    db.rows("ANALYZE grading_jobs")
    for _ in range(n // 50000):  # no statement is to take long, however busy the machine
        db.rows("INSERT INTO grading_jobs (session_id, job_data, status, completed_at) SELECT"
                " '00000000-0000-4000-8000-00000000000a', '{}', 'completed', now() FROM generate_series(1, 50000)")
    db.insert_many(20)


def test_a_claim_among_a_million_finished_jobs_reads_no_table(db, make_config):
    finish(db, 1000000)
    for analyze in (False, True):
        if analyze:
            db.rows("ANALYZE grading_jobs")
        for mode in ("session", "transaction"):
            report = doctor("-c", make_config(database={"conninfo": db.conninfo, "pool_mode": mode}))
            assert report.state("claim") == "ok" and "grading_jobs_turns" in report.one("claim")["found"]
            assert report.state("statements") == "ok", report.text


def test_a_claim_that_reads_the_table_is_told(db):
    finish(db, 100000)
    db.rows("DROP INDEX grading_jobs_turns")
    line = examine(db).one("claim")
    assert line["state"] == "error" and "reads all of grading_jobs" in line["found"]


# ---- clock ----

@pytest.mark.parametrize("seconds, state", [(0, "ok"), (-30, "warning"), (3600, "error")])
def test_a_clock_that_is_wrong(db, seconds, state):
    """A function that the search finds first stands in for a server with another time."""
    db.rows("CREATE SCHEMA wrong; CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
            f" $$ SELECT pg_catalog.clock_timestamp() + interval '{seconds} s' $$")
    line = examine(f"{db.conninfo} options='-c search_path=wrong,pg_catalog,public'").one("clock")
    assert line["state"] == state and ("behind" in line["found"]) == (seconds < 0)


# ---- pooler ----

@pytest.mark.skipif(not BOUNCER, reason="pgbouncer is not installed")
class TestPooler:
    def report(self, make_config, db, bouncer, **database):  # noqa: F811
        return doctor("-c", make_config(database=dict({"conninfo": bouncer.conninfo(db.name)}, **database)))

    def test_session_mode_behind_a_transaction_pooler(self, make_config, db, bouncer):  # noqa: F811
        report = self.report(make_config, db, bouncer)
        line = report.one("pooler")
        assert line["state"] == "error" and "PgBouncer, in transaction mode" in line["found"] and report.status == 1
        assert 'pool_mode = "transaction"' in line["advice"] and "listen_conninfo" in line["advice"]

    def test_without_a_way_to_listen(self, make_config, db, bouncer):  # noqa: F811
        report = self.report(make_config, db, bouncer, pool_mode="transaction")
        assert report.state("pooler") == "warning" and "listen_conninfo" in report.one("pooler")["advice"]
        assert [line["check"] for line in report.wrong] == ["pooler"]

    def test_as_it_should_be(self, make_config, db, bouncer):  # noqa: F811
        report = self.report(make_config, db, bouncer, pool_mode="transaction", listen_conninfo=db.conninfo)
        assert report.wrong == [] and report.state("listener") == "ok"

    def test_a_listener_behind_the_pooler(self, make_config, db, bouncer):  # noqa: F811
        report = self.report(make_config, db, bouncer, pool_mode="transaction", listen_conninfo=bouncer.conninfo(db.name))
        assert report.state("listener") == "error"

    def test_supavisor_is_known_by_its_host(self, make_config, db, bouncer):  # noqa: F811
        conninfo = bouncer.conninfo(db.name).replace("host=", "host=aws-0-eu-west-1.pooler.supabase.com hostaddr=")
        report = self.report(make_config, db, bouncer, conninfo=conninfo)
        assert "Supavisor, in transaction mode" in report.one("pooler")["found"] and report.state("pooler") == "error"

    @pytest.mark.parametrize("mode", ["transaction", "session"])
    def test_nothing_is_left_on_the_servers(self, make_config, db, bouncer, mode):  # noqa: F811
        self.report(make_config, db, bouncer, pool_mode=mode)
        with harness.connect(bouncer.conninfo(db.name), options=None, prepare_threshold=None) as conn:
            for _ in range(5):
                assert conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0] == 0
                assert conn.execute("SELECT name FROM pg_settings WHERE source = 'session' AND name IN"
                                    " ('statement_timeout', 'enable_seqscan', 'plan_cache_mode', 'jit')").fetchall() == []


def test_a_direct_connection_in_transaction_mode(make_config, db):
    report = doctor("-c", make_config(database={"conninfo": db.conninfo, "pool_mode": "transaction"}))
    assert report.state("pooler") == "warning" and "direct" in report.one("pooler")["found"]


# ---- horizon, slots, dead rows ----

class Odd(harness.Postgres):
    SETTINGS = dict(harness.Postgres.SETTINGS, max_prepared_transactions=5, wal_level="replica", autovacuum="off")


@pytest.fixture(scope="module")
def odd():
    """A cluster with what others should not have."""
    directory = short_directory("gdodd-")
    server = Odd(directory)
    try:
        migrate(server.conninfo("postgres"))
        yield harness.Database(server, "postgres")
    finally:
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


def burn(db, n=60000):
    """So many transactions."""
    db.rows(f"DO $$ BEGIN FOR i IN 1 .. {n} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")


def test_an_old_transaction_is_named(odd):
    with odd.connect(autocommit=False, application_name="a report") as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        pid = old.execute("SELECT pg_backend_pid()").fetchone()[0]
        assert examine(odd).state("horizon") == "ok"
        burn(odd)
        line = examine(odd).one("horizon")
    assert line["state"] == "warning" and f"pg_terminate_backend({pid})" in line["advice"]
    for word in (f"pid {pid}", "user postgres", "application a report", "transactions"):
        assert word in line["found"]
    assert examine(odd).state("horizon") == "ok"


def test_what_a_role_may_not_see_of_transactions_is_not_said_to_be_well(odd):
    odd.rows("CREATE ROLE few LOGIN; GRANT gradingd_worker TO few")
    conninfo = odd.conninfo.replace("user=postgres", "user=few")
    assert "advice" not in {key for key, value in examine(conninfo).one("horizon").items() if value}
    with odd.connect(autocommit=False) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        burn(odd, 2000)
        line = examine(conninfo).one("horizon")
        assert line["state"] == "ok" and "hidden from few" in line["found"] and "pg_read_all_stats" in line["advice"]
        odd.rows(line["advice"].partition(",")[0])
        assert not examine(conninfo).one("horizon")["advice"]


def test_a_forgotten_prepared_transaction_is_named(odd):
    with odd.connect() as conn:
        conn.execute("BEGIN")
        conn.execute("SELECT pg_current_xact_id()")
        conn.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        burn(odd)
        line = examine(odd).one("horizon")
        assert "'forgotten'" in line["found"] and "ROLLBACK PREPARED" in line["advice"]
    finally:
        odd.rows("ROLLBACK PREPARED 'forgotten'")


def test_a_slot_that_nobody_uses_is_named(odd):
    odd.rows("SELECT pg_create_physical_replication_slot('gone', true)")
    try:
        line = examine(odd).one("slots")
        assert line["state"] == "warning" and "gone" in line["found"] and "pg_drop_replication_slot('gone')" in line["advice"]
    finally:
        odd.rows("SELECT pg_drop_replication_slot('gone')")


def test_dead_rows_and_who_should_have_taken_them(odd):
    odd.rows("CREATE TABLE kept AS SELECT 1")
    odd.rows("INSERT INTO grading_jobs (session_id, status) SELECT gen_random_uuid(), 'completed' FROM generate_series(1, 30000)")
    odd.rows("DELETE FROM grading_jobs")
    found = wait_until(lambda: [line for line in examine(odd).of("dead rows") if "grading_jobs has" in line["found"]])
    assert "VACUUM" in found[0]["advice"]
    assert any("autovacuum is off" in line["found"] for line in examine(odd).of("dead rows"))


# ---- rights ----

def test_rights_that_strangers_have(secured):  # noqa: F811
    assert examine(secured).state("rights") == "ok"
    secured.rows("GRANT SELECT ON phrase_cache TO anon; GRANT EXECUTE ON FUNCTION grading_enqueue TO authenticated;"
                 "ALTER TABLE line_ratings DISABLE ROW LEVEL SECURITY")
    report = examine(secured)
    found = " ".join(line["found"] for line in report.of("rights"))
    assert "anon has SELECT on phrase_cache" in found and "authenticated may call grading_enqueue" in found
    assert "off for line_ratings" in found and report.status == 1
    secured.rows("SELECT grading_secure()")
    assert examine(secured).state("rights") == "ok"


def test_who_may_create_where_our_tables_are(secured, cluster):  # noqa: F811
    secured.rows("GRANT CREATE ON SCHEMA public TO webapp")
    found = examine(secured).one("rights")
    assert found["state"] == "warning" and "webapp may create functions and operators in the schema public" in found["found"]
    secured.rows("GRANT CREATE ON SCHEMA public TO PUBLIC")
    assert "everybody, webapp may create" in examine(secured).one("rights")["found"]
    secured.rows("REVOKE CREATE ON SCHEMA public FROM webapp, PUBLIC")
    assert examine(secured).state("rights") == "ok"


def test_a_policy_that_shows_users_all(secured):  # noqa: F811
    secured.rows("CREATE POLICY generous ON line_ratings USING (true)")
    found = [line for line in examine(secured).of("rights") if line["state"] == "error"]
    assert len(found) == 1 and "the policy generous on line_ratings shows authenticated more" in found[0]["found"]
    secured.rows("DROP POLICY generous ON line_ratings")
    assert examine(secured).state("rights") == "ok"


def test_the_daemons_role_is_enough_and_any_other_is_told(secured, cluster):  # noqa: F811
    assert examine(cluster.conninfo(secured.name, "daemon")).wrong == []
    report = examine(cluster.conninfo(secured.name, "app"))
    assert "gradingd_worker" in report.one("statements")["advice"] and report.state("statements") == "error"
    report = examine(cluster.conninfo(secured.name, "webapp"))
    assert report.state("schema") == "error" and "gradingd_worker" in report.one("schema")["advice"]


def test_a_role_that_sees_no_row_for_want_of_a_policy(secured, cluster):  # noqa: F811
    """Rights it has; and the queue looks empty to it for ever."""
    secured.rows("GRANT SELECT ON ALL TABLES IN SCHEMA public TO webapp")
    lines = examine(cluster.conninfo(secured.name, "webapp")).of("rights")
    assert any("sees no row of" in line["found"] and "GRANT gradingd_worker" in line["advice"] for line in lines)


# ---- the rater ----

@pytest.fixture
def rater(make_config, db):
    """rater(group={"key": value}...): what is said of the rater, in the presence of an API key or not."""

    def ask(key=KEY, check="rater", **groups):
        config = make_config(database={"conninfo": db.conninfo}, **groups)
        report = doctor("-c", config, env=dict(os.environ, OPENAI_API_KEY=key))
        assert not key or key not in report.text
        return report.one(check)

    return ask


def openai(url, **more):
    return {"rater": {"backend": "openai"}, "openai": dict({"base_url": url}, **more)}


def test_a_provider_that_answers_is_asked_for_nothing_that_costs(rater, llm):
    assert rater(**openai(llm.url))["state"] == "ok"
    assert llm.calls == 0


def test_a_provider_that_is_not_there(rater):
    with reserve_port() as reserved:
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        direct = rater(**openai(f"http://{address}/v1"))
        proxied = rater(**openai("http://provider.invalid/v1", proxy=f"http://user:{PASSWORD}@{address}"))
    for line in (direct, proxied):
        assert line["state"] == "error" and "cannot be reached" in line["found"]
    assert PASSWORD not in json.dumps(proxied)


def test_a_base_url_without_a_path_is_suspected(rater):
    with Provider("404 Not Found") as provider:
        line = rater(**openai(provider.url.removesuffix("/v1")))
        assert line["state"] == "warning" and "add /v1" in line["advice"]
        assert rater(**openai(provider.url))["state"] == "ok"


class Provider:
    """Answers each request with the same bytes, or with silence."""

    def __init__(self, status, body=b"{}", headers=b""):
        self.answer = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s" % (
            status.encode(), len(body), headers, body)

    def __enter__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}/v1"
        self.requests = []
        self.pid = os.fork()
        if self.pid == 0:
            self.serve()
        return self

    def serve(self):
        """Until it is killed, or nobody has asked for so long."""
        try:
            self.server.settimeout(PATIENCE_S)
            for _ in range(1000):
                client, _ = self.server.accept()
                client.settimeout(PATIENCE_S)
                client.recv(65536)
                client.sendall(self.answer)
                client.close()
        finally:
            os._exit(0)         # not back into the test, of which this is a copy

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.server.close()


@pytest.mark.parametrize("status, body, state, word", [
    ("200 OK", b'{"data": [{"id": "gpt-4o-mini"}]}', "ok", "answers"),
    ("200 OK", b'{"data": [{"id": "other"}, {"id": 5}, 7]}', "warning", "does not list"),
    ("200 OK", b"no JSON", "ok", "answers"),
    ("404 Not Found", b"", "ok", "404"),
    ("401 Unauthorized", b"{key}", "error", "refuses the API key"),
    ("429 Too Many Requests", b"", "warning", "limits"),
    ("503 Service Unavailable", b"", "error", "503"),
    ("302 Found", b"", "error", "redirects")])
def test_what_a_provider_may_say(rater, status, body, state, word):
    with Provider(status, body, b"Location: https://example.org/\r\n" if status.startswith("302") else b"") as provider:
        line = rater(**openai(provider.url))
    assert line["state"] == state and word in line["found"]


def test_without_the_key_the_provider_is_asked_all_the_same(make_config, db):
    with Provider("401 Unauthorized") as provider:
        config = make_config(database={"conninfo": db.conninfo}, **openai(provider.url, api_key_file="/nowhere/key"))
        report = doctor("-c", config)
    assert report.state("API key") == "warning" and report.state("rater") == "ok"


def test_a_provider_that_is_silent_is_not_waited_for_too_long(rater):
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        line = rater(**openai(f"http://127.0.0.1:{server.getsockname()[1]}/v1"))
        assert line["state"] == "error" and time.monotonic() - began < 40


def test_a_program_that_rates(rater, tmp_path):
    program = tmp_path / "rate"
    command = {"rater": {"backend": "command"}, "command": {"argv": [str(program)]}}
    assert rater(**command)["state"] == "error"
    program.write_text("#!/bin/sh\ntouch started\n")
    assert "executed" in rater(**command)["found"]
    program.chmod(0o755)
    assert rater(**command)["state"] == "ok" and not (tmp_path / "started").exists()


def test_rules_that_do_not_load(rater, tmp_path):
    assert rater(rubric={"file": str(tmp_path / "none.conf")})["state"] == "error"


def test_the_fallback_is_looked_at_too(rater, llm):
    groups = {"rater": {"backend": "openai", "fallback": "rubric"}, "openai": {"base_url": llm.url}}
    assert "rubric" in rater(check="fallback", **groups)["found"]


# ---- secrets ----

def test_no_password_is_told(db, make_config):
    for conninfo in (f"{db.conninfo} password={PASSWORD}", f"postgres://u:{PASSWORD}@127.0.0.1:1/x",
                     f"host=/nowhere password='{PASSWORD}", f"host=127.0.0.1 port={PASSWORD}"):
        for arguments in (["-d", conninfo], ["-c", make_config(database={"conninfo": conninfo})]):
            for form in ([], ["--json"]):
                done = gradingctl(*form, *arguments, "doctor")
                assert PASSWORD not in done.stdout + done.stderr, conninfo
