"""Postgres restarts, goes away, cuts connections, refuses to write: no crash, bounded waits, recovery by itself."""
import contextlib
import socket
import time

import pytest

from harness import ControlError, elapsed, new_session, rep, stays, wait_until, within


def connected(pool):
    status = pool.show("status")
    return status["database_connected"] == status["children"] == 3


@contextlib.contextmanager
def database_away(postgres):
    postgres.stop("immediate")
    try:
        yield
    finally:
        postgres.start()


def test_an_immediate_restart_loses_nothing(make_openai_pool, db, llm, postgres):
    pool = make_openai_pool()
    llm.behave({"delay_ms": 300})
    db.insert_many(30)
    wait_until(lambda: llm.calls >= 10)
    postgres.restart("immediate")
    wait_until(lambda: db.count("completed") == 30)
    assert db.value("SELECT count(*) FROM line_ratings") == 30
    assert db.value("SELECT count(*) FROM grading_sessions WHERE completed_batches = 1 AND rated_lines = 1") == 30
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert pool.show("status")["restarts"] == 0


def test_results_that_arrive_while_the_database_is_away_are_stored_when_it_is_back(make_openai_pool, db, llm, postgres):
    make_openai_pool()
    llm.behave({"hold": "answer"})
    job = db.insert()
    wait_until(lambda: llm.in_flight == 1)
    with database_away(postgres):
        llm.release()
        wait_until(lambda: llm.in_flight == 0)
    assert db.wait(job, "completed").times_claimed == 1
    assert llm.calls == 1


def test_work_goes_on_within_five_seconds_of_an_outage(pool, db, postgres):
    def outage():
        with database_away(postgres):
            wait_until(lambda: pool.show("status")["database_connected"] == 0)
            assert pool.show("status")["summary"] == "waiting for the database"
            began, before = time.monotonic(), pool.metric("connections_lost_total")
            stays(lambda: pool.show("status")["restarts"] == 0, 3)
            tries = pool.metric("connections_lost_total") - before
            assert tries < 40 * (time.monotonic() - began), "it hammers"
        return elapsed(lambda: db.wait(db.insert(), "completed"))

    within(6, outage)
    assert pool.show("status")["restarts"] == 0


def test_an_outage_is_logged_once_not_once_a_try(pool, postgres):
    pool.ctl("log info")
    with database_away(postgres):
        wait_until(lambda: pool.metric("connections_lost_total") >= 12)
    wait_until(lambda: "the database is back" in pool.log)
    wait_until(lambda: connected(pool))
    assert 1 <= pool.log.count("trying again until it is back") <= 3


def test_cut_connections_are_made_anew(pool, db):
    for _ in range(3):
        wait_until(lambda: connected(pool))
        db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'gradingd%'")
        db.wait(db.insert(), "completed")
    wait_until(lambda: connected(pool))
    wait_until(lambda: pool.metric("connects_total") >= 6)
    assert pool.show("status")["restarts"] == 0


def test_connections_cut_under_load_lose_and_double_nothing(make_pool, db):
    pool = make_pool(db, pool={"workers": 3, "claim_batch": 8})
    for _ in range(8):
        db.insert_many(100)
        db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'gradingd worker%'")
    wait_until(lambda: db.count("completed") == 800)
    assert db.value("SELECT count(*) FROM line_ratings") == 800
    assert db.value("SELECT count(*) FROM grading_sessions WHERE completed_batches = 1 AND rated_lines = 1") == 800
    wait_until(lambda: pool.show("status")["jobs_in_flight"] == 0)


def test_term_while_the_database_is_away_ends_the_pool(make_openai_pool, db, llm, postgres):
    pool = make_openai_pool(pool={"drain": "1s"}, openai={"timeout": "100s"})
    llm.behave("hang")
    job = db.insert()
    wait_until(lambda: llm.in_flight == 1)
    with database_away(postgres):
        wait_until(lambda: pool.show("status")["database_connected"] == 0)
        assert pool.stop() == 0      # well before the call's timeout
    llm.behave("good")
    pool.start()
    assert db.wait(job, "completed").attempts <= 1


def test_a_pool_started_before_its_database_waits_for_it(make_pool, db, postgres):
    pool = make_pool(db, start=False)
    with database_away(postgres):
        pool.start(wait=False)
        wait_until(lambda: "trying again until it is back" in pool.log)
        wait_until(lambda: pool.show("status")["phase"] == "starting")
    pool.wait_up()
    db.wait(db.insert(), "completed")


