"""The janitor's duties: reaper, cleanup, gauges; and how little an idle pool does."""
import pathlib
import re
import time

import pytest

from harness import rep, stays, wait_until

FOREIGN = {"status": "processing", "claimed_by": "elsewhere/12345678/4711/99", "claim": 1}
QUICK_REAPER = {"queue": {"stuck_after": "2s", "job_deadline": "1s", "poll": "500ms"}}


def test_a_lost_hosts_job_is_put_back_with_an_attempt(make_pool, db):
    pool = make_pool(db, queue={"stuck_after": "60s", "job_deadline": "40s", "poll": "500ms"})
    lost_at = db.value("SELECT now() - interval '58 s'")
    row = db.wait(db.insert(**FOREIGN, started_at=lost_at), "completed")
    assert (row.attempts, row.times_claimed) == (1, 2)
    assert (row.completed_at - lost_at).total_seconds() >= 60
    pool.wait_metric("jobs_reaped_total", 1)


@pytest.mark.parametrize("started_at", ["now() - interval '1 hour'", "NULL"])
def test_a_lost_hosts_job_without_attempts_left_fails(make_pool, db, started_at):
    make_pool(db, **QUICK_REAPER)
    job = db.insert(**FOREIGN, attempts=2, started_at=db.value(f"SELECT ({started_at})::timestamptz"))
    row = db.wait(job, "failed")
    assert row.attempts == 3 and "elsewhere" in row.error and row.failed_at
    assert db.session_of(job).failed_batches == 1


def test_a_job_in_good_hands_is_not_reaped(make_openai_pool, db, llm):
    pool = make_openai_pool(queue={"stuck_after": "30s", "job_deadline": "20s", "poll": "200ms"},
                            openai={"timeout": "20s"})
    llm.behave({"delay_ms": 1500})
    job = db.wait(db.insert(), "completed")
    assert job.times_claimed == 1 and pool.metric("jobs_reaped_total") == 0


def old_jobs(db, status, n):
    db.rows(f"INSERT INTO grading_jobs (session_id, job_data, status, {status}_at) SELECT gen_random_uuid(), '{{}}',"
            " %s, now() - interval '2 days' FROM generate_series(1, %s)", status, n)


def test_old_completed_jobs_go_and_failed_ones_stay(make_pool, db):
    old_jobs(db, "completed", 1700)
    old_jobs(db, "failed", 10)
    pool = make_pool(db)
    young, ratings = db.completed(rep("Young."))
    wait_until(lambda: db.count("completed") == 1)
    assert db.count("failed") == 10
    assert db.job(young.id) and db.ratings(young.session_id) == ratings
    wait_until(lambda: pool.metric("jobs_cleaned_total") == 1700)


def test_the_cleanup_goes_by_small_batches(make_pool, db):
    """Each statement deletes some hundred rows at most, so that claims come in between."""
    old_jobs(db, "completed", 3000)
    db.rows("CREATE TABLE deleted (n bigint)")
    db.rows("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO deleted"
            " SELECT count(*) FROM gone; RETURN NULL; END $$")
    db.rows("CREATE TRIGGER note AFTER DELETE ON grading_jobs REFERENCING OLD TABLE AS gone EXECUTE FUNCTION note()")
    make_pool(db)
    wait_until(lambda: db.count() == 0)
    assert db.value("SELECT sum(n) FROM deleted") == 3000
    assert db.value("SELECT max(n) FROM deleted") <= 1000


def test_failed_jobs_go_when_that_is_wanted(make_pool, db):
    old_jobs(db, "failed", 10)
    make_pool(db, queue={"keep_failed": "1h"})
    wait_until(lambda: db.count() == 0)


def test_nothing_goes_when_that_is_wanted(make_pool, db):
    old_jobs(db, "completed", 5)
    pool = make_pool(db, queue={"keep_completed": "0", "poll": "200ms"})
    stays(lambda: db.count() == 5, 1)
    assert pool.metric("jobs_cleaned_total") == 0


def test_expired_cache_entries_go(make_pool, db):
    db.rows("INSERT INTO phrase_cache (cache_key, phrase, rating, created_at) SELECT n::text, 'x', 'good',"
            " now() - interval '1 hour' * n FROM generate_series(1, 48) n")
    pool = make_pool(db)
    wait_until(lambda: pool.metric("cache_cleaned_total") == 25)
    assert db.value("SELECT count(*) FROM phrase_cache") == 23


