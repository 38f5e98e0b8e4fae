"""Stopping, reloading, scaling and pausing: by signal and by the control socket, with jobs in flight."""
import contextlib
import os
import pathlib
import signal

import pytest

from harness import ControlError, config_text, elapsed, gradingctl, is_running, promptly, wait_until


def hold_jobs(pool, db, llm, n=3, **rule):
    llm.behave(dict({"do": "hang"}, **rule))
    db.insert_many(n)
    wait_until(lambda: llm.in_flight == n)


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_idle_pool_stops_at_once(make_pool, db, signo):
    pool = make_pool(db, pool={"drain": "10m"})
    assert pool.stop(signo) == 0
    assert not os.path.exists(pool.socket) and not os.path.exists(pool.socket + ".lock")


def test_term_finishes_what_is_in_hand_and_claims_nothing_more(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"in_flight": 4, "workers": 1})
    hold_jobs(pool, db, llm, 4, do="good", hold="all")
    db.insert_many(5)
    pool.send(signal.SIGTERM)
    wait_until(lambda: pool.show("status")["phase"] == "draining")
    wait_until(lambda: pool.show("workers")[1]["state"] == "draining")
    llm.release()
    assert pool.wait_exit() == 0
    assert (db.count("completed"), db.count("pending")) == (4, 5)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_past_the_drain_time_jobs_are_given_back_without_an_attempt(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"drain": "1s"}, openai={"timeout": "100s"})
    hold_jobs(pool, db, llm)
    assert elapsed(pool.stop) > 0.9
    assert pool.process.returncode == 0
    assert db.count("pending") == 3
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGQUIT]], ids=["TERM TERM", "QUIT"])
def test_stopping_at_once_gives_jobs_back_without_an_attempt(make_openai_pool, db, llm, signals):
    pool = make_openai_pool(pool={"drain": "10m"}, openai={"timeout": "100s"})
    hold_jobs(pool, db, llm)
    for n, signo in enumerate(signals):
        if n:
            wait_until(lambda: pool.show("status")["phase"] == "draining")
        pool.send(signo)
    assert pool.wait_exit() == 0        # long before its drain time, and its calls' timeout
    assert db.count("pending") == 3
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_jobs_given_back_are_rated_by_the_next_pool(make_openai_pool, db, llm):
    pool = make_openai_pool()
    hold_jobs(pool, db, llm)
    assert pool.stop(signal.SIGQUIT) == 0
    llm.behave("good")
    pool.start()
    wait_until(lambda: db.count("completed") == 3)


def test_lines_that_had_arrived_before_a_stop_are_not_asked_again(make_openai_pool, db, llm):
    """One worker: a second one that hears of the stop later may claim what the first gave back, and then a control
    question is asked about a job that was claimed three times."""
    pool = make_openai_pool(pool={"workers": 1}, rater={"lines_per_call": 1}, cache={"ttl": "0"})
    llm.behave({"do": "hang", "text": "slow"}, "good")
    job = db.insert([{"speaker": "rep", "text": text, "index": n} for n, text in enumerate(("quick", "slow"))])
    wait_until(lambda: db.value("SELECT count(*) FROM line_ratings") == 1)
    assert pool.stop(signal.SIGQUIT) == 0
    llm.behave("good")
    pool.start()
    db.wait(job, "completed")
    asked = [line["text"] for request in llm.requests for line in request["question"]["lines"]]
    assert sorted(asked) == ["quick", "slow", "slow"]


def test_drain_over_the_socket_stops_the_daemon(pool):
    pool.ctl("drain")
    assert pool.wait_exit() == 0


def test_hup_takes_the_new_file_and_replaces_every_child(pool, db):
    before = set(pool.children().values())
    pool.configure(pool={"workers": 3}, queue={"poll": "2s"})
    pool.send(signal.SIGHUP)
    wait_until(lambda: len(pool.workers()) == 3 and not before & set(pool.children().values()))
    assert pool.show("status")["reloads"] == 1
    assert {row["key"]: row["value"] for row in pool.show("config")}["queue.poll"] in ("2s", "2000ms")
    db.wait(db.insert(), "completed")


