"""Fixtures: one private Postgres a session, a fresh database, pools and a scripted provider a test."""
import itertools
import pathlib
import shutil
import signal
import tempfile

import psycopg
import pytest

import harness
from llm_server import LlmServer

TEMPLATE = "grading_template"
LOG_TAIL = 60
numbers = itertools.count(1)

# Fixtures clean up after an interrupt; a TERM must not leave a Postgres behind either.
signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Fixtures see at their end whether their test failed."""
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


def short_directory(prefix):
    """Unix sockets want short paths; pytest's own tmp_path is not."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def postgres():
    directory = short_directory("gdpg-")
    server = harness.Postgres(directory)
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def template(postgres):
    """The name of a migrated database that others are copied from."""
    with psycopg.connect(postgres.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {TEMPLATE}")
    harness.migrate(postgres.conninfo(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def make_database(postgres):
    """make_database(template): a database for this test."""
    made = []

    def admin(sql):
        with psycopg.connect(postgres.conninfo("postgres"), autocommit=True) as conn:
            conn.execute(sql)

    def make(template="template1"):
        made.append(harness.Database(postgres, f"test_{next(numbers)}"))
        admin(f"CREATE DATABASE {made[-1].name} TEMPLATE {template} STRATEGY file_copy")
        return made[-1]

    yield make
    for database in made:
        database.close()
        admin(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def db(make_database, template):
    return make_database(template)


@pytest.fixture
def bare_db(make_database):
    """A database that knows nothing of gradingd yet."""
    return make_database()


@pytest.fixture
def make_pool(request, make_database):
    """make_pool(database, group={"key": value}...): a Pool, running unless start=False.

    It wants make_database so that databases go after the pools that use them.
    """
    made, directories = [], []

    def make(target, start=True, env=None, **groups):
        directories.append(short_directory("gd-"))
        pool = harness.Pool(directories[-1], {
            "database": {"conninfo": getattr(target, "conninfo", target)},
            "pool": {"workers": 2, "drain": "10s"}, "log": {"level": "debug"}}, env)
        pool.configure(**groups)
        made.append(pool)
        return pool.start() if start else pool

    yield make
    faults = []
    for pool in made:
        try:
            pool.close()
        except (AssertionError, OSError) as fault:
            faults.append(str(fault))
    if getattr(request.node, "failed", False):
        for pool in made:
            print("---- the end of", pool.log_path, *pool.log.splitlines()[-LOG_TAIL:], sep="\n")
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
    assert not faults, "\n".join(faults)


@pytest.fixture
def pool(make_pool, db):
    """A running pool with everything at its default."""
    return make_pool(db)


@pytest.fixture
def llm():
    with LlmServer() as server:
        yield server


@pytest.fixture
def make_openai_pool(make_pool, db, llm):
    """A pool that asks the scripted provider; its short poll keeps retries from waiting for long."""

    def make(target=None, openai=None, **groups):
        groups["queue"] = dict({"poll": "500ms"}, **groups.get("queue", {}))
        groups["rater"] = dict({"backend": "openai"}, **groups.get("rater", {}))
        groups["openai"] = dict({"base_url": llm.url, "api_key_env": "GRADINGD_TEST_KEY"}, **(openai or {}))
        return make_pool(target or db, env={"GRADINGD_TEST_KEY": harness.KEY}, **groups)

    return make