def test_one_host_cleans_at_a_time(make_pool, db):
    old_jobs(db, "completed", 20)
    with db.connect(autocommit=False) as other:
        other.execute("SELECT pg_advisory_xact_lock(1735549284, 2)")
        pool = make_pool(db, queue={"poll": "200ms"})
        stays(lambda: db.count("completed") == 20, 1)
    wait_until(lambda: db.count() == 0)
    pool.wait_metric("jobs_cleaned_total", 20)


def test_the_gauges_tell_what_is_in_the_queue(make_pool, db):
    pool = make_pool(db, queue={"poll": "200ms"})
    pool.pause()
    db.insert_many(7)
    db.insert(available_at=db.value("SELECT now() + interval '1 hour'"))
    db.insert(status="failed", failed_at=db.value("SELECT now()"))
    wait_until(lambda: (q := pool.show("queue")) and (q["pending"], q["due"], q["processing"], q["failed"]) == (8, 7, 0, 1))
    wait_until(lambda: pool.show("queue")["oldest_due_ms"] > 300)
    wait_until(lambda: pool.show("queue")["age_ms"] < 2000)


def test_a_look_that_was_lost_with_the_connection_is_repeated(make_pool, db):
    """The cache is walked through so seldom that the next walk would come after minutes."""
    pool = make_pool(db, queue={"poll": "8s"})
    with db.connect(autocommit=False) as other:
        other.execute("LOCK phrase_cache IN ACCESS EXCLUSIVE MODE")
        other.execute("INSERT INTO phrase_cache (cache_key, phrase, rating, created_at)"
                      " VALUES ('old', 'x', 'good', '-infinity')")
        db.wait_blocked()
        db.rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        other.commit()
    pool.wait_metric("cache_cleaned_total", 1)
    assert db.value("SELECT count(*) FROM phrase_cache") == 0


def cpu_seconds(pids):
    """By the scheduler's own count. That of ticks charges a whole one, 10 ms, to whoever runs at that moment."""
    nanoseconds = 0
    for pid in pids:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
            nanoseconds += int(stat.read().split()[0])
    return nanoseconds / 1e9


def wakeups(pids):
    """How often they have gone to sleep, and so been woken."""
    words = [pathlib.Path(f"/proc/{pid}/status").read_text(encoding="latin-1") for pid in pids]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", text, re.M)[1]) for text in words)


def await_look(pool):
    """Until the janitor has looked at the queue once more."""
    began = time.monotonic()
    wait_until(lambda: pool.show("queue")["age_ms"] < (time.monotonic() - began) * 1000)


def test_an_idle_pool_is_quiet(make_pool, db):
    """Promised: below 0.3 statements and 2 ms of CPU a second, any number of workers. It takes 0.4 ms, but a virtual
    machine that nobody uses charges each waking with up to 5 ms: wakings are counted, CPU only tells who spins."""
    pool = make_pool(db, pool={"workers": 16})
    wait_until(lambda: pool.show("status")["database_listening"])
    wait_until(lambda: pool.show("status")["workers_idle"] == 16)
    wait_until(lambda: pool.show("queue")["age_ms"] is not None)
    await_look(pool)        # beside it the first walks through the cache, which rest for minutes when there is nothing
    await_look(pool)
    pids = pool.processes()
    statements, cpu, woken = pool.metric("statements_total"), cpu_seconds(pids), wakeups(pids)
    began = time.monotonic()
    stays(lambda: time.sleep(0.2) is None, 12)
    elapsed = time.monotonic() - began
    assert (wakeups(pids) - woken) / elapsed < 8        # 2 of 18 processes
    assert (pool.metric("statements_total") - statements) / elapsed < 0.3
    assert (cpu_seconds(pids) - cpu) / elapsed < 0.03


def test_nobody_is_notified_while_everyone_is_at_work(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1, "in_flight": 1, "claim_batch": 1})
    llm.behave("hang")
    db.insert_many(1)
    wait_until(lambda: llm.in_flight == 1)
    db.insert()     # the notice that finds nobody idle
    wait_until(lambda: not pool.show("status")["database_listening"])
