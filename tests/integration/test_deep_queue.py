"""A deep queue and the rubric: claims held by locks alone, rated and completed in one transaction."""
import collections
import os
import random
import signal

import pytest

import harness
from harness import rep, stays, wait_until

DEEP = {"workers": 1, "claim_batch": 16}        # four claims that come back full, and it begins


@pytest.fixture
def deep_pool(make_pool, db):
    """A pool that waits, for a queue to be filled before it."""
    def make(pool=None, env=None, **groups):
        made = make_pool(db, start=False, pool={**DEEP, **(pool or {})}, **groups)
        made.env.update(env or {})
        made.start()
        made.ctl("pause")
        made.pause()
        return made
    return make


def updates(db):
    db.rows("SELECT pg_stat_clear_snapshot()")
    return db.value("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'grading_jobs'")


def assert_all_rated_once(db, n):
    assert db.count("completed") == n
    assert db.value("SELECT count(*) FROM line_ratings") == n
    assert db.value("SELECT count(*) FROM grading_jobs WHERE attempts <> 0 OR times_claimed <> 1 OR claimed_by IS NULL"
                    " OR error IS NOT NULL OR started_at < created_at OR completed_at < started_at") == 0
    assert db.value("SELECT count(*) FROM grading_sessions WHERE status <> 'completed' OR rated_lines <> 1"
                    " OR completed_batches <> 1 OR rated_seq <> 1") == 0


def test_a_claim_is_not_written_down(deep_pool, db):
    db.insert_many(2000)
    deep_pool().ctl("resume")
    wait_until(lambda: db.count("completed") == 2000)
    assert_all_rated_once(db, 2000)
    # Claim and completion are two updates of a job, and here mostly one.
    wait_until(lambda: 2000 <= updates(db) < 2600)


@pytest.mark.parametrize("workers", [1, 5])
def test_claimed_and_completed_add_up(deep_pool, db, workers):
    db.insert_many(3000)
    pool = deep_pool(pool={"workers": workers})
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 3000)
    assert_all_rated_once(db, 3000)
    pool.wait_metric("jobs_completed_total", 3000)
    assert pool.metric("jobs_claimed_total") == 3000
    assert pool.metric("lines_rated_total") == 3000


def test_what_cannot_be_completed_so_is_claimed_in_the_ordinary_way(deep_pool, db):
    db.insert_many(500)
    unreadable = [db.insert(job_data=[]) for _ in range(3)]
    blank = db.insert(rep(" "))
    again = [db.insert(times_claimed=2, attempts=1) for _ in range(5)]
    twice = db.insert(rep("First."))
    other = db.insert(rep("Second."), session=db.job(twice).session_id)     # the same line of the same session
    db.insert_many(500)
    deep_pool().ctl("resume")
    wait_until(lambda: db.unsettled() == 0)
    assert [db.job(job).status for job in unreadable] == ["failed"] * 3
    assert db.job(blank).status == "completed"
    rows = [db.job(job) for job in again]
    assert [(row.status, row.times_claimed, row.attempts) for row in rows] == [("completed", 3, 1)] * 5
    assert {db.job(twice).status, db.job(other).status} == {"completed", "failed"}      # no text replaces another
    assert len(db.ratings(db.job(twice).session_id)) == 1
    assert db.count("completed") == 1000 + 1 + 5 + 1
    assert db.value("SELECT sum(rated_lines) FROM grading_sessions") == 1000 + 5 + 1


def test_a_row_the_database_will_not_take_fails_its_job_and_no_other(deep_pool, db):
    db.rows("ALTER TABLE line_ratings ADD CONSTRAINT no_poison CHECK (line_text <> 'poison')")
    db.insert_many(400)
    bad = db.insert(rep("poison"))
    db.insert_many(400)
    deep_pool().ctl("resume")
    row = db.wait(bad, "failed")
    assert "no_poison" in row.error
    wait_until(lambda: db.count("completed") == 800)
    assert db.value("SELECT max(attempts) FROM grading_jobs WHERE status = 'completed'") == 0