@pytest.mark.parametrize("text, word", [
    ("pool: { workers = 0; };", "workers"), ("nonsense: { };", "nonsense"), ("pool: { workers = ", "syntax"),
    ("", "control.socket")], ids=["range", "unknown", "syntax", "needs a restart"])
def test_hup_with_a_bad_file_changes_nothing(pool, db, text, word):
    before = pool.children()
    pool.write_config(text)
    pool.send(signal.SIGHUP)
    wait_until(lambda: "the old one stays" in pool.log)
    assert word in pool.log
    with pytest.raises(ControlError, match=word):
        pool.ctl("reload")
    assert pool.children() == before
    assert pool.show("status")["reloads"] == 0
    db.wait(db.insert(), "completed")


def test_a_hup_that_is_refused_is_told_until_the_next(pool, db):
    assert pool.show("status")["reload_error"] is None
    good = pathlib.Path(pool.config_path).read_text(encoding="utf-8")
    pool.write_config("nonsense: { };")
    pool.send(signal.SIGHUP)
    wait_until(lambda: "nonsense" in (pool.show("status")["reload_error"] or ""))
    assert ["nonsense" in row["error"] for row in pool.show("errors") if row["role"] == "reload"] == [True]
    said = gradingctl("-s", pool.socket, "-d", db.conninfo, "doctor").stdout
    assert "a reload was refused" in said and "nonsense" in said
    pool.write_config(good)
    pool.send(signal.SIGHUP)
    wait_until(lambda: pool.show("status")["reload_error"] is None)
    assert pool.show("status")["reloads"] == 1 and "nonsense" not in pool.ctl("show errors")


def test_a_reload_to_a_database_that_refuses_us_is_refused(pool, db, postgres):
    before = pool.children()
    pool.configure(database={"conninfo": postgres.conninfo("nowhere")})
    with pytest.raises(ControlError, match='database "nowhere" does not exist'):
        pool.ctl("reload")
    assert pool.children() == before and pool.show("status")["reloads"] == 0
    db.wait(db.insert(), "completed")


def test_a_reload_to_a_database_that_is_away_is_waited_out(pool, db, postgres):
    pool.configure(database={"conninfo": f"host={postgres.directory}/nobody port={postgres.port} dbname={db.name} user=postgres"})
    pool.ctl("reload")
    wait_until(lambda: pool.show("status")["reloads"] == 1)
    pool.configure(database={"conninfo": db.conninfo})
    pool.ctl("reload")
    db.wait(db.insert(), "completed")


def test_a_reload_to_another_rater_closes_the_breaker(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave("401")
    job = db.insert()
    wait_until(lambda: pool.show("status")["breaker"] != "closed")
    pool.configure(rater={"backend": "rubric"})
    pool.ctl("reload")
    wait_until(lambda: pool.show("status")["breaker"] == "closed")
    assert db.wait(job, "completed").attempts == 0


def test_a_reload_under_load_loses_nothing(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave({"delay_ms": 50})
    for _ in range(4):
        db.insert_many(20)
        pool.ctl("reload")
    wait_until(lambda: db.count("completed") == 80)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    wait_until(lambda: pool.show("status")["workers_alive"] == 2)


def test_scaling_up_and_down(pool, db):
    pool.ctl("scale 5")
    wait_until(lambda: pool.show("status")["workers_idle"] == 5)
    pool.ctl("scale 1")
    wait_until(lambda: len(pool.workers()) == 1)
    db.wait(db.insert(), "completed")
    assert pool.show("status")["restarts"] == 0


def test_scaling_down_finishes_the_jobs_of_those_that_go(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 3, "in_flight": 1, "claim_batch": 1})
    hold_jobs(pool, db, llm, 3, do="good", hold="all")
    pool.ctl("scale 1")
    wait_until(lambda: [row["state"] for row in pool.show("workers")].count("draining") == 2)
    llm.release()
    wait_until(lambda: db.count("completed") == 3)
    assert db.value("SELECT max(times_claimed) FROM grading_jobs") == 1
    wait_until(lambda: len(pool.workers()) == 1)


def test_scaling_back_up_before_the_old_worker_is_gone(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 2, "in_flight": 1, "claim_batch": 1})
    hold_jobs(pool, db, llm, 2, do="good", hold="all")
    pool.ctl("scale 1")
    pool.ctl("scale 2")
    llm.release()
    wait_until(lambda: db.count("completed") == 2)
    wait_until(lambda: pool.show("status")["workers_idle"] == 2)


