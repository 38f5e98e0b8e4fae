"""Requests and tokens a minute, and calls open at a time: one budget for all workers of a host."""
import pytest

from harness import new_session, rep, stays, wait_until

MINUTE_S = 62       # a whole limit is spread over so long
MARGIN_S = 2        # what may come at once, late, or be on its way


def limits(pool):
    return pool.show("limits")


def fullest(requests, seconds, weight=lambda request: 1):
    """The most that came in any window of so many seconds, by the server's clock."""
    requests = sorted(requests, key=lambda request: request["at"])
    most = inside = first = 0
    for request in requests:
        inside += weight(request)
        while request["at"] - requests[first]["at"] >= seconds:
            inside -= weight(requests[first])
            first += 1
        most = max(most, inside)
    return most


def check_pace(llm, per_minute):
    """What a pace promises for a minute holds for shorter times, less the margin that a minute has."""
    for seconds in (0.5, 2, 5, 10):
        assert fullest(llm.requests, seconds) <= (seconds + MARGIN_S) / MINUTE_S * per_minute + 1


def test_all_workers_share_one_budget(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"requests_per_minute": 1200}, pool={"workers": 6})
    db.insert_many(150)
    wait_until(lambda: db.count("completed") == 150 or db.count("processing") > 40)
    assert db.count("completed") == 150, "jobs are claimed before there is room for them"
    check_pace(llm, 1200)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert db.value("SELECT max(times_claimed) FROM grading_jobs") == 1
    wait_until(lambda: limits(pool)["requests_last_minute"] == llm.calls == 150)


def test_a_worker_that_has_to_wait_asks_nobody(make_openai_pool, db, llm):
    """With one a minute the first goes out after a minute."""
    pool = make_openai_pool(openai={"requests_per_minute": 1}, pool={"workers": 4}, queue={"poll": "1h"})
    db.insert_many(10)
    shown = limits(pool)
    assert shown["requests_free"] == 0 and 10000 < shown["next_claim_ms"] <= 1000 * MINUTE_S
    stays(lambda: db.count("processing") == 0, 0.5)
    statements = pool.metric("statements_total")
    stays(lambda: db.count("processing") == 0 and llm.calls == 0, 3)
    assert pool.metric("statements_total") - statements <= 2       # the janitor's, if any
    assert pool.metric("claim_wait_milliseconds") > 10000


def test_a_reload_changes_the_limits(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"requests_per_minute": 1})
    job = db.insert()
    stays(lambda: llm.calls == 0, 1)
    pool.configure(openai={"requests_per_minute": 6000})
    pool.ctl("reload")
    assert limits(pool)["next_claim_ms"] < 2000
    db.wait(job, "completed", timeout=30)
    pool.configure(openai={"requests_per_minute": 1})
    pool.ctl("reload")
    assert limits(pool)["next_claim_ms"] > 50000


def test_lines_that_need_no_call_take_no_request(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"requests_per_minute": 20})
    db.wait(db.insert(rep("The same.")), "completed")
    db.insert_many(60, "The same.")
    wait_until(lambda: db.count("completed") == 61, 30)
    assert llm.calls == 1
    assert limits(pool)["requests_last_minute"] == 1


def test_the_further_calls_of_a_job_keep_the_pace(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"requests_per_minute": 600}, rater={"lines_per_call": 1})
    row, ratings = db.completed(rep(*[f"Line {n}." for n in range(30)]))
    assert len(ratings) == llm.calls == 30 and row.times_claimed == 1
    check_pace(llm, 600)
    wait_until(lambda: limits(pool)["calls_open"] == 0)


def test_a_job_that_would_wait_for_long_goes_back_with_what_it_has(make_openai_pool, db, llm):
    """Eight a minute: its second call would come more than 5 s after the first one."""
    make_openai_pool(openai={"requests_per_minute": 8}, rater={"lines_per_call": 1})
    session = new_session()
    job = db.insert(rep("One.", "Two."), session=session)
    wait_until(lambda: len(db.ratings(session)) == 1 and db.job(job).status == "pending")
    assert "openai.requests_per_minute" in db.job(job).error
    row = db.wait(job, "completed")
    assert (row.attempts, row.times_claimed, llm.calls, row.error) == (0, 2, 2, None)
    assert len(db.ratings(session)) == 2
    assert llm.requests[1]["at"] - llm.requests[0]["at"] > 5


def test_a_permit_that_grew_old_is_not_lost(make_openai_pool, db, llm):
    """The look-up of the claimed job's line takes longer than a permit is good for."""
    make_openai_pool(openai={"requests_per_minute": 20}, pool={"workers": 1})
    with db.connect(autocommit=False) as other:
        other.execute("LOCK TABLE phrase_cache IN ACCESS EXCLUSIVE MODE")
        job = db.insert()
        db.wait(job, "processing")
        stays(lambda: llm.calls == 0, 1)
    row = db.wait(job, "completed")
    assert (row.times_claimed, row.attempts, llm.calls) == (1, 0, 1)


def test_a_killed_worker_leaks_nothing(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"requests_per_minute": 1200}, pool={"workers": 3, "in_flight": 8})
    llm.behave({"hold": "all"})
    db.insert_many(60)
    for _ in range(3):
        wait_until(lambda: limits(pool)["calls_open"] == llm.in_flight == 24)
        pool.kill(wait_until(pool.busy)[0])
    wait_until(lambda: limits(pool)["calls_open"] == llm.in_flight == 24)
    llm.release()
    wait_until(lambda: db.count("completed") == 60)
    check_pace(llm, 1200)
    wait_until(lambda: limits(pool)["calls_open"] == 0)
    # All that can be free at once, with workers that have nothing to ask for.
    wait_until(lambda: limits(pool)["requests_free"] == 15)


