"""A synchronous standby that is away: each commit waits for it, and no statement_timeout ends that."""
import pytest

import harness
from conftest import short_directory
from harness import gradingctl, rep, wait_until
import shutil

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


def test_connections_that_are_given_up_leave_no_server_process_behind(make_pool, lonely):
    """Who claims gives its connection up and makes another, and again; what the server has does not grow."""
    pool = make_pool(lonely, pool={"workers": 4}, queue={"poll": "1s"})
    usual = backends(lonely)
    set_standby(lonely, "nobody")
    lost = pool.metric("connections_lost_total")
    jobs = [lonely.insert(rep(f"Line {n}.")) for n in range(12)]
    # At least: one worker may have claimed all of the jobs, and then the others have nothing to wait for.
    wait_until(lambda: pool.metric("connections_lost_total") >= lost + 2, 2 * GIVE_UP_S + harness.PATIENCE_S)
    assert "synchronous standby" in pool.log
    wait_until(lambda: "synchronous standby" in str(pool.show("errors")) or "synchronous standby" in str(pool.show("status")))
    wait_until(lambda: backends(lonely) <= usual, what=lambda: backends(lonely))
    said = gradingctl("-d", lonely.conninfo, "doctor")
    assert "synchronous" in said.stdout, said.stdout
    set_standby(lonely, "")
    wait_until(lambda: lonely.unsettled() == 0)
    assert all(lonely.job(job).attempts == 0 for job in jobs)
    assert lonely.value("SELECT count(*) FROM line_ratings") == 12
