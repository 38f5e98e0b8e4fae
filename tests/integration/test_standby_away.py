"""A synchronous standby that is away: each commit waits for it, and no statement_timeout ends that."""
import shutil
import signal

import pytest

import harness
from conftest import short_directory
from harness import gradingctl, rep, wait_until

GIVE_UP_S = 30          # ANSWER_TIMEOUT_MS of src/pg/pg.c


@pytest.fixture
def lonely():
    """A database of a server of its own, whose synchronous standby can be sent away."""
    directory = short_directory("gdsy-")
    server = harness.Postgres(directory)
    db = None
    try:
        harness.connect(server.conninfo("postgres")).execute("CREATE DATABASE lonely")
        harness.migrate(server.conninfo("lonely"))
        db = harness.Database(server, "lonely")
        yield db
    finally:
        if db:
            db.close()
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


def set_standby(db, name):
    db.rows("SET synchronous_commit = local")
    db.rows(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    db.rows("SELECT pg_reload_conf()")
    wait_until(lambda: db.value("SHOW synchronous_standby_names") == name)


def backends(db):
    return db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gradingd%'")


def waiting(db):
    return db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gradingd%' AND wait_event = 'SyncRep'")


def test_connections_that_are_given_up_leave_no_server_process_behind(make_pool, lonely):
    """Each worker gives its connection up and makes another; what the server has does not grow."""
    pool = make_pool(lonely, pool={"workers": 4}, queue={"poll": "1s"})
    usual = backends(lonely)
    lonely.completed(rep("Before."))        # the provenance is there, or the others would wait for whose commit makes it
    set_standby(lonely, "nobody")
    lost = pool.metric("connections_lost_total")
    jobs = []
    for n in range(4):      # one after the other, or a single worker claims them all
        jobs.append(lonely.insert(rep(f"Line {n}.")))
        wait_until(lambda: waiting(lonely) > n, what=lambda: waiting(lonely))
    wait_until(lambda: pool.metric("connections_lost_total") >= lost + 4, 2 * GIVE_UP_S + harness.PATIENCE_S)
    pool.wait_log("synchronous standby")
    wait_until(lambda: "synchronous standby" in str(pool.show("errors")) or "synchronous standby" in str(pool.show("status")))
    wait_until(lambda: backends(lonely) <= usual, what=lambda: backends(lonely))
    said = gradingctl("-d", lonely.conninfo, "doctor")
    assert "synchronous" in said.stdout, said.stdout
    set_standby(lonely, "")
    wait_until(lambda: lonely.unsettled() == 0)
    assert all(lonely.job(job).attempts == 0 for job in jobs)
    assert lonely.value("SELECT count(*) FROM line_ratings") == 5


@pytest.mark.parametrize("at_once", [False, True])
def test_a_pool_that_stops_leaves_no_server_process_behind(make_pool, lonely, at_once):
    """It does not wait for the standby, and nothing is lost by that."""
    pool = make_pool(lonely, pool={"workers": 2, "drain": "1s"}, queue={"poll": "1s"})
    set_standby(lonely, "nobody")
    jobs = [lonely.insert(rep(f"Line {n}.")) for n in range(12)]
    wait_until(lambda: waiting(lonely) > 0)
    pool.stop(signal.SIGQUIT if at_once else signal.SIGTERM)
    assert "killing it" not in pool.log
    wait_until(lambda: backends(lonely) == 0, what=lambda: backends(lonely))
    set_standby(lonely, "")
    pool.start()
    wait_until(lambda: lonely.unsettled() == 0)
    assert all(lonely.job(job).attempts == 0 for job in jobs)
    assert lonely.value("SELECT count(*) FROM line_ratings") == 12
