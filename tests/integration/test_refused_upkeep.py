"""Rows that the database refuses to have changed: recovery, the reaper and the cleaning go on beside them."""
import contextlib
import signal
import subprocess
import time

import pytest
from psycopg.types.json import Jsonb

import harness
from harness import new_session, rep, stays, wait_until

GUARD = """
    CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.error = 'hold' THEN {refuse}; END IF;
        RETURN {row};
    END $$;
    CREATE TRIGGER guard BEFORE {when} ON grading_jobs FOR EACH ROW EXECUTE FUNCTION guard()"""
SQLSTATES = ["55000", "42501", "PT403", "P0001", "23514"]
REFUSALS = SQLSTATES + ["swallowed"]
FOREIGN = {"status": "processing", "claimed_by": "elsewhere/12345678/4711/99", "claim": 1}
REAPER = {"queue": {"stuck_after": "30s", "job_deadline": "20s", "poll": "500ms"}}
# A row that was set aside is tried again within a minute.
A_MINUTE = 100


def guard(db, why, when="UPDATE"):
    refuse = "RETURN NULL" if why == "swallowed" else f"RAISE EXCEPTION 'not now' USING errcode = '{why}'"
    db.rows(GUARD.format(refuse=refuse, when=when, row="NEW" if when == "UPDATE" else "OLD"))


def unguard(db):
    db.rows("DROP TRIGGER guard ON grading_jobs")


def names(pool, job):
    """Whether `show errors` names the row."""
    return [row["error"] for row in pool.show("errors") if row["row"] == str(job)]


@contextlib.contextmanager
def locked(db, table, column, value):
    with db.connect(autocommit=False) as other:
        other.execute(f"SELECT FROM {table} WHERE {column} = %s FOR UPDATE", (value,))
        yield


def hold_jobs(pool, db, llm, n, **columns):
    """Jobs that one worker has with a provider that says nothing: (their ids, its pid)."""
    llm.behave({"hold": "hung"})
    before = db.count("processing")
    jobs = [db.insert(rep(f"Line {i}."), **columns) for i in range(n)]
    wait_until(lambda: db.count("processing") == before + n)
    return jobs, wait_until(pool.busy)[0]


def back(db, jobs):
    return db.value("SELECT count(*) FROM grading_jobs WHERE id = ANY(%s) AND status <> 'processing'", jobs)


# ---- recovery ----

@pytest.mark.parametrize("why", REFUSALS)
def test_a_dead_workers_other_jobs_are_back_at_once(make_openai_pool, db, llm, why):
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "10m"})
    pool.alarms_expected = why == "42501"
    guard(db, why)
    jobs, worker = hold_jobs(pool, db, llm, 12)
    held = jobs[5]
    db.rows("UPDATE grading_jobs SET error = 'hold' WHERE id = %s", held)
    pool.ctl("pause")
    pool.kill(worker)
    # Not after the janitor's next look, which it takes every 10 s.
    wait_until(lambda: back(db, jobs) == 11, timeout=8, what="the others to be back")
    wait_until(lambda: names(pool, held), what="the culprit to be named")
    assert db.job(held).status == "processing"
    assert pool.metric("rows_refused") == 1 and pool.metric("rows_refused_total") == 1
    assert pool.log.count(f"job {held} cannot be put back") == 1
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    if why != "55000":
        return
    unguard(db)
    wait_until(lambda: db.job(held).status == "pending", timeout=A_MINUTE, what="the culprit to be tried again")
    assert db.job(held).attempts == 0
    wait_until(lambda: not names(pool, held))


def test_a_death_whose_jobs_refuse_holds_up_no_later_one(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "10m"})
    guard(db, "55000")
    held, worker = hold_jobs(pool, db, llm, 3)
    db.rows("UPDATE grading_jobs SET error = 'hold'")
    pool.kill(worker)
    wait_until(lambda: worker not in pool.workers() and pool.workers())
    for _ in range(3):
        jobs, worker = hold_jobs(pool, db, llm, 4)
        pool.ctl("pause")
        pool.kill(worker)
        wait_until(lambda: back(db, jobs) == 4, timeout=8, what="the later death's jobs")
        db.rows("DELETE FROM grading_jobs WHERE id = ANY(%s)", jobs)
        pool.ctl("resume")
        wait_until(lambda: worker not in pool.workers() and pool.workers())
    pool.kill(pool.janitor())       # who has the first death in its care
    assert back(db, held) == 0
    unguard(db)
    wait_until(lambda: db.count("processing") == 0 or db.value("SELECT min(claim) FROM grading_jobs") > 1,
               timeout=A_MINUTE)
    assert db.value("SELECT max(attempts) FROM grading_jobs WHERE id = ANY(%s)", held) == 0


