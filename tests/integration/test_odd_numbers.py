"""Numbers that somebody else wrote: rows without a place in the order of claims, attempts and counters at their ends."""
import contextlib
import json
import signal

import pytest

import harness
from harness import migrate, new_session, rep, wait_until

INT_MAX, INT_MIN = 2 ** 31 - 1, -2 ** 31

# As some application made it: a queue with a priority of its own, which may be NULL.
NULLABLE = """
    CREATE TABLE grading_jobs (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), session_id uuid, job_type text DEFAULT 'line_rating', job_data jsonb,
        status text DEFAULT 'pending', result jsonb, error text, attempts int DEFAULT 0, max_attempts int DEFAULT 3,
        created_at timestamptz DEFAULT now(), started_at timestamptz, completed_at timestamptz, failed_at timestamptz,
        updated_at timestamptz DEFAULT now(), priority int DEFAULT 0, available_at timestamptz DEFAULT now());
"""
HOMELESS = {"priority": {"priority": None}, "available_at": {"available_at": None},
            "both": {"priority": None, "available_at": None}}


@pytest.fixture
def adopted(bare_db):
    bare_db.rows(NULLABLE)
    return bare_db


def homeless(db, where="true"):
    return db.value(f"SELECT count(*) FROM grading_jobs WHERE (priority IS NULL OR available_at IS NULL) AND {where}")


def finding(db, check="places"):
    report = json.loads(harness.gradingctl("--json", "-d", db.conninfo, "doctor").stdout)
    return [line for line in report["checks"] if line["check"] == check]


@pytest.mark.parametrize("columns", HOMELESS.values(), ids=HOMELESS)
def test_rows_of_an_adopted_table_get_a_place(make_pool, adopted, columns):
    db = adopted
    for status in "pending", "processing", "failed", "completed":
        for _ in range(3):
            db.insert(status=status, created_at="2020-01-01", updated_at="2020-01-01", **columns)
    finished = "SELECT array_agg(xmin::text ORDER BY id) FROM grading_jobs WHERE status = 'completed'"
    before = db.value(finished)
    migrate(db.conninfo)
    assert homeless(db, "status <> 'completed'") == 0
    assert db.value(finished) == before                 # what is over is not written again
    assert db.value("SELECT count(*) FROM grading_jobs WHERE status IN ('pending', 'processing')"
                    " AND (priority <> 0 OR available_at <> created_at)") == 0
    assert [line["state"] for line in finding(db)] == ["ok"]
    make_pool(db, queue={"poll": "200ms"})
    wait_until(lambda: db.count("completed") == 3 + 3 + 3)


@pytest.mark.parametrize("columns", HOMELESS.values(), ids=HOMELESS)
def test_an_application_that_goes_on_to_write_null(make_pool, adopted, columns):
    db = adopted
    migrate(db.conninfo)
    pool = make_pool(db)
    jobs = [db.insert(**columns) for _ in range(20)]
    for job in jobs:
        row = db.wait(job, "completed")
        assert row.priority == 0 and row.available_at >= row.created_at
    assert pool.metric("jobs_completed_total") >= 0


@pytest.mark.parametrize("columns", HOMELESS.values(), ids=HOMELESS)
def test_an_application_that_updates_to_null(make_pool, adopted, columns):
    """Its statement is not refused, and the job is claimed; also one that was NULL before, whatever is updated."""
    db = adopted
    db.rows("INSERT INTO grading_jobs (session_id, priority, status) VALUES (%s, NULL, 'completed')", new_session())
    migrate(db.conninfo)
    pool = make_pool(db, queue={"poll": "200ms"})
    pool.pause()
    jobs = [db.insert(priority=3) for _ in range(5)]
    changes = ", ".join(f"{column} = NULL" for column in columns)
    assert len(db.rows(f"UPDATE grading_jobs SET {changes} WHERE priority = 3 RETURNING id")) == 5
    db.rows("UPDATE grading_jobs SET status = 'pending', job_data = %s WHERE status = 'completed'",
            harness.Jsonb({"transcript": rep("Once more.")}))
    assert homeless(db) == 0
    assert db.value("SELECT count(*) FROM grading_jobs WHERE priority = %s", 0 if "priority" in columns else 3) >= 5
    assert [line["state"] for line in finding(db)] == ["ok"]
    pool.ctl("resume")
    for job in jobs:
        db.wait(job, "completed")
    wait_until(lambda: db.unsettled() == 0)