@pytest.mark.parametrize("n", ["0", "257", "-1", "many", ""])
def test_impossible_sizes_are_refused(pool, n):
    with pytest.raises(ControlError):
        pool.ctl(f"scale {n}")
    assert pool.show("status")["workers_wanted"] == 2


def test_pause_and_resume(make_pool, db):
    pool = make_pool(db, queue={"poll": "10m"})

    def resumed_to_completed():
        pool.ctl("pause")
        job = pool.stays_pending(db)
        assert pool.show("status")["paused"] is True
        pool.ctl("resume")
        return elapsed(lambda: db.wait(job, "completed"))

    promptly(resumed_to_completed, 5)


def test_paused_workers_finish_what_they_have(make_openai_pool, db, llm):
    pool = make_openai_pool()
    hold_jobs(pool, db, llm, 3, do="good", hold="all")
    pool.ctl("pause")
    llm.release()
    wait_until(lambda: db.count("completed") == 3)


def test_recycling_replaces_workers_and_keeps_the_janitor(pool):
    before = pool.children()
    pool.ctl("recycle")
    wait_until(lambda: len(pool.workers()) == 2 and not set(pool.workers()) & set(before.values()))
    assert pool.janitor() == before[0]
    between = pool.children()
    pool.ctl("recycle 1")
    wait_until(lambda: not is_running(between[1]) and len(pool.workers()) == 2)
    assert pool.children()[2] == between[2]


def test_usr1_reopens_the_log_in_every_process(make_pool, db):
    pool = make_pool(db, start=False)
    pool.log_path = pool.directory / "gradingd.log"
    pool.configure(log={"to": str(pool.log_path)})
    pool.start()
    old = pool.directory / "gradingd.log.1"
    pool.log_path.rename(old)
    pool.send(signal.SIGUSR1)
    wait_until(lambda: not any(holds(pid, old) for pid in pool.processes()), what="the old file to be closed")
    job = db.insert(job_data=None)
    db.wait(job, "failed")
    wait_until(lambda: str(job) in pool.log, what="a worker's line in the new file")
    assert str(job) not in old.read_text()


def holds(pid, path):
    """Whether the process has this file open."""
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):        # closed since
            if descriptor.samefile(path):
                return True
    return False


def test_the_log_level_is_changed_while_running(pool, db):
    pool.ctl("log error")
    job = db.insert(job_data=None)
    pool.wait_metric("jobs_failed_total", 1)        # counted before it is logged
    wait_until(lambda: pool.show("status")["workers_idle"] == 2)
    assert str(job) not in pool.log
    pool.ctl("log info")
    job = db.insert(job_data=None)
    db.wait(job, "failed")
    wait_until(lambda: str(job) in pool.log)


def test_a_worker_retires_after_max_jobs(make_pool, db):
    pool = make_pool(db, pool={"workers": 1, "max_jobs": 10, "claim_batch": 5})
    first = pool.workers()
    db.insert_many(100)
    wait_until(lambda: db.count("completed") == 100)
    wait_until(lambda: pool.workers() and pool.workers() != first)
    pool.wait_metric("jobs_completed_total", 100)
    wait_until(lambda: pool.show("workers")[-1]["restarts"] >= 9)
    assert pool.show("status")["restarts"] == 0


def test_the_configuration_is_read_from_the_file_that_was_named(pool):
    assert config_text(pool.groups) in open(pool.config_path, encoding="utf-8").read()
    rows = {row["key"]: row["value"] for row in pool.show("config")}
    assert rows["pool.workers"] == "2" and rows["control.socket"] == pool.socket
