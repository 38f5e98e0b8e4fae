"""What keeps one job or one session of the database from being served must not keep the others from it."""
import pytest

from harness import new_session, rep, wait_until


@pytest.mark.parametrize("make", ["make_pool", "make_openai_pool"])
def test_a_session_that_somebody_has_locked_stops_no_other(request, db, make):
    pool = request.getfixturevalue(make)
    pool = pool(db, pool={"workers": 2}) if make == "make_pool" else pool(pool={"workers": 2})
    locked = new_session()
    db.completed(rep("First."), session=locked)
    with db.connect(autocommit=False) as other:
        other.execute("SELECT FROM grading_sessions WHERE session_id = %s FOR UPDATE", (locked,))
        db.insert_many(100)
        for n in range(5):
            db.insert(rep(f"Locked {n}.", first=n + 1), session=locked)
        db.insert_many(100)
        wait_until(lambda: db.count("completed") == 201, what="all others")
        db.insert_many(20, "Later {n}.")
        wait_until(lambda: db.count("completed") == 221, what="those that came later")
    wait_until(lambda: db.count("completed") == 226)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert db.session(locked).completed_batches == 6
    assert pool.show("status")["jobs_failed"] == 0


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_database_that_was_read_only_for_a_while(make_pool, db, mode):
    pool = make_pool(db, database={"conninfo": db.conninfo, "pool_mode": mode})
    db.completed(rep("Before."))
    db.rows(f"ALTER DATABASE {db.name} SET default_transaction_read_only = on")
    with db.connect() as admin:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'gradingd%'")
        wait_until(lambda: "read-only" in pool.ctl("show errors"))
        admin.execute(f"ALTER DATABASE {db.name} RESET default_transaction_read_only")
    db.completed(rep("After."))


def test_columns_that_change_their_type_under_a_pool(make_pool, db):
    make_pool(db)
    db.completed(rep("Before."))
    for n, change in enumerate(["job_type TYPE varchar(40)", "priority TYPE bigint"]):
        db.rows(f"ALTER TABLE grading_jobs ALTER COLUMN {change}")
        db.insert_many(10, f"After {change}: {{n}}")
        wait_until(lambda: db.count("completed") == 11 + 10 * n)


def test_a_worker_that_cannot_claim_leaves_the_wake_to_others(make_openai_pool, db, llm):
    """The first one waits for a locked row with all that it may have in hand."""
    make_openai_pool(pool={"workers": 3, "in_flight": 4})
    locked = new_session()
    db.completed(rep("First."), session=locked)
    with db.connect(autocommit=False) as other:
        other.execute("SELECT FROM grading_sessions WHERE session_id = %s FOR UPDATE", (locked,))
        for n in range(8):
            db.insert(rep(f"Locked {n}.", first=n + 1), session=locked)
        wait_until(lambda: db.count("processing") == 8)
        for n in range(5):
            db.completed(rep(f"Free {n}."))         # and the others stay locked
    wait_until(lambda: db.count("completed") == 14)


REFUSALS = {
    "check": "ALTER TABLE grading_jobs ADD CHECK (job_data::text NOT LIKE '%odd%' OR status = 'pending') NOT VALID",
    "trigger": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF new.job_data::text LIKE '%odd%' THEN RAISE 'not this one'; END IF; RETURN new; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION refuse()"""}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("why", REFUSALS)
def test_jobs_that_cannot_be_claimed_stop_no_other(make_pool, db, why, deep):
    db.rows(REFUSALS[why])
    for _ in range(3):
        db.insert_many(1500 if deep else 20)
        db.insert(rep("odd"))
    pool = make_pool(db, pool={"workers": 2}, cache={"ttl": "0" if deep else "24h"})
    wait_until(lambda: db.count("pending") == 3 and db.count("processing") == 0, what="all but those")
    wait_until(lambda: pool.log.count("cannot be claimed, and is left alone") == 3, what="all of them to be named")
    assert pool.show("status")["rows_refused"] == 3
    assert {row["row"] for row in pool.show("errors")} >= {
        str(row.id) for row in db.rows("SELECT id FROM grading_jobs WHERE status = 'pending'")}
    db.completed(rep("Another one."))