def test_a_limited_rate_halves_what_is_open(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 2, "in_flight": 20})
    llm.behave({"hold": "all"})
    db.insert_many(40)
    wait_until(lambda: llm.in_flight == 40)
    shown = limits(pool)
    assert shown["calls_open"] == 40 and shown["calls_window"] is None and shown["window_halvings"] == 0
    llm.behave({"do": "429", "first": 1, "text": "one too many"}, {"hold": "all"})
    db.insert(rep("one too many"), priority=9)
    pool.ctl("scale 3")
    wait_until(lambda: limits(pool)["window_halvings"] == 1)
    assert limits(pool)["calls_window"] in (20, 21)
    db.insert_many(100)
    # Those open are more than there should be: nothing is claimed until half of them are through.
    stays(lambda: limits(pool)["calls_open"] <= 41 and llm.in_flight <= 41, 1)
    llm.release()
    wait_until(lambda: db.count("completed") == 141)
    assert pool.metric("window_halvings_total") == 1
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_the_open_calls_find_what_the_provider_takes(make_openai_pool, db, llm):
    """It answers 429 above 10 at a time, so more are tried now and then, but not all the time."""
    pool = make_openai_pool(pool={"workers": 4, "in_flight": 16})
    llm.behave({"do": "429", "above": 10}, {"delay_ms": 50})
    db.insert_many(600)
    wait_until(lambda: (limits(pool)["calls_window"] or 99) <= 10)
    low = limits(pool)["window_halvings"]
    wait_until(lambda: db.count("completed") == 600 or limits(pool)["window_halvings"] > low + 1)
    wait_until(lambda: db.count("completed") == 600, 120)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert llm.served["429"] < 300
    llm.behave({"delay_ms": 20})
    window = limits(pool)["calls_window"] or 99
    db.insert_many(1500, "More {n}.")
    wait_until(lambda: (limits(pool)["calls_window"] or 99) > window or window == 99, what="the window to climb")
    wait_until(lambda: db.count("completed") == 2100, 120)


def test_tokens_are_settled_as_reported(make_openai_pool, db, llm):
    """Far fewer than its text lets expect: what was thought too much is given back, and learnt."""
    pool = make_openai_pool(openai={"tokens_per_minute": 60000}, pool={"workers": 4})
    llm.behave({"tokens": 200})
    db.insert_many(60)
    wait_until(lambda: db.count("completed") == 60)
    wait_until(lambda: limits(pool)["tokens_last_minute"] == 60 * 200)
    assert limits(pool)["tokens_per_call"] == 200
    for seconds in (2, 5, 10):
        assert fullest(llm.requests, seconds, lambda r: 200) <= (seconds + MARGIN_S) / MINUTE_S * 60000 + 200


def test_calls_that_took_more_than_was_thought_are_paid_for(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"tokens_per_minute": 60000}, pool={"workers": 2})
    llm.behave({"tokens": 20000})
    db.insert_many(20)
    wait_until(lambda: limits(pool)["tokens_last_minute"] >= 20000)
    wait_until(lambda: limits(pool)["next_claim_ms"] > 10000)
    assert limits(pool)["tokens_free"] == 0
    wait_until(lambda: db.count("processing") == 0)
    calls = llm.calls
    stays(lambda: db.count("processing") == 0 and llm.calls == calls, 2)
    assert db.count("pending") == 20 - calls > 0


def test_a_call_larger_than_a_minutes_tokens_goes_alone(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"tokens_per_minute": 200})
    db.wait(db.insert(rep("A line of some length. " * 100)), "completed")
    later = db.insert()
    assert 50000 < limits(pool)["next_claim_ms"] <= 63000
    stays(lambda: db.job(later).status == "pending" and llm.calls == 1, 1)


@pytest.mark.parametrize("do", ["503", "401"])
def test_failed_calls_and_probes_count(make_openai_pool, db, llm, do):
    pool = make_openai_pool(openai={"requests_per_minute": 3000})
    llm.behave({"do": do, "first": 6}, "good")
    db.insert_many(5)
    wait_until(lambda: db.count("completed") == 5)
    wait_until(lambda: limits(pool)["requests_last_minute"] == llm.calls)
    assert llm.calls >= 11


def test_a_fallback_keeps_to_the_limits_too(make_openai_pool, db, llm):
    pool = make_openai_pool(openai={"requests_per_minute": 1200}, pool={"workers": 3},
                            rater={"backend": "command", "fallback": "openai"}, command={"argv": ["/bin/false"]})
    pool.alarms_expected = True     # the program's, not ours
    db.insert_many(60)
    wait_until(lambda: db.count("completed") == 60)
    assert llm.calls == 60 and db.value("SELECT max(attempts) FROM grading_jobs") == 0
    check_pace(llm, 1200)
    wait_until(lambda: limits(pool)["requests_last_minute"] == 60)


def test_a_job_whose_calls_the_limits_keep_beyond_its_deadline_loses_no_attempt(make_openai_pool, db, llm):
    """Two calls a second, in three seconds: what it has is kept, and the next claim goes on from there."""
    make_openai_pool(openai={"requests_per_minute": 120}, rater={"lines_per_call": 1}, queue={"job_deadline": "3s"},
                     pool={"workers": 1})
    session = new_session()
    job = db.insert(rep(*[f"Line {n}." for n in range(16)]), session=session)
    row = db.wait(job, "completed", "failed")
    assert (row.status, row.attempts, row.error) == ("completed", 0, None)
    assert row.times_claimed > 1 and len(db.ratings(session)) == 16 and llm.calls <= 16 + row.times_claimed