def test_a_trigger_that_wants_null_is_no_endless_loop(adopted):
    db = adopted
    migrate(db.conninfo)
    job = db.insert()
    db.rows("""CREATE FUNCTION no_priority() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.priority := NULL; RETURN NEW; END $$;
        CREATE TRIGGER no_priority BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION no_priority()""")
    db.rows("UPDATE grading_jobs SET error = 'touched' WHERE id = %s", job)
    assert (db.job(job).error, db.job(job).priority) == ("touched", None)
    assert "error" in {line["state"] for line in finding(db)}


def test_null_is_refused_where_the_table_is_ours(db):
    """There is nothing to see to, and no trigger that sees to it."""
    with pytest.raises(harness.psycopg.errors.NotNullViolation):
        db.insert(priority=None)
    assert db.value("SELECT count(*) FROM pg_trigger WHERE tgname IN ('grading_jobs_place', 'grading_jobs_keep_place')") == 0
    assert [line["state"] for line in finding(db)] == ["ok"]


@pytest.mark.parametrize("columns", HOMELESS.values(), ids=HOMELESS)
def test_rows_without_a_place_are_in_nobodys_way(make_pool, adopted, columns):
    """Somebody has dropped the trigger. Others are claimed, the gauges see them, and doctor says what to do."""
    db = adopted
    migrate(db.conninfo)
    db.rows("DROP TRIGGER grading_jobs_place ON grading_jobs; DROP TRIGGER grading_jobs_keep_place ON grading_jobs")
    lost = [db.insert(**columns) for _ in range(5)]
    pool = make_pool(db, queue={"poll": "200ms"})
    for priority in 0, 7, -7:
        assert db.wait(db.insert(priority=priority), "completed")
    pool.pause()
    waiting = [db.insert(priority=priority) for priority in (0, 0, 7)]
    wait_until(lambda: pool.show("queue")["pending"] == len(waiting))
    assert pool.show("queue")["due"] == len(waiting)
    found = finding(db)
    assert {line["state"] for line in found} == {"error", "warning"}
    assert any("5 jobs or more are pending without a priority or an available_at" in line["found"] for line in found)
    db.rows(next(line["advice"] for line in found if line["state"] == "error"))
    pool.ctl("resume")
    for job in waiting + lost:
        db.wait(job, "completed")
    with pytest.raises(StopIteration):
        next(line for line in finding(db) if line["state"] == "error")


def test_a_row_that_refuses_stops_no_migration(adopted):
    db = adopted
    jobs = [db.insert(priority=None, error="hold" if n == 3 else None) for n in range(7)]
    db.rows("""CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF OLD.error = 'hold' THEN RAISE EXCEPTION 'not now' USING errcode = '55000'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER guard BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION guard()""")
    # What an earlier migration changes, it changes at once, for which there is no help.
    with contextlib.suppress(AssertionError):
        migrate(db.conninfo)
    db.rows("ALTER TABLE grading_jobs DISABLE TRIGGER guard")
    migrate(db.conninfo)
    db.rows("ALTER TABLE grading_jobs DISABLE TRIGGER grading_jobs_keep_place; UPDATE grading_jobs SET priority = NULL;"
            " ALTER TABLE grading_jobs ENABLE TRIGGER guard")
    harness.migrate_by_psql(db.conninfo, [path for path in harness.MIGRATIONS if path.name.startswith("095")])
    assert [row.id for row in db.rows("SELECT id FROM grading_jobs WHERE priority IS NULL")] == [jobs[3]]


@pytest.mark.parametrize("kind", ["bigint", "smallint"])
def test_a_priority_of_another_width(make_pool, adopted, kind):
    db = adopted
    db.rows(f"ALTER TABLE grading_jobs ALTER priority TYPE {kind}")
    migrate(db.conninfo)
    highest = {"bigint": 2 ** 40, "smallint": 2 ** 15 - 1}[kind]
    pool = make_pool(db, queue={"poll": "200ms"}, pool={"workers": 1, "claim_batch": 1})
    pool.pause()
    jobs = [db.insert(priority=priority) for priority in (-highest, 0, 5, highest) for _ in range(3)]
    wait_until(lambda: pool.show("queue")["pending"] == len(jobs))
    pool.ctl("resume")
    for job in jobs:
        db.wait(job, "completed")
    order = [row.priority for row in db.rows("SELECT priority FROM grading_jobs ORDER BY started_at, priority DESC")]
    assert order == sorted(order, reverse=True)


# ---- counters ----

