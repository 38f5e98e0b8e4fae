"""Failed calls by their class: whose fault they are, and when the provider is asked again."""
import itertools
import time

import pytest

from harness import rep, stays, wait_until

DENIED = ["401", "403", "404", "402", "insufficient_quota", "redirect"]


def status(pool):
    return pool.show("status")


@pytest.mark.parametrize("do", DENIED)
def test_one_refusal_of_our_account_pauses_the_pool_and_says_so(make_openai_pool, db, llm, do):
    pool = make_openai_pool()
    llm.behave(do)
    job = db.insert()
    wait_until(lambda: status(pool)["breaker"] != "closed")
    assert llm.calls <= 2
    shown = wait_until(lambda: (s := status(pool))["breaker"] != "closed" and s)
    assert "waiting for an operator" in shown["summary"] and shown["breaker_reason"]
    pool.wait_log("the breaker is open")
    wait_until(lambda: db.job(job).status == "pending")
    assert db.job(job).attempts == 0
    wait_until(lambda: pool.metric("rater_denied_total") >= 1)


@pytest.mark.parametrize("headers", [{"retry_after": 3}, {"retry_after": "date:4"}, {"retry_after_ms": 3000},
                                     {"retry_after": 1, "retry_after_ms": 3000}, {"retry_after": "2.9"}])
def test_retry_after_holds_for_the_whole_pool(make_openai_pool, db, llm, headers):
    """Calls that were in flight with the limited one and succeed do not end the pause."""
    pool = make_openai_pool()
    llm.behave({"do": "429", "text": "limited", "first": 1, **headers}, {"text": "slow", "hold": "slow"}, "good")
    db.insert_many(6, "slow {n}")
    wait_until(lambda: llm.in_flight == 6)
    db.insert(rep("limited"))
    limited = wait_until(lambda: next((r["at"] for r in llm.requests if r["do"] == "429"), None))
    wait_until(lambda: "limits our rate" in status(pool)["summary"])
    llm.release()
    wait_until(lambda: db.count("completed") == 6)
    db.insert_many(5)
    summary = status(pool)["summary"]
    assert "limits our rate" in summary or time.monotonic() - limited > 2.85, "nobody says so, although the pause lasts"
    wait_until(lambda: db.count("completed") == 12)
    later = [r["at"] - limited for r in llm.requests if r["at"] > limited]
    assert min(later) >= 2.85, later
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_a_date_is_by_the_providers_clock(make_openai_pool, db, llm):
    """Both its clock and the date are an hour behind ours: the wait is what lies between them."""
    make_openai_pool()
    llm.behave({"do": "429", "first": 1, "retry_after": "date:-3597", "clock": -3600}, "good")
    db.wait(db.insert(), "completed")
    assert llm.requests[1]["at"] - llm.requests[0]["at"] >= 2


@pytest.mark.parametrize("after", [99999, "date:99999", "99999999999999999999", "1e300"])
def test_a_long_retry_after_is_bounded(make_openai_pool, db, llm, after):
    pool = make_openai_pool()
    llm.behave({"do": "429", "retry_after": after})
    job = db.insert()
    wait_until(lambda: status(pool)["breaker"] != "closed")
    assert 100000 < status(pool)["breaker_until_ms"] <= 120000
    wait_until(lambda: db.job(job).status == "pending")
    wait = db.value("SELECT extract(epoch FROM available_at - updated_at) FROM grading_jobs")
    assert 119 <= wait <= 181


@pytest.mark.parametrize("after", ["soon", "-5", "0", "", "nan", "date:-50"])
def test_a_retry_after_of_no_use_is_none(make_openai_pool, db, llm, after):
    make_openai_pool()
    llm.behave({"do": "429", "first": 1, "retry_after": after}, "good")
    db.wait(db.insert(), "completed")       # within less than what the longest of them is cut to


def test_a_job_of_many_calls_stops_at_the_first_limit(make_openai_pool, db, llm):
    make_openai_pool(rater={"lines_per_call": 1}, pool={"workers": 1})
    llm.behave({"do": "429", "first": 4, "retry_after": 2}, "good")
    job = db.insert(rep(*[f"Line {n}." for n in range(12)]))
    wait_until(lambda: llm.calls == 4)
    stays(lambda: llm.calls == 4, 1)
    assert db.wait(job, "completed").attempts == 0
    assert llm.calls == 16


def test_claimed_jobs_that_were_not_asked_yet_wait_with_the_breaker(make_openai_pool, db, llm):
    """The breaker opens while another worker's claim is on its way: no call follows."""
    pool = make_openai_pool(pool={"workers": 4, "claim_batch": 1})
    llm.behave({"do": "429", "retry_after": 3})
    db.insert_many(100)
    wait_until(lambda: status(pool)["breaker"] != "closed")
    wait_until(lambda: db.count("processing") == 0)
    calls = llm.calls
    stays(lambda: llm.calls == calls, 1)
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 100)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


@pytest.mark.parametrize("do", ["500", "408", "409", "hang", "close", "reset", "garbage", "error_in_200", "bad_gzip"])
def test_a_call_nobody_is_to_blame_for_costs_nothing_at_first(make_openai_pool, db, llm, do):
    """Others get answers, so the job is suspected; it backs off free of charge, and only then pays."""
    pool = make_openai_pool(openai={"timeout": "2s"} if do == "hang" else {})
    llm.behave({"do": do, "text": "odd", "first": 2}, "good")
    job = db.insert(rep("odd"))
    others = itertools.count()

    def done_beside_others():
        db.insert(rep(f"Other {next(others)}."))
        return db.job(job).status == "completed"

    wait_until(done_beside_others, pause=0.05)
    assert db.job(job).attempts == 0
    wait_until(lambda: db.unsettled() == 0)
    wait_until(lambda: pool.metric("rater_unclear_total") + pool.metric("rater_away_total") >= 1)