def test_the_company_that_a_job_had_is_remembered(make_openai_pool, db, llm):
    """Of two jobs one comes back a minute later, alone: it is not taken for the only one that there was."""
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "10m"})
    guard(db, "55000")
    jobs, worker = hold_jobs(pool, db, llm, 2)
    db.rows("UPDATE grading_jobs SET error = 'hold' WHERE id = %s", jobs[0])
    pool.ctl("pause")
    pool.kill(worker)
    wait_until(lambda: db.job(jobs[1]).status == "pending", timeout=8)
    wait_until(lambda: names(pool, jobs[0]))
    pool.kill(pool.janitor())
    unguard(db)
    wait_until(lambda: db.job(jobs[0]).status == "pending", timeout=A_MINUTE)
    assert [db.job(job).attempts for job in jobs] == [0, 0]


def refuse_to_be_settled(pool, db, llm):
    """A job that has been rated, and whose worker cannot write that down: (its id, the worker's pid). Nobody claims."""
    (held,), worker = hold_jobs(pool, db, llm, 1)
    db.rows("UPDATE grading_jobs SET error = 'hold'")
    pool.ctl("pause")
    llm.release()
    wait_until(lambda: "not now" in pool.log, what="its settlement to be refused")
    return held, worker


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGABRT])
def test_who_is_left_for_refusing_alone_is_not_charged(make_openai_pool, db, llm, signo):
    """It is the only job that its worker had, but that had done with it long before it died."""
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "10m"})
    guard(db, "55000")
    held, worker = refuse_to_be_settled(pool, db, llm)
    pool.killed_by.add(signo)
    pool.kill(worker, signo)
    wait_until(lambda: names(pool, held), what="its recovery to be refused")
    unguard(db)
    wait_until(lambda: db.job(held).status == "pending", timeout=A_MINUTE, what="it to be tried again")
    assert (db.job(held).attempts, db.job(held).result["worker_deaths"]) == (0, 1)


def test_nor_is_it_when_nobody_saw_its_worker_die(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "1s"})
    guard(db, "55000")
    held, _ = refuse_to_be_settled(pool, db, llm)
    assert pool.stop(signal.SIGQUIT) == 0
    assert db.job(held).status == "processing", "nobody could give it back"
    unguard(db)
    llm.behave("good")
    pool.start()
    row = db.wait(held, "completed")
    assert (row.attempts, row.result["worker_deaths"]) == (0, 5)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_locked_session_holds_up_no_other_recovery(make_openai_pool, db, llm, mode):
    """The jobs have no attempts left, so that their session's counters move."""
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "10m"},
                            database={"conninfo": db.conninfo, "pool_mode": mode})
    session = new_session()
    columns = {"attempts": 2, "result": Jsonb({"worker_deaths": 10})}
    hung, _ = hold_jobs(pool, db, llm, 4, session=session, **columns)
    jobs, worker = hold_jobs(pool, db, llm, 8, **columns)
    pool.ctl("pause")
    with locked(db, "grading_sessions", "session_id", session):
        pool.kill(worker)
        wait_until(lambda: back(db, jobs) == 8, timeout=8, what="the others to be back")
        assert back(db, hung) == 0
        longest = 0
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:     # how long a statement of the janitor's waits for a lock
            longest = max(longest, db.value(
                "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0) FROM pg_locks l"
                " JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND a.application_name LIKE 'gradingd janitor%%'"))
        assert longest < 1.5, "the old ones waited for 3 s"
    wait_until(lambda: back(db, hung) == 4, what="those of the session")
    assert {db.job(job).status for job in jobs + hung} == {"failed"}
    assert db.session(session).failed_batches == 4


def test_a_locked_job_comes_back_when_it_is_free(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "10m"})
    jobs, worker = hold_jobs(pool, db, llm, 6)
    pool.ctl("pause")
    with locked(db, "grading_jobs", "id", jobs[2]):
        pool.kill(worker)
        wait_until(lambda: back(db, jobs) == 5, timeout=8)
        wait_until(lambda: names(pool, jobs[2]), what="a lock that lasts to be named")
    wait_until(lambda: back(db, jobs) == 6)


# ---- the reaper ----