def test_progress_of_counters_that_are_absurd(db):
    """Whatever somebody wrote there, a front end gets an answer."""
    counters = "total_batches", "completed_batches", "failed_batches", "total_lines", "rated_lines"
    sessions = []
    for values in (INT_MAX, INT_MAX // 2), (INT_MAX // 2, INT_MAX), (INT_MIN // 2,) * 2:
        for job in "pending", "completed", "failed":
            sessions.append(new_session())
            # completed_batches + failed_batches is an integer where the row itself is computed.
            db.rows(f"INSERT INTO grading_sessions (session_id, {', '.join(counters)}) VALUES (%s, %s, %s, %s, %s, %s)",
                    sessions[-1], values[0], INT_MAX // 2, INT_MAX // 2, *values)
            db.insert(session=sessions[-1], status=job)
            db.rows("UPDATE grading_sessions SET completed_batches = %s, failed_batches = 0 WHERE session_id = %s", values[0],
                    sessions[-1])
    for session in sessions:
        row = db.row("SELECT * FROM grading_progress(%s)", session)
        assert all(0 <= number <= INT_MAX for number in (row.batches_done, row.batches_total, row.lines_total)), row
        assert 0 <= row.percent <= 100


def test_progress_of_jobs_that_say_absurd_numbers(db):
    session = new_session()
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data, status, result) SELECT %s, 'line_rating', '{}', 'failed',"
            " '{\"lines\": 1e30, \"rated\": 0}' FROM generate_series(1, 2200)", session)
    row = db.row("SELECT * FROM grading_progress(%s)", session)
    assert (row.status, row.batches_failed, row.lines_failed) == ("failed", 2200, 10 ** 9)


# ---- attempts ----

ATTEMPTS = [(INT_MAX, 3), (INT_MAX, INT_MAX), (INT_MAX - 1, INT_MAX), (INT_MAX - 1, 3), (0, -5), (0, INT_MIN), (0, 0),
            (-7, 1), (INT_MIN, 1), (None, 1), (INT_MAX, None)]


@pytest.mark.parametrize("attempts, most", ATTEMPTS, ids=str)
def test_a_job_ends_whatever_its_attempts(make_openai_pool, db, llm, attempts, most):
    db.rows("ALTER TABLE grading_jobs ALTER attempts DROP NOT NULL, ALTER max_attempts DROP NOT NULL")
    make_openai_pool()
    llm.behave({"do": "not_json", "text": "odd"}, "good")
    job = db.insert(rep("An odd line?"), attempts=attempts, max_attempts=most)
    row = db.wait(job, "failed", "completed")
    assert row.status == "failed" and row.attempts == min(max(attempts or 0, 0) + 1, INT_MAX)
    assert f"that was attempt {max(attempts or 0, 0) + 1} of " in row.error


@pytest.mark.parametrize("kind", ["bigint", "smallint"])
def test_attempts_of_another_width(make_openai_pool, db, llm, kind):
    """Of a row whose number cannot be read it is not believed that it never was tried."""
    db.rows(f"ALTER TABLE grading_jobs ALTER attempts TYPE {kind}, ALTER max_attempts TYPE {kind}")
    make_openai_pool()
    llm.behave({"do": "not_json", "text": "odd"}, "good")
    job = db.insert(rep("An odd line?"), attempts=6, max_attempts=7)
    row = db.wait(job, "failed", "completed")
    assert (row.status, row.attempts) == ("failed", 7)


def test_the_worker_dies_of_a_job_of_many_attempts(make_openai_pool, db):
    """It is charged once more, and that was it."""
    job = db.insert(rep("This is poisonous."), attempts=INT_MAX, max_attempts=INT_MAX)
    pool = make_openai_pool(start=False, pool={"workers": 1})
    pool.env.update(harness.preload(DRILL_POISON="poisonous"))
    pool.killed_by.add(signal.SIGSEGV)
    pool.start()
    row = db.wait(job, "failed", "completed")
    assert (row.status, row.attempts) == ("failed", INT_MAX)


# ---- counters ----

@pytest.mark.parametrize("value", [INT_MAX, 10 ** 9, INT_MIN + 1], ids=str)
@pytest.mark.parametrize("column", ["completed_batches", "failed_batches", "total_batches", "total_lines", "rated_lines",
                                    "skipped_lines", "stride"])
def test_a_counter_at_its_end_stops_no_settlement(pool, db, column, value):
    session = new_session()
    db.rows(f"INSERT INTO grading_sessions (session_id, {column}) VALUES (%s, %s)", session, value)
    job = db.wait(db.insert(rep("Hello.", " "), session=session), "completed", "failed")
    assert job.status == "completed", job.error
    assert -INT_MAX <= getattr(db.session(session), column) <= INT_MAX
    bad = db.wait(db.insert(session=session, job_data=[]), "completed", "failed")
    assert bad.status == "failed" and "job_data is an array" in bad.error
