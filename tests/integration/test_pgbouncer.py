"""Behind PgBouncer in transaction mode, with and without a direct connection for LISTEN."""
import contextlib
import os
import shutil

import pytest

from conftest import short_directory
from harness import BOUNCER, Bouncer, connect, elapsed, new_session, promptly, rep, wait_until, within
from test_database_trouble import NOTE_SETTINGS, noted

pytestmark = pytest.mark.skipif(not BOUNCER, reason="pgbouncer is not installed")


@pytest.fixture
def bouncer(postgres):
    directory = short_directory("gdpb-")
    server = Bouncer(directory, postgres)
    yield server
    server.stop()
    server.reserved.close()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def make_pooled(make_pool, db, bouncer):
    """A pool behind the pooler; direct: with a connection of its own for LISTEN."""

    def make(direct=False, **groups):
        return make_pool(db, database={"conninfo": bouncer.conninfo(db.name), "pool_mode": "transaction",
                                       "listen_conninfo": db.conninfo if direct else ""}, **groups)

    return make


def test_jobs_are_rated_with_more_workers_than_server_connections(make_pooled, db):
    pool = make_pooled(pool={"workers": 6})
    db.insert_many(400)
    db.insert(job_data=[])
    wait_until(lambda: db.count("completed") == 400 and db.count("failed") == 1)
    assert db.value("SELECT count(*) FROM line_ratings") == 400
    assert pool.show("status")["database_listening"] is False
    assert pool.metric("connections_lost_total") == 0


def waited(db):
    job, _ = db.completed(rep(new_session()))
    return (job.completed_at - job.created_at).total_seconds()


def test_without_listen_a_job_waits_no_longer_than_a_poll(make_pooled, db):
    make_pooled(queue={"poll": "1s"})
    promptly(lambda: waited(db), 3)


def test_with_a_direct_connection_an_insert_wakes_a_worker(make_pooled, db):
    pool = make_pooled(direct=True, queue={"poll": "10m"})
    wait_until(lambda: pool.show("status")["database_listening"])
    promptly(lambda: waited(db))


def test_no_session_state_is_left_on_server_connections(make_pooled, db, bouncer):
    make_pooled()
    db.insert_many(50)
    wait_until(lambda: db.count("completed") == 50)
    wait_until(lambda: db.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0)  # some last a transaction
    with connect(bouncer.conninfo(db.name), options=None, prepare_threshold=None) as conn:
        for _ in range(6):
            assert conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0] == 0
            assert conn.execute("SHOW enable_seqscan").fetchone()[0] == "on"


def test_every_statement_is_bounded(make_pooled, db):
    db.rows(NOTE_SETTINGS)
    make_pooled()
    db.completed(rep("Hello."))
    seen = noted(db)
    assert (seen["statement_timeout"], seen["lock_timeout"], seen["enable_seqscan"]) == ("25s", "3s", "off")


NOTE_LEVELS = """CREATE TABLE level (level text); CREATE FUNCTION level() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO level VALUES (current_setting('transaction_isolation')); RETURN NEW; END $$;
    CREATE TRIGGER level BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION level()"""


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_every_transaction_is_read_committed(make_pool, make_pooled, db, mode, level):
    """Whatever the role or the database would have it be."""
    db.rows(f"ALTER DATABASE {db.name} SET default_transaction_isolation = '{level}'")
    db.close()
    db.rows(NOTE_LEVELS)
    pool = make_pooled() if mode == "transaction" else make_pool(db)
    db.insert_many(20)
    wait_until(lambda: db.count("completed") == 20)
    assert db.rows("SELECT DISTINCT level FROM level") == [("read committed",)]
    assert pool.metric("connections_lost_total") == 0


def test_a_server_connection_that_somebody_left_serializable_is_none_of_ours(make_pooled, db, bouncer):
    """The pooler hands on what a client did to the session, and we were set up on another one."""
    db.rows(NOTE_LEVELS)
    pool = make_pooled()
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(connect(bouncer.conninfo(db.name), options=None, autocommit=False,
                                              prepare_threshold=None)) for _ in range(Bouncer.POOL_SIZE)]
        for other in others:
            other.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        for other in others:
            other.commit()
    db.insert_many(20)
    wait_until(lambda: db.count("completed") == 20)
    assert db.rows("SELECT DISTINCT level FROM level") == [("read committed",)]
    assert pool.metric("connections_lost_total") == 0


def test_the_level_is_set_only_where_it_is_another(make_pooled, db):
    """It costs a statement before each of ours."""
    db.rows(f"ALTER DATABASE {db.name} SET log_statement = 'all'")
    with open(f"{db.postgres.directory}/log", encoding="utf-8", errors="replace") as log:
        log.seek(0, os.SEEK_END)
        make_pooled()
        db.completed(rep("Hello."))
        said = log.read()
    assert "SELECT set_config('transaction_isolation'" in said
    assert "SET transaction_isolation" not in said


def test_killed_workers_lose_nothing(make_pooled, db):
    pool = make_pooled(pool={"workers": 3, "claim_batch": 4})
    for _ in range(5):
        db.insert_many(60)
        pool.kill(wait_until(pool.workers)[0])
    wait_until(lambda: db.count("completed") == 300, 60)
    assert db.value("SELECT count(*) FROM line_ratings") == 300


def test_a_pooler_that_restarts_is_waited_for(make_pooled, db, bouncer):
    pool = make_pooled(queue={"poll": "500ms"})

    def outage():
        bouncer.stop()
        wait_until(lambda: pool.show("status")["database_connected"] == 0)
        bouncer.start()
        return elapsed(lambda: db.wait(db.insert(), "completed"))

    within(8, outage)


def test_the_check_tells_a_pooler_from_a_direct_connection(make_pool, db, bouncer):
    pool = make_pool(db, start=False)
    assert "session: ok" in pool.run("-t").stdout
    pool.configure(database={"conninfo": bouncer.conninfo(db.name)})
    assert "transaction" in pool.run("-t").stdout
    pool.configure(database={"pool_mode": "transaction"})
    assert "transaction: ok" in pool.run("-t").stdout