@pytest.mark.parametrize("why", REFUSALS + ["locked session", "locked job"])
def test_the_reaper_goes_on_beside_a_row_that_refuses(make_pool, db, why):
    with contextlib.ExitStack() as stack:
        jobs = [db.insert(**FOREIGN, attempts=2, started_at=db.value("SELECT now() - interval '1 hour'"),
                          error="hold" if n == 1 else None) for n in range(3)]
        held = jobs[1]
        if why == "locked session":
            db.rows("INSERT INTO grading_sessions (session_id) SELECT session_id FROM grading_jobs")
            stack.enter_context(locked(db, "grading_sessions", "session_id", db.job(held).session_id))
        elif why == "locked job":
            stack.enter_context(locked(db, "grading_jobs", "id", held))
        else:
            guard(db, why)
        pool = make_pool(db, **REAPER)
        pool.alarms_expected = why == "42501"
        wait_until(lambda: {db.job(job).status for job in jobs if job != held} == {"failed"}, what="the other two")
        assert db.job(held).status == "processing"
        wait_until(lambda: names(pool, held), what="the culprit to be named")
        later = db.insert(**FOREIGN, attempts=2, started_at=db.value("SELECT now() - interval '1 hour'"))
        db.wait(later, "failed", timeout=15)
        if why == "P0001":
            unguard(db)
    if why in ("P0001", "locked session", "locked job"):
        db.wait(held, "failed", timeout=A_MINUTE)


def test_a_thousand_stuck_jobs_that_refuse_hold_up_no_other(make_pool, db):
    """Ahead of 50 others, whatever the order is: by time, by id."""
    guard(db, "55000")
    db.rows("INSERT INTO grading_jobs (id, session_id, job_data, status, claimed_by, started_at, error)"
            " SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, gen_random_uuid(), '{}', 'processing',"
            " 'elsewhere/12345678/4711/99', now() - interval '2 hours', 'hold' FROM generate_series(1, 1000) n")
    jobs = [db.insert(**FOREIGN, attempts=2, started_at=db.value("SELECT now() - interval '1 hour'")) for _ in range(50)]
    pool = make_pool(db, **REAPER)
    wait_until(lambda: back(db, jobs) == 50, what="the others to be back")
    wait_until(lambda: pool.metric("rows_refused_total") >= 900, timeout=A_MINUTE)
    assert pool.log.count("cannot be put back: ") <= 30, "each is not a line of the log"
    unguard(db)


# ---- cleaning ----

def old_jobs(db, n, status="completed", **columns):
    names_, marks = "".join(f", {name}" for name in columns), ", %s" * len(columns)
    return [row[0] for row in db.rows(
        f"INSERT INTO grading_jobs (session_id, job_data, status, {status}_at{names_}) SELECT gen_random_uuid(), '{{}}',"
        f" %s, now() - interval '2 days'{marks} FROM generate_series(1, %s) RETURNING id", status, *columns.values(), n)]


@pytest.mark.parametrize("why", REFUSALS + ["foreign key", "locked job"])
@pytest.mark.parametrize("status", ["completed", "failed"])
def test_the_cleaning_goes_on_beside_a_job_that_refuses(make_pool, db, why, status):
    with contextlib.ExitStack() as stack:
        held = old_jobs(db, 1, status, error="hold")[0]
        old_jobs(db, 1200, status)
        if why == "foreign key":
            db.rows("CREATE TABLE note (job uuid REFERENCES grading_jobs (id))")
            db.rows("INSERT INTO note VALUES (%s)", held)
        elif why == "locked job":
            stack.enter_context(locked(db, "grading_jobs", "id", held))
        else:
            guard(db, why, "DELETE")
        pool = make_pool(db, queue={"poll": "500ms", "keep_failed": "1h"})
        pool.alarms_expected = why == "42501"
        wait_until(lambda: db.count() == 1, what="all others to be deleted")
        wait_until(lambda: names(pool, held), what="the culprit to be named")
        old_jobs(db, 5, status)
        wait_until(lambda: db.count() == 1, what="those that came later")
        pool.wait_metric("jobs_cleaned_total", 1205)
        if why == "foreign key":
            db.rows("DROP TABLE note")
        elif why != "locked job":
            return
    if status == "completed":
        wait_until(lambda: db.count() == 0, timeout=A_MINUTE, what="the culprit to be tried again")


def test_a_thousand_finished_jobs_that_refuse_hold_up_no_other(make_pool, db):
    """They are the oldest, and all ended at the same moment."""
    db.rows("CREATE TABLE note (job uuid REFERENCES grading_jobs (id))")
    db.rows("INSERT INTO note SELECT unnest(%s::uuid[])", old_jobs(db, 1000))
    db.rows("CREATE INDEX ON note (job)")
    db.rows("UPDATE grading_jobs SET completed_at = completed_at - interval '1 day'")
    old_jobs(db, 2000)
    make_pool(db, queue={"poll": "500ms"})
    wait_until(lambda: db.count() == 1000, what="the others to be deleted")
    stays(lambda: db.count() == 1000, 1)


