"""Processes that die or hang: their jobs are back within a second, and nothing is lost or rated twice."""
import json
import re
import signal

import pytest
from psycopg.types.json import Jsonb

import harness
from harness import ControlError, elapsed, is_running, new_session, promptly, rep, stays, wait_until

HANG = {"hold": "hung"}
SHORT_BEAT = {"pool": {"beat": "3s"}}


def hold_one_job(pool, db, llm, **columns):
    """A job that some worker has with a provider that says nothing: (job id, worker's pid)."""
    llm.behave(HANG)
    job = db.insert(**columns)
    wait_until(lambda: llm.in_flight == 1, what="the call to arrive")
    return job, wait_until(pool.busy)[0]


def deaths(row):
    """How many ends of a worker that held it a job has seen, free of charge."""
    return (row.result or {}).get("worker_deaths", 0)


def test_what_killed_a_worker_is_shown(pool):
    worker = pool.children()[1]
    pool.kill(worker, signal.SIGKILL)
    shown = wait_until(lambda: pool.show("errors"))[0]
    assert (shown["slot"], shown["error"]) == (1, f"pid {worker} was killed by signal 9 (Killed)")


def test_a_killed_workers_job_is_claimable_at_once(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1}, queue={"poll": "10m"})

    def killed_to_claimable():
        job, worker = hold_one_job(pool, db, llm)
        pool.ctl("pause")
        pool.kill(worker)
        took = elapsed(lambda: wait_until(lambda: db.job(job).attempts))    # a claim under way may have taken it
        row = db.job(job)
        assert (row.attempts, deaths(row)) == (1, 0), "nothing else can be to blame"
        assert "killed by signal 9 (Killed)" in row.error
        db.rows("DELETE FROM grading_jobs")
        llm.behave("good")
        llm.release()
        pool.ctl("resume")
        db.completed(rep("A worker that has done something is replaced at once."))
        wait_until(lambda: llm.in_flight == 0 and pool.show("status")["workers_idle"] == 1)
        return took

    promptly(killed_to_claimable)


def test_a_killed_workers_job_is_rated_by_another(make_openai_pool, db, llm):
    pool = make_openai_pool()
    job, worker = hold_one_job(pool, db, llm)
    llm.behave("good")
    pool.kill(worker)
    row = db.wait(job, "completed")
    assert (row.attempts, row.error) == (1, None)
    assert len(db.ratings(row.session_id)) == 1
    pool.wait_metric("jobs_recovered_total", 1)


def test_a_killed_worker_is_replaced_at_once(pool):
    victim = pool.workers()[0]
    pool.kill(victim)
    wait_until(lambda: len(pool.workers()) == 2 and victim not in pool.workers())
    pool.wait_log(f"(pid {victim}) was killed by signal 9 (Killed); starting it again at once")
    assert pool.show("status")["restarts"] == 1


