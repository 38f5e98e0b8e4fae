"""Fixtures: one private Postgres a session, a fresh database, pools and a scripted provider a test."""
import contextlib
import faulthandler
import itertools
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import uuid

import pytest
import pytest_timeout

import harness
from llm_server import LlmServer

TEMPLATE = "grading_template"
LOG_TAIL = 60
# Once a test has failed, its fixtures have so long to end what it started.
TEARDOWN_S = 120
# A test that not even a signal gets out of ends its process after so long.
STUCK_S = 1800
numbers = itertools.count(1)

# Whatever is started in this run, by any of its processes, has this in its environment.
RUN = "GRADINGD_TEST_RUN"
os.environ.setdefault(RUN, uuid.uuid4().hex)

# Fixtures clean up after an interrupt; a TERM must not leave a Postgres behind either.
signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def spread(items, n):
    """n of them, the first and the last among them."""
    return {items[k * (len(items) - 1) // (n - 1)] for k in range(n)} if len(items) > n else set(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """CASES=3: of a test with many cases, three are run."""
    if not (cases := int(os.environ.get("CASES") or 0)):
        return
    assert cases >= 2, "CASES: the first and the last one at least"
    by_test = {}
    for item in items:
        by_test.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = set().union(*(spread(same, cases) for same in by_test.values()))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Fixtures see at their end whether their test failed."""
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    faulthandler.dump_traceback_later(STUCK_S, exit=True, file=sys.__stderr__)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item):
    """pytest-timeout stops its clock at the first failure; what is left must not hang either."""
    item.config.hook.pytest_timeout_set_timer(item=item, settings=pytest_timeout.Settings(TEARDOWN_S, "signal", False))


def left_behind():
    """What was started in this run and is still there. Its own processes were not started by it, or are this one."""
    mark, found = f"{RUN}={os.environ[RUN]}".encode(), []
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            pid = int(environ.parent.name)
            if pid != os.getpid() and mark in environ.read_bytes().split(b"\0") and harness.is_running(pid):
                found.append(pid)
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_sessionfinish(session):
    """When all of xdist's processes have ended, one that crashed included, nothing that was started is still there."""
    yield
    if hasattr(session.config, "workerinput"):
        return
    for pid in left_behind():
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        print(f"\nleft behind, and killed: {pid} {words}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
    with harness.connect(postgres.conninfo("postgres")) as admin:
        admin.execute(f"CREATE DATABASE {TEMPLATE}")
    harness.migrate(postgres.conninfo(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def make_database(postgres):
    """make_database(template): a database for this test."""
    made = []

    def admin(sql):
        with harness.connect(postgres.conninfo("postgres")) as conn:
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


@pytest.fixture(scope="session")
def statements():
    """The daemon's statements as `make sql` prints them: name -> (types of its parameters, text)."""
    return harness.daemon_statements()
