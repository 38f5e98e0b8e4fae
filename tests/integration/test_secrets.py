"""Secrets appear nowhere: not in the log, show config, errors, rows or process titles."""
import pathlib
import resource
import signal
import uuid

import pytest

from harness import KEY, rep, wait_until

PASSWORD = "pa55word5ecret"


def everything_said(pool, db):
    """All that an operator, a row or another user could read."""
    said = [pool.log, *(pool.ctl(f"show {view}") for view in ("config", "status", "errors", "limits", "workers"))]
    said += [pool.ctl("show config json"), pool.ctl("show errors json")]
    said += [str(row) for table in ("grading_jobs", "line_ratings", "phrase_cache") for row in db.rows(f"SELECT * FROM {table}")]
    for pid in [pool.pid, *pool.children().values()]:
        said.append(pathlib.Path(f"/proc/{pid}/cmdline").read_text() + pathlib.Path(f"/proc/{pid}/comm").read_text())
    return "\n".join(said)


@pytest.mark.parametrize("do", ["good", "401", "403", "400", "500"])
def test_the_api_key_is_not_told_even_when_the_provider_quotes_it(make_openai_pool, db, llm, do):
    pool = make_openai_pool(log={"level": "debug"})
    llm.behave({"do": do, "message": "Incorrect API key provided: {key}. Or was it Bearer {key}?"} if do != "good" else do)
    db.insert_many(3)
    wait_until(lambda: llm.calls >= 3 and db.count("processing") == 0)
    assert KEY not in everything_said(pool, db)


def test_the_api_key_may_come_from_a_file(make_openai_pool, db, llm, tmp_path):
    file = tmp_path / "key"
    file.write_text("sk-fr0m-a-file\n")
    pool = make_openai_pool(openai={"api_key_file": str(file)})
    db.completed(rep("Hello."))
    assert llm.requests[0]["headers"]["authorization"] == "Bearer sk-fr0m-a-file"
    assert "fr0m-a-file" not in everything_said(pool, db)


def test_the_databases_password_is_not_told(make_pool, db):
    pool = make_pool(db, start=False)
    pool.configure(database={"conninfo": f"{db.conninfo} password={PASSWORD}"})
    pool.start()
    db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'gradingd%'")
    db.completed(rep("Hello."))
    assert PASSWORD not in everything_said(pool, db)


# What libpq quotes when it does not understand a connection string, and the right exit status.
MISTAKES = {
    "blank in the password": (f"host=/nowhere dbname=x password=two {PASSWORD}", 78),
    "at sign in the password": (f"postgres://user:two@{PASSWORD}@localhost/x", 78),
    "slash in the password": (f"postgres://user:two/{PASSWORD}@localhost/x", 78),
    "open quote": (f"host=/nowhere password='{PASSWORD}", 78),
    "bad port behind it": (f"postgres://user:{PASSWORD}@localhost:port/x", 78),
    "unknown option": (f"postgres://user:{PASSWORD}@localhost/x?passwrod={PASSWORD}", 78),
}


@pytest.mark.parametrize("option", ["-t", "--once"])
@pytest.mark.parametrize("conninfo, status", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_connection_string_with_a_mistake_does_not_leak_its_password(make_pool, db, conninfo, status, option):
    pool = make_pool(db, start=False, database={"conninfo": conninfo})
    result = pool.run(option)
    assert PASSWORD not in result.stdout + result.stderr
    assert result.returncode == status


def test_a_wrong_configuration_does_not_quote_secrets(make_pool, db):
    pool = make_pool(db, start=False)
    pool.write_config(f'database: {{ conninfo = "password={PASSWORD}" }};\nopenai: {{ api_key_env = "{KEY}"; }};')
    result = pool.run("-t")
    assert result.returncode == 78
    assert PASSWORD not in result.stderr + result.stdout and KEY not in result.stderr + result.stdout


@pytest.fixture
def cores_allowed():
    """As far as this machine allows, whoever is started may leave a core."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_a_process_that_dies_leaves_no_core_with_secrets(cores_allowed, make_openai_pool, db):
    """Neither a file, nor anything in what is piped to a program."""
    pool = make_openai_pool()
    for pid in [pool.pid, *pool.children().values()]:
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4:6]
        assert core == ["0", "0"]
        assert int(pathlib.Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0
    pool.alarms_expected = True
    pool.kill(pool.workers()[0], signal.SIGSEGV)
    db.completed(rep("Somebody else rates this."))
    assert not list(pool.directory.glob("core*"))


def test_the_environment_that_others_can_read_holds_no_secret(make_pool, db, llm):
    """The processes themselves still know it: the key after a reload, too."""
    proxy = f"http://user:{PASSWORD}@127.0.0.1:1"
    pool = make_pool(db, env={"GRADINGD_TEST_KEY": KEY, "PGPASSWORD": PASSWORD, "ALL_PROXY": proxy},
                     rater={"backend": "openai"}, queue={"poll": "500ms"},
                     openai={"base_url": llm.url, "api_key_env": "GRADINGD_TEST_KEY", "proxy": "none"})
    db.completed(rep("Hello."))
    before = pool.workers()
    pool.ctl("reload")
    wait_until(lambda: pool.show("status")["phase"] == "up" and len(pool.workers()) == 2
               and not set(before) & set(pool.workers()))
    db.completed(rep("Hello again."))
    assert llm.requests[-1]["headers"]["authorization"] == f"Bearer {KEY}"
    for pid in pool.processes():
        environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode()
        assert KEY not in environ and PASSWORD not in environ
        assert "GRADINGD_TEST_KEY=***" in environ


def test_a_program_that_rates_sees_no_secret_in_the_processes_above_it(make_pool, db, tmp_path):
    """It runs as the same user, who may read all of this."""
    seen = tmp_path / "seen"
    program = tmp_path / "peek"
    program.write_text(f"#!/bin/sh\ncat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' >{seen}.new;"
                       f" env >>{seen}.new; mv {seen}.new {seen}; exec sleep 1000\n")
    program.chmod(0o755)
    own = [uuid.uuid4().hex for _ in range(2)]		# tests beside this one have the usual ones
    pool = make_pool(db, pool={"workers": 1}, rater={"backend": "command"}, command={"argv": [str(program)]},
                     env={"OPENAI_API_KEY": own[0], "PGPASSWORD": own[1]})
    wait_until(seen.exists)
    text = seen.read_text(errors="replace")
    assert pool.marker in text, "it saw nothing of ours"
    assert not [secret for secret in own if secret in text]