def test_a_crash_is_charged_to_the_job_in_hand_and_no_other(deep_pool, db):
    db.insert_many(300)
    bad = db.insert(rep("This is poisonous."))
    db.insert_many(300)
    pool = deep_pool(env=harness.preload(DRILL_POISON_READ="poisonous"))
    pool.killed_by.add(signal.SIGSEGV)
    pool.ctl("resume")
    row = db.wait(bad, "failed")
    assert row.attempts == 3 and row.times_claimed == 3, "a crash in a claim that was held makes it one that is written down"
    assert "signal 11" in row.error and "that makes 3 attempts" in row.error
    wait_until(lambda: db.count("completed") == 600)
    assert db.value("SELECT max(attempts) FROM grading_jobs WHERE status = 'completed'") == 0
    assert db.session_of(bad).failed_batches == 1


FAULTS = 20


def stay_deep(db):
    """The queue does not run dry between two faults, however fast it is worked off."""
    if db.count("pending") < 2000:
        db.insert_many(2000)


def some_useful_worker(pool, settled):
    """The pid of a worker that has completed something in its life, if there is one: its successor starts at once.

    Where none is that was killed before it did anything, each waits twice as long as the one before, and whoever
    kills in haste waits for ever. settled: what each slot had completed when its worker was killed.
    """
    useful = [row for row in pool.show("workers") if row["slot"] and row["pid"] and row["completed"] > settled[row["slot"]]]
    if not useful:
        return None
    victim = random.choice(useful)
    settled[victim["slot"]] = victim["completed"]
    return victim["pid"]


def test_killed_workers_leave_nothing_behind(deep_pool, db):
    db.insert_many(6000)
    pool = deep_pool(pool={"workers": 3})
    pool.ctl("resume")
    settled = collections.Counter()
    for _ in range(FAULTS):
        pool.kill(wait_until(lambda: some_useful_worker(pool, settled)))
        stay_deep(db)
    n = db.count()
    wait_until(lambda: db.count("completed") == n)
    assert db.value("SELECT count(*) FROM line_ratings") == n
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert db.value("SELECT count(*) FROM grading_sessions WHERE status <> 'completed' OR rated_lines <> 1") == 0


def test_terminated_connections_lose_nothing(deep_pool, db):
    db.insert_many(6000)
    pool = deep_pool(pool={"workers": 3})
    pool.ctl("resume")
    for _ in range(FAULTS):
        wait_until(lambda: db.rows("SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                                   " WHERE application_name = 'gradingd worker' AND datname = current_database()"
                                   " ORDER BY random() LIMIT 1) victim"))
        stay_deep(db)
        stays(lambda: True, 0.05)
    n = db.count()
    wait_until(lambda: db.count("completed") == n)
    assert_all_rated_once(db, n)


def test_a_stopped_worker_keeps_its_locks_no_longer_than_it_lives(deep_pool, db):
    db.insert_many(3000, text="How are you finding it, number {n}?")
    pool = deep_pool(pool={"workers": 2, "beat": "3s"})
    pool.killed_by |= {signal.SIGABRT, signal.SIGKILL}
    victim = pool.workers()[0]
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") > 200)
    pool.kill(victim, signal.SIGSTOP)
    wait_until(lambda: db.count("completed") == 3000)
    assert db.value("SELECT max(attempts) FROM grading_jobs") <= 1
    assert db.value("SELECT count(*) FROM line_ratings") == 3000


def is_at_rest(db):
    """A claim may have been under way when the order came."""
    before = db.count("pending")
    stays(lambda: True, 1)
    return db.count("pending") == before and db.value(
        "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND application_name = 'gradingd worker'"
        " AND datname = current_database()") == 0


def test_a_pause_lets_all_locks_go(deep_pool, db):
    db.insert_many(4000)
    pool = deep_pool(pool={"workers": 2})
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") > 500)
    pool.ctl("pause")
    wait_until(lambda: is_at_rest(db))
    left = db.count("pending")
    assert len(db.rows("SELECT id FROM grading_jobs WHERE status = 'pending' FOR UPDATE SKIP LOCKED")) == left
    stays(lambda: db.count("pending") == left, 0.3)
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 4000)
    assert_all_rated_once(db, 4000)


def test_a_cancelled_session_has_no_ratings_after_that(deep_pool, db):
    db.insert_many(2000)
    session = harness.new_session()
    jobs = [db.insert(rep(f"Line {n}.", first=n), session=session) for n in range(50)]
    db.insert_many(2000)
    pool = deep_pool(pool={"workers": 2})
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") > 100)
    cancelled = db.value("SELECT grading_cancel(%s)", session)
    wait_until(lambda: db.unsettled() == 0)
    rated = len(db.ratings(session))
    assert cancelled + rated == 50
    assert sorted(db.job(job).status for job in jobs) == ["completed"] * rated + ["failed"] * cancelled


