"""Two pools on one database: no job twice, no job of the other's touched, maintenance by one at a time."""
import os
import shutil
import subprocess

import pytest

from harness import GRADINGD, PATIENCE_S, rep, stays, wait_until


def test_two_pools_share_the_work(make_pool, db):
    pools = [make_pool(db, pool={"workers": 2, "claim_batch": 10}) for _ in range(2)]
    db.insert_many(1000)
    wait_until(lambda: db.count("completed") == 1000)
    assert db.value("SELECT max(times_claimed) FROM grading_jobs") == 1
    assert db.value("SELECT count(*) FROM line_ratings") == 1000
    wait_counted(pools, 1000)


def wait_counted(pools, n):
    """Together they count so many jobs, and then no more."""
    wait_until(lambda: sum(pool.metric("jobs_completed_total") for pool in pools) == n)
    stays(lambda: sum(pool.metric("jobs_completed_total") for pool in pools) == n, 0.2)


def test_a_pool_leaves_the_living_ones_jobs_alone(make_openai_pool, db, llm):
    first = make_openai_pool()
    llm.behave({"hold": "answer"})
    job = db.insert()
    wait_until(lambda: llm.in_flight == 1)
    second = make_openai_pool()
    wait_until(lambda: has_looked(second))
    llm.release()
    row = db.wait(job, "completed")
    assert row.times_claimed == 1
    first.wait_metric("jobs_completed_total", 1)
    assert second.metric("jobs_claimed_total") == 0


def has_looked(pool):
    """Its janitor has had several looks at who holds which jobs, and time to do something about it."""
    return pool.show("queue")["processing"] == 1 and pool.metric("statements_total") >= 8


def test_a_pool_takes_over_from_one_that_was_killed(make_openai_pool, db, llm):
    first, second = make_openai_pool(), make_openai_pool()
    second.pause()
    llm.behave("hang")
    db.insert_many(5)
    wait_until(lambda: llm.in_flight == 5)
    llm.behave("good")
    for pid in first.processes():
        first.kill(pid)
    first.wait_dead()
    second.ctl("resume")
    wait_until(lambda: db.count("completed") == 5)
    assert db.value("SELECT max(attempts) FROM grading_jobs") <= 1


def test_jobs_of_an_unknown_host_are_left_to_the_reaper(make_pool, db):
    make_pool(db, queue={"poll": "200ms"})
    foreign = db.insert(status="processing", claimed_by="elsewhere/12345678/4711/99", claim=1,
                        started_at=db.value("SELECT now()"))
    stays(lambda: db.job(foreign).status == "processing", 1)


def test_two_sleeping_pools_rate_each_job_once(make_pool, db):
    pools = [make_pool(db) for _ in range(2)]
    for pool in pools:
        wait_until(lambda: pool.show("status")["database_listening"])
    for n in range(20):
        db.completed(rep(f"Line {n}."))
    wait_counted(pools, 20)


def can_unshare():
    return shutil.which("unshare") and os.geteuid() == 0 and subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False,
        timeout=PATIENCE_S).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="no pid namespaces here")
def test_two_containers_of_one_host_name_do_not_take_each_others_jobs(make_openai_pool, db, llm):
    """Same kernel and name, but each sees only its own processes."""
    make_openai_pool()
    llm.behave({"hold": "answer"})
    job = db.insert()
    wait_until(lambda: llm.in_flight == 1)
    second = make_openai_pool(start=False)
    with open(second.log_path, "ab") as log:
        second.process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child=TERM", "--mount-proc", GRADINGD,
                                           "-c", second.config_path], env=second.env, stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL)
    try:
        second.wait_up()
        wait_until(lambda: has_looked(second))
        llm.release()
        assert db.wait(job, "completed").times_claimed == 1
    finally:
        second.ctl("drain")
        second.process.wait(PATIENCE_S)