def test_a_lock_held_by_somebody_else_only_delays(make_pool, db):
    pool = make_pool(db)
    with db.connect(autocommit=False) as other:
        other.execute("LOCK TABLE line_ratings IN ACCESS EXCLUSIVE MODE")
        job = db.insert()
        wait_until(lambda: pool.busy())
        stays(lambda: db.job(job).status == "processing", 0.5)
        assert pool.show("status")["phase"] == "up"
    assert db.wait(job, "completed").attempts == 0


REFUSALS = {"disk full": "53100", "serialization failure": "40001", "lock not available": "55P03"}


@pytest.mark.parametrize("sqlstate", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_settlement_refused_for_a_while_is_sent_again_without_haste(make_pool, db, sqlstate):
    pool = make_pool(db, pool={"workers": 1})
    db.rows("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{sqlstate}'; END $$")
    db.rows("CREATE TRIGGER refuse BEFORE INSERT ON line_ratings EXECUTE FUNCTION refuse()")
    job = db.insert()
    wait_until(lambda: "not now" in pool.log)
    began, before = time.monotonic(), pool.metric("statements_total")
    stays(lambda: db.job(job).status == "processing", 1)
    tries = pool.metric("statements_total") - before
    assert tries < 50 * (time.monotonic() - began), "it tries again without a pause"
    db.rows("DROP TRIGGER refuse ON line_ratings")
    assert db.wait(job, "completed").attempts == 0


def set_read_only(db, on):
    """What a client meets after a failover that left it with the old primary."""
    db.rows(f"ALTER DATABASE {db.name} SET default_transaction_read_only = {'on' if on else 'off'}")
    db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'gradingd%'")


def test_a_database_that_is_read_only_for_a_while_costs_nothing(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave({"hold": "answer"})
    job = db.insert()
    wait_until(lambda: llm.in_flight == 1)
    set_read_only(db, True)
    llm.release()
    wait_until(lambda: llm.in_flight == 0)
    wait_until(lambda: "read-only" in pool.log)
    stays(lambda: pool.show("status")["phase"] == "up", 1)
    db.rows("SET default_transaction_read_only = off")
    set_read_only(db, False)
    row = db.wait(job, "completed")
    assert (row.attempts, llm.calls) == (0, 1)


def test_a_row_the_database_will_not_take_fails_its_job_and_no_other(make_pool, db):
    make_pool(db, pool={"workers": 1})
    db.rows("ALTER TABLE line_ratings ADD CONSTRAINT no_poison CHECK (line_text <> 'poison')")
    with db.connect(autocommit=False) as conn:      # all in one claim
        jobs = [conn.execute("INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (%s, 'line_rating', %s)"
                             " RETURNING id", (new_session(), f'{{"transcript": [{{"speaker": "rep", "text": "{text}"}}]}}'))
                .fetchone()[0] for text in ("a", "b", "poison", "c")]
    rows = [db.wait(job, "completed", "failed") for job in jobs]
    assert [row.status for row in rows] == ["completed", "completed", "failed", "completed"]
    assert "no_poison" in rows[2].error


NOTE_SETTINGS = """
CREATE TABLE noted (name text, value text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO noted SELECT name, current_setting(name) FROM unnest(ARRAY['statement_timeout', 'lock_timeout',
    'idle_in_transaction_session_timeout', 'tcp_keepalives_idle', 'tcp_user_timeout', 'enable_seqscan']) name;
  RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT ON line_ratings EXECUTE FUNCTION note();
"""


def noted(db):
    """The settings under which ratings were stored."""
    return {row.name: row.value for row in db.rows("SELECT DISTINCT name, value FROM noted")}


def by_tcp(db, postgres, **more):
    words = dict(host="127.0.0.1", port=postgres.port, user="postgres", dbname=db.name, **more)
    return " ".join(f"{name}={value}" for name, value in words.items())


def test_every_wait_on_the_connection_is_bounded(make_pool, db, postgres):
    db.rows(NOTE_SETTINGS)
    make_pool(by_tcp(db, postgres))
    db.completed(rep("Hello."))
    assert noted(db) == {"statement_timeout": "25s", "lock_timeout": "3s", "enable_seqscan": "off",
                         "idle_in_transaction_session_timeout": "1min", "tcp_keepalives_idle": "10",
                         "tcp_user_timeout": "20000"}


def test_what_the_operator_sets_in_the_conninfo_stays(make_pool, db, postgres):
    db.rows(NOTE_SETTINGS)
    make_pool(by_tcp(db, postgres, options="'-c statement_timeout=7s -c tcp_keepalives_idle=33'"))
    db.completed(rep("Hello."))
    seen = noted(db)
    assert (seen["statement_timeout"], seen["tcp_keepalives_idle"], seen["lock_timeout"]) == ("7s", "33", "3s")


def test_a_first_host_that_is_silent_does_not_keep_a_pool_from_the_second(make_pool, db, postgres):
    with socket.create_server(("127.0.0.1", 0)) as silent:      # it accepts, and says nothing
        make_pool(f"host=127.0.0.1,127.0.0.1 port={silent.getsockname()[1]},{postgres.port} user=postgres"
                  f" dbname={db.name} target_session_attrs=read-write connect_timeout=1", pool={"workers": 1})
        db.completed(rep("Hello."))


def test_the_socket_answers_while_the_database_hangs(make_pool, db, postgres):
    pool = make_pool(db, queue={"poll": "200ms"})
    with db.connect(autocommit=False) as other:
        other.execute("LOCK TABLE grading_jobs IN ACCESS EXCLUSIVE MODE")
        db.wait_blocked()
        for _ in range(20):
            assert pool.show("status")["phase"] == "up"
        db.wait_blocked()


def test_without_the_tables_a_pool_ends_with_one_clear_sentence(make_pool, bare_db):
    pool = make_pool(bare_db, start=False)
    pool.alarms_expected = True
    pool.start(wait=False)
    assert pool.wait_exit() == 78
    assert "gradingctl migrate" in pool.log


def test_tables_dropped_under_a_running_pool_do_not_end_it(make_pool, db):
    """An operator's mistake: the pool waits for the tables to come back."""
    pool = make_pool(db, queue={"poll": "500ms"})
    pool.alarms_expected = True
    db.rows("ALTER TABLE grading_jobs RENAME TO mislaid")
    stays(lambda: pool.process.poll() is None, 2)
    db.rows("ALTER TABLE mislaid RENAME TO grading_jobs")
    db.wait(db.insert(rep("Back again.")), "completed")
    with pytest.raises(ControlError):
        pool.ctl("show nothing")


def test_an_error_at_the_commit_is_no_success(make_pool, db):
    """A deferred constraint speaks up after the statement's rows have come."""
    db.rows("""CREATE TABLE once (n int); INSERT INTO once VALUES (1);
        CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('attempt') = 1 THEN RAISE EXCEPTION 'not yet' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;
        CREATE SEQUENCE attempt;
        CREATE CONSTRAINT TRIGGER fail_once AFTER INSERT ON line_ratings DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION fail_once()""")
    pool = make_pool(db, pool={"workers": 1})
    job = db.insert()
    db.wait(job, "completed")
    assert len(db.ratings(db.job(job).session_id)) == 1
    pool.wait_log("not yet")
    pool.wait_metric("jobs_completed_total", 1)


def test_a_trigger_that_raises_fails_its_job_and_no_other(make_pool, db):
    db.rows("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.line_text = 'unwanted' THEN RAISE EXCEPTION 'this line is unwanted'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON line_ratings FOR EACH ROW EXECUTE FUNCTION refuse()""")
    db.insert_many(300)
    bad = db.insert(rep("unwanted"))
    make_pool(db, pool={"workers": 2})
    assert "this line is unwanted" in db.wait(bad, "failed").error
    wait_until(lambda: db.count("completed") == 300)


def test_a_check_that_gives_up_leaves_nothing_waiting_on_the_server(make_pool, db):
    """gradingd -t waits no longer than it says, and its statement waits no longer than it does."""
    pool = make_pool(db, start=False)
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gradingd -t'"
    with db.connect(autocommit=False) as other:
        other.execute("LOCK TABLE grading_migrations")
        result = pool.run("-t")
        assert result.returncode == 75 and "no answer" in result.stdout, result.stdout
        wait_until(lambda: db.value(left) == 0, what=lambda: db.value(left))