def test_a_drain_ends_between_two_claims(deep_pool, db):
    db.insert_many(20000)
    pool = deep_pool(pool={"workers": 2})
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") > 500)
    pool.stop()
    done = db.count("completed")
    assert done + db.count("pending") == 20000
    assert db.value("SELECT count(*) FROM line_ratings") == done
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


@pytest.mark.parametrize("n", [700, 1999])
def test_max_jobs_is_kept_to_the_job(make_pool, db, n):
    db.insert_many(2000)
    db.insert(job_data=[], priority=1)
    pool = make_pool(db, start=False, pool={**DEEP, "workers": 3})
    result = pool.run("--once", "--max-jobs", str(n))
    assert result.returncode == 0, result.stderr
    assert (db.count("completed") + db.count("failed"), db.count("pending")) == (n, 2001 - n)


def test_higher_priorities_come_first(deep_pool, db):
    db.insert_many(3000)
    db.rows("UPDATE grading_jobs SET priority = 5 WHERE id IN (SELECT id FROM grading_jobs ORDER BY random() LIMIT 300)")
    deep_pool().ctl("resume")
    wait_until(lambda: db.count("completed") == 3000)
    assert db.value("SELECT max(completed_at) FILTER (WHERE priority = 5) <= min(completed_at) FILTER (WHERE priority = 0)"
                    " FROM grading_jobs")
    assert_all_rated_once(db, 3000)


def test_large_jobs_among_small_ones(deep_pool, db):
    db.insert_many(600)
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data) SELECT gen_random_uuid(), 'line_rating',"
            " (SELECT jsonb_build_object('transcript', jsonb_agg(jsonb_build_object('index', n, 'text', repeat('Is it so? ', 3000),"
            " 'speaker', CASE n WHEN 0 THEN 'rep' ELSE 'customer' END))) FROM generate_series(0, 29) n) FROM generate_series(1, 60)")
    db.insert_many(600)
    deep_pool(pool={"claim_batch": 64}).ctl("resume")
    wait_until(lambda: db.count("completed") == 1260)
    assert_all_rated_once(db, 1260)


def test_of_huge_jobs_few_are_taken_at_a_time(deep_pool, db):
    """Once it is known how large they are; the first claim of each worker, here two, could not know."""
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data) SELECT gen_random_uuid(), 'line_rating',"
            " (SELECT jsonb_build_object('transcript', jsonb_agg(jsonb_build_object('index', n, 'text', repeat('Is it so? ', 3000),"
            " 'speaker', CASE n WHEN 0 THEN 'rep' ELSE 'customer' END))) FROM generate_series(0, 34) n) FROM generate_series(1, 200)")
    deep_pool(pool={"claim_batch": 64, "workers": 1}).ctl("resume")
    wait_until(lambda: db.count("completed") == 200, 2 * harness.PATIENCE_S)
    claims = [row.n for row in db.rows("SELECT count(*) AS n FROM grading_jobs GROUP BY started_at ORDER BY started_at")]
    assert max(claims[2:]) <= 16


def test_workers_that_are_too_many_do_not_wait_for_stopped_ones(deep_pool, db):
    crowd = 2 * os.cpu_count()
    db.insert_many(9000)
    pool = deep_pool(pool={"workers": crowd + 2})
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") > 100)
    victims = [pid for slot, pid in sorted(pool.children().items()) if 0 < slot <= crowd]
    for victim in victims:
        pool.kill(victim, signal.SIGSTOP)
    wait_until(lambda: db.count("pending") <= crowd * 16 * 8, what="all but what the stopped ones have locked")
    for victim in victims:
        pool.kill(victim, signal.SIGCONT)
    wait_until(lambda: db.count("completed") == 9000)
    assert_all_rated_once(db, 9000)


def test_once_leaves_nothing_that_is_due(make_pool, db):
    pool = make_pool(db, start=False, pool=DEEP)
    for _ in range(4):
        db.insert_many(300)
        db.insert(rep(" "))
        db.insert_many(random.randint(100, 500))
        twice = db.insert(rep("First."))
        db.insert(rep("Second."), session=db.job(twice).session_id)
        result = pool.run("--once")
        assert result.returncode == 0, result.stderr
        assert db.unsettled() == 0