def test_the_cache_is_cleaned_beside_an_entry_that_refuses(make_pool, db):
    db.rows("INSERT INTO phrase_cache (cache_key, phrase, rating, created_at) SELECT 'key ' || n, 'x', 'good',"
            " now() - interval '2 days' FROM generate_series(1, 3000) n")
    db.rows("CREATE TABLE note (key text REFERENCES phrase_cache (cache_key))")
    db.rows("INSERT INTO note VALUES ('key 1500')")
    db.rows("INSERT INTO phrase_flights (cache_key, asker, until) SELECT 'key ' || n, 'x', now() - interval '1 hour'"
            " FROM generate_series(1, 1200) n")
    pool = make_pool(db, queue={"poll": "500ms"})
    wait_until(lambda: [row.cache_key for row in db.rows("SELECT cache_key FROM phrase_cache")] == ["key 1500"])
    wait_until(lambda: names(pool, "key 1500"))
    wait_until(lambda: db.value("SELECT count(*) FROM phrase_flights") == 0)
    pool.wait_metric("cache_cleaned_total", 2999)


def test_doctor_names_rows_that_refuse(make_pool, db):
    guard(db, "55000", "DELETE")
    held = old_jobs(db, 1, error="hold")[0]
    old_jobs(db, 3)
    pool = make_pool(db, queue={"poll": "500ms"})
    wait_until(lambda: names(pool, held))
    done = subprocess.run([harness.GRADINGCTL, "-c", pool.config_path, "doctor"], capture_output=True, text=True,
                          check=False, timeout=harness.PATIENCE_S)
    assert str(held) in done.stdout and "not now (SQLSTATE 55000)" in done.stdout


# ---- an error that is longer than its column ----

@pytest.mark.parametrize("type_", ["varchar(60)", "short_text"])
def test_an_error_is_cut_to_its_column(make_openai_pool, db, llm, type_):
    db.rows("CREATE DOMAIN short_text AS varchar(60)")
    db.rows(f"ALTER TABLE grading_jobs ALTER error TYPE {type_}")
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "500ms", "stuck_after": "30s", "job_deadline": "20s"})
    lost = db.insert(**FOREIGN, attempts=2, started_at=db.value("SELECT now() - interval '1 hour'"))
    assert len(db.wait(lost, "failed").error) == 60
    (job,), worker = hold_jobs(pool, db, llm, 1, attempts=2)
    pool.kill(worker)
    row = db.wait(job, "failed")
    assert len(row.error) == 60 and row.error.startswith("the worker that had this job was killed by signal 9")
    llm.release()
    llm.behave("good")
    row = db.wait(db.insert("é" * 200), "failed")       # in a settlement: its transcript is no list
    assert 0 < len(row.error) <= 60
    db.completed(rep("After."))


# ---- claims whose answer was lost ----

def test_a_lost_claim_is_given_back_but_for_a_row_that_refuses(make_pool, db):
    """The claim commits, and the connection is gone before its answer."""
    guard(db, "55000")
    pool = make_pool(db, pool={"workers": 1}, rater={"backend": "rubric"}, queue={"poll": "500ms"})
    identity = wait_until(lambda: db.value("SELECT 1") and pool.workers()) and lost_identity(pool)
    jobs = [db.insert(status="processing", claimed_by=identity, claim=1, started_at=db.value("SELECT now()"),
                      error="hold" if n == 1 else None) for n in range(4)]
    db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'gradingd worker%'")
    wait_until(lambda: {db.job(job).status for n, job in enumerate(jobs) if n != 1} == {"completed"})
    assert db.job(jobs[1]).status == "processing"
    wait_until(lambda: names(pool, jobs[1]))
    unguard(db)
    db.wait(jobs[1], "completed", timeout=A_MINUTE)


def lost_identity(pool):
    """What the pool's one worker writes into claimed_by, from /proc as the daemon reads it."""
    worker = pool.workers()[0]
    host = harness.socket.gethostname().replace("/", "-")
    boot = harness.pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    space = harness.os.readlink(f"/proc/{worker}/ns/pid")[5:-1]
    stat = harness.pathlib.Path(f"/proc/{worker}/stat").read_text(encoding="latin-1")
    return f"{host}/{boot}.{space}/{worker}/{stat.rpartition(')')[2].split()[19]}"