def test_of_a_killed_workers_many_jobs_all_come_back(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave(HANG)
    db.insert_many(20)
    wait_until(lambda: llm.in_flight == 20)
    llm.behave("good")
    pool.kill(pool.workers()[0])
    wait_until(lambda: db.count("completed") == 20)
    assert db.value("SELECT count(*) FROM line_ratings") == 20


def test_a_job_whose_workers_crash_ends_as_failed(make_openai_pool, db, llm):
    """It is the only one that they have, and nobody kills them."""
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave(HANG)
    job = db.insert()
    for crash in range(3):
        pool.kill(wait_until(lambda: db.job(job).times_claimed == crash + 1 and pool.busy())[0], signal.SIGABRT)
        wait_until(lambda: db.job(job).attempts == crash + 1)
    row = db.job(job)
    assert (row.status, row.attempts) == ("failed", 3)
    assert "signal 6" in row.error and row.failed_at
    assert db.session_of(job).failed_batches == 1


def test_a_crash_is_charged_once_where_nobody_claims_the_job_again(make_openai_pool, db, llm):
    """The janitor looks once more whether all is back; the job is as its dead worker had it, but pending."""
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave(HANG)
    job = db.insert()
    worker = wait_until(lambda: db.job(job).times_claimed == 1 and pool.busy())[0]
    pool.ctl("pause")
    pool.kill(worker, signal.SIGABRT)
    db.wait(job, "pending")
    stays(lambda: db.job(job).attempts == 1, 2)


def test_whose_workers_are_killed_from_outside_loses_no_attempt_ten_times(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave(HANG)
    jobs = [db.insert(rep(f"After {n}."), result=Jsonb({"worker_deaths": n, "calls": 4})) for n in (0, 9, 10)]
    jobs.append(db.insert(rep("The last."), result=Jsonb({"worker_deaths": 10}), attempts=2))
    wait_until(lambda: llm.in_flight == 4)
    pool.ctl("pause")
    pool.kill(pool.workers()[0])
    wait_until(lambda: db.count("processing") == 0)
    rows = [db.job(job) for job in jobs]
    assert [(row.status, row.attempts, deaths(row)) for row in rows] == [
        ("pending", 0, 1), ("pending", 0, 10), ("pending", 1, 11), ("failed", 3, 11)]
    assert rows[0].result["calls"] == 4
    spread = [db.value("SELECT available_at > updated_at FROM grading_jobs WHERE id = %s", job) for job in jobs]
    assert spread == [False, True, True, False]


def test_how_often_its_workers_died_outlives_a_job_that_is_put_back(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "500", "first": 1}, {"hold": "later"})
    job = db.insert(result=Jsonb({"worker_deaths": 7}))
    wait_until(lambda: llm.in_flight == 1 and llm.calls == 2)
    assert deaths(db.job(job)) == 7
    llm.release()
    db.wait(job, "completed")


def test_a_crash_is_charged_to_the_job_in_hand_and_no_other(make_openai_pool, db, llm):
    """Hashing this text crashes the worker, as a defect of ours would; it has 20 jobs in the same claim."""
    pool = make_openai_pool(start=False, pool={"workers": 1})
    pool.env.update(harness.preload(DRILL_POISON="poisonous"))
    pool.killed_by.add(signal.SIGSEGV)
    pool.start()
    pool.ctl("pause")
    pool.pause()
    db.insert_many(10)
    job = db.insert(rep("Harmless.", "This is poisonous.", "Harmless, too.", first=40))
    db.insert_many(10)
    pool.ctl("resume")
    row = db.wait(job, "failed")
    assert row.attempts == 3
    assert re.search(r"signal 11 .* while it was at line 41; that makes 3 attempts", row.error), row.error
    wait_until(lambda: db.count("completed") == 20)
    assert db.value("SELECT max(attempts) FROM grading_jobs WHERE status = 'completed'") == 0
    assert db.value("SELECT count(*) FROM grading_jobs WHERE result ? 'worker_deaths'") == 0


def test_a_worker_that_keeps_dying_is_throttled(make_pool, db):
    pool = make_pool(db, pool={"workers": 1})
    deaths = 0
    while not (row := pool.show("workers")[-1])["restart_in_ms"]:
        worker = wait_until(pool.workers)[0]
        pool.kill(worker)
        deaths += 1
        wait_until(lambda: worker not in pool.workers())
        assert deaths < 10, "it is started again at once for ever"
    assert deaths >= 2, "the first death must not delay the next start"
    assert 0 < row["restart_in_ms"] <= 60000
    assert row["state"] == "waiting"
    db.wait(db.insert(), "completed")       # it comes back all the same


def test_a_hung_worker_is_killed_and_its_job_goes_on(make_openai_pool, db, llm):
    pool = make_openai_pool(**SHORT_BEAT)
    job, worker = hold_one_job(pool, db, llm)
    llm.behave("good")
    pool.killed_by |= {signal.SIGABRT, signal.SIGKILL}
    pool.kill(worker, signal.SIGSTOP)
    row = db.wait(job, "completed")
    assert row.attempts == 1
    assert not is_running(worker)
    wait_until(lambda: len(pool.workers()) == 2)
    assert re.search(rf"pid {worker}\) has not been heard of", pool.log)


def test_a_hung_janitor_is_replaced(make_pool, db):
    pool = make_pool(db, **SHORT_BEAT)
    janitor = pool.janitor()
    pool.killed_by |= {signal.SIGABRT, signal.SIGKILL}
    pool.kill(janitor, signal.SIGSTOP)
    wait_until(lambda: pool.janitor() not in (janitor, None))
    db.wait(db.insert(), "completed")


def test_the_janitor_is_replaced_and_work_goes_on(make_pool, db):
    pool = make_pool(db, queue={"poll": "10m"})
    janitor = pool.janitor()
    pool.kill(janitor)
    wait_until(lambda: pool.janitor() not in (janitor, None))
    wait_until(lambda: pool.show("status")["database_listening"])
    promptly(lambda: elapsed(lambda: db.wait(db.insert(), "completed")))       # woken, not polled for


def test_janitor_and_worker_killed_together_lose_no_job(make_openai_pool, db, llm):
    pool = make_openai_pool()
    job, worker = hold_one_job(pool, db, llm)
    llm.behave("good")
    pool.kill(pool.janitor(), signal.SIGSTOP)       # so that it cannot see the worker's death
    pool.kill(worker)
    wait_until(lambda: worker not in pool.workers())
    pool.kill(pool.janitor())
    assert db.wait(job, "completed").attempts == 1


def test_children_do_not_outlive_a_killed_supervisor(make_openai_pool, db, llm):
    pool = make_openai_pool()
    hold_one_job(pool, db, llm)
    children = pool.children().values()
    pool.kill(pool.pid)
    wait_until(lambda: not any(map(is_running, children)), 20)      # well before the call they wait for is given up


def test_a_new_pool_takes_over_what_a_killed_one_had(make_openai_pool, db, llm):
    pool = make_openai_pool()
    job, _ = hold_one_job(pool, db, llm)
    for pid in [pool.pid, *pool.children().values()]:       # nobody is left to give anything back
        pool.kill(pid, signal.SIGSTOP)
    for pid in pool.processes():
        pool.kill(pid)
    pool.wait_dead()
    assert db.job(job).status == "processing"
    llm.behave("good")
    pool.start()
    row = db.wait(job, "completed")
    assert (row.attempts, deaths(row)) == (0, 5), "nobody knows what it had to do with that"
    assert len(db.ratings(row.session_id)) == 1


def test_the_only_job_of_one_pool_after_the_other_ends_as_failed(make_openai_pool, db, llm):
    """It may be what kills them: two go free, each one after that costs an attempt."""
    pool = make_openai_pool(start=False, pool={"workers": 1})
    llm.behave(HANG)
    job = db.insert(result=Jsonb({"worker_deaths": 5}))
    for death in range(4):
        pool.start()
        wait_until(lambda: db.job(job).times_claimed == death + 1)
        for signo in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pool.processes():
                pool.kill(pid, signo)
        pool.wait_dead()
    pool.start()
    row = db.wait(job, "failed")
    assert (row.attempts, deaths(row)) == (3, 25)
    assert "went away with its host or its pool" in row.error


def test_a_killed_pools_socket_and_lock_are_no_obstacle(make_pool, db):
    pool = make_pool(db)
    pool.kill(pool.pid)
    pool.wait_dead()
    pool.wait_gone()
    pool.start()
    db.wait(db.insert(), "completed")


def lose_claim(db, job):
    """What the runbook's last statement does, without waiting ten minutes."""
    db.rows("UPDATE grading_jobs SET status = 'pending', attempts = attempts + 1 WHERE id = %s", job)


def test_a_late_result_after_a_lost_claim_is_dropped_and_counted(make_openai_pool, db, llm):
    """Without a cache, so that the second claim asks for itself instead of waiting for the first one's answer."""
    pool = make_openai_pool(cache={"ttl": "0"})
    llm.behave({"hold": "late", "first": 1}, "good")
    job = db.insert(rep("Are you the homeowner?"))
    wait_until(lambda: llm.in_flight == 1)
    lose_claim(db, job)
    row = db.wait(job, "completed")
    llm.release()
    pool.wait_metric("claims_lost_total", 1)
    assert row.times_claimed == 2
    assert len(db.ratings(row.session_id)) == 1
    session = db.session(row.session_id)
    assert (session.completed_batches, session.rated_lines, session.rated_seq) == (1, 1, 1)


def test_a_late_result_does_not_wake_a_job_that_was_ended_by_hand(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave({"hold": "late"})
    session = new_session()
    job = db.insert(session=session)
    wait_until(lambda: llm.in_flight == 1)
    db.rows("UPDATE grading_jobs SET status = 'failed', error = 'by hand', failed_at = now() WHERE id = %s", job)
    llm.release()
    pool.wait_metric("claims_lost_total", 1)
    assert db.job(job).error == "by hand"
    assert db.ratings(session) == []


def test_a_late_result_for_a_deleted_job_is_dropped(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave({"hold": "late"})
    session = new_session()
    db.insert(session=session)
    wait_until(lambda: llm.in_flight == 1)
    db.rows("DELETE FROM grading_jobs")
    llm.release()
    pool.wait_metric("claims_lost_total", 1)
    assert db.ratings(session) == []


@pytest.mark.parametrize("late", [1, 3])
def test_lines_that_arrive_while_earlier_ones_are_being_stored_are_not_lost(make_openai_pool, db, llm, late):
    pool = make_openai_pool(rater={"lines_per_call": 1}, pool={"workers": 1})
    llm.behave({"text": "early", "hold": "early"}, {"hold": "late"})
    session = new_session()
    job = db.insert(rep("early", *[f"late {n}" for n in range(late)]), session=session)
    wait_until(lambda: llm.in_flight == late + 1)
    with db.connect(autocommit=False) as blocker:
        blocker.execute("SELECT FROM grading_sessions WHERE session_id = %s FOR UPDATE", (session,))
        llm.release("early")
        db.wait_blocked()       # the first line is being stored
        llm.release("late")
        pool.wait_metric("rater_calls_total", late + 1)
    row = db.wait(job, "completed")
    assert len(db.ratings(session)) == late + 1
    assert db.session(session).rated_lines == late + 1
    assert (row.attempts, row.times_claimed) == (0, 1)
    wait_until(lambda: pool.show("status")["jobs_in_flight"] == 0)


def test_under_random_kills_every_line_is_rated_exactly_once(make_pool, db):
    pool = make_pool(db, pool={"workers": 3, "claim_batch": 4})
    transcript = [line for n in range(0, 40, 2) for line in
                  (*rep(f"Line {n}", first=n), *rep("Hm.", first=n + 1, speaker="customer"))]
    sessions = [new_session() for _ in range(60)]
    for n, session in enumerate(sessions):
        db.row("SELECT grading_enqueue(%s, %s::jsonb)", session, json.dumps(transcript))
        if n % 6 == 5:
            victims = pool.workers()
            if victims:
                pool.kill(victims[n % len(victims)])
    wait_until(lambda: db.count("completed") + db.count("failed") == 60 * 8, timeout=90)
    assert db.count("failed") == 0
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert db.value("SELECT count(*) FROM line_ratings") == 60 * 20
    assert db.value("SELECT count(*) FROM grading_sessions WHERE rated_lines = 20 AND completed_batches = 8"
                    " AND total_batches = 8 AND status = 'completed'") == 60


def test_the_socket_answers_while_every_child_is_stopped(pool):
    children = list(pool.children().values())
    for pid in children:
        pool.kill(pid, signal.SIGSTOP)
    try:
        assert pool.show("status")["phase"] == "up"
    except ControlError as error:
        pytest.fail(str(error))
    finally:
        for pid in children:
            pool.kill(pid, signal.SIGCONT)
