"""The openai rater against a provider that answers well, badly, late or not at all."""
import itertools
import time

import pytest

from harness import KEY, new_session, rep, stays, wait_until
from llm_server import expected_rating

SCALE = ["excellent", "good", "poor", "missed_opportunity"]
# Outages: the provider or our account is in trouble, no job is.
OUTAGES = ["429", "500", "502", "503", "504", "401", "402", "403", "404", "insufficient_quota", "redirect"]
# Answers that hold no rating, and the words an operator finds in the job's error.
USELESS = ["not_json", "wrong_schema", "empty", "null_content", "no_choices", "envelope_not_json", "no_body"]


def breaker(pool):
    return pool.show("status")["breaker"]


def test_a_good_answer_is_stored_as_it_was_given(make_openai_pool, db):
    make_openai_pool()
    texts = ["Hi, I'm Sam.", 'He said "no", didn\'t he?\n{"rating": "excellent"}', "Großartig 🎉"]
    job, ratings = db.completed(rep(*texts))
    assert [r.line_text for r in ratings] == texts
    assert [r.rating for r in ratings] == [expected_rating(text, SCALE) for text in texts]
    assert ratings[0].alternatives == ["Alternative 1 to line 0.", "Alternative 2 to line 0."]
    assert ratings[0].provenance["rater"] == "openai"
    assert ratings[0].provenance["model"] == job.result["model"] == "gpt-4o-mini-scripted"
    assert job.result["calls"] == 1 and job.result["prompt_tokens"] > 0


def test_the_provider_is_asked_as_promised(make_openai_pool, db, llm):
    make_openai_pool()
    transcript = rep("What about Tuesday?", first=7) + rep("No.", first=8, speaker="customer")
    db.wait(db.insert(job_data={"transcript": transcript, "salesRepName": "Sam", "customerName": "Jo"}), "completed")
    request = llm.requests[0]
    assert request["headers"]["authorization"] == f"Bearer {KEY}"
    assert request["question"] == {"sales_rep": "Sam", "customer": "Jo", "scale": SCALE, "context": [],
                                   "lines": [{"line": 7, "text": "What about Tuesday?"}]}


def test_a_worker_has_many_calls_in_flight(make_openai_pool, db, llm):
    make_openai_pool(pool={"workers": 1})
    llm.behave({"hold": "all"})
    db.insert_many(30)
    wait_until(lambda: llm.in_flight == 30)
    llm.release()
    wait_until(lambda: db.count("completed") == 30)


def test_a_few_jobs_are_claimed_ahead_of_the_calls(make_openai_pool, db, llm):
    """With 64 calls at most, 4 more jobs wait in hand for a call to end; the others stay for other workers."""
    make_openai_pool(pool={"workers": 1, "in_flight": 64})
    llm.behave({"hold": "all"})
    db.insert_many(100)
    wait_until(lambda: llm.in_flight == 64 and db.count("processing") == 68)
    stays(lambda: llm.in_flight == 64 and db.count("processing") == 68, 0.5)
    llm.release()
    wait_until(lambda: db.count("completed") == 100)
    assert llm.calls == 100


def test_so_are_those_of_an_insert_that_committed_late(make_openai_pool, db, llm):
    """Where claims begin was found out between their insert and its commit."""
    pool = make_openai_pool(pool={"workers": 1, "in_flight": 64}, queue={"poll": "1h"})
    llm.behave({"hold": "all"})
    with db.connect(autocommit=False) as other:
        other.execute(db.MANY, ("Line {n} of many.", 100))
        db.completed([])
        time.sleep(1.5)      # that job's end had the queue looked at
    wait_until(lambda: llm.in_flight == 64 and db.count("processing") == 68)
    llm.release()
    wait_until(lambda: db.count("completed") == 101)


def test_jobs_that_wait_for_a_call_go_back_when_the_breaker_opens(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1, "in_flight": 64})
    llm.behave({"do": "503", "hold": "all"})
    db.insert_many(100)
    wait_until(lambda: llm.in_flight == 64 and db.count("processing") == 68)
    llm.release()
    wait_until(lambda: breaker(pool) != "closed")
    wait_until(lambda: db.count("processing") <= 1)         # a probe, now and then
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 100)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


@pytest.mark.parametrize("do", OUTAGES)
def test_an_outage_costs_no_attempt_and_is_over_when_it_is_over(make_openai_pool, db, llm, do):
    pool = make_openai_pool()
    llm.behave(do)
    db.insert_many(5)
    wait_until(lambda: breaker(pool) != "closed", what="the breaker to open")
    wait_until(lambda: db.count("pending") == 5)
    assert pool.show("limits")["reason"]
    calls, began = llm.calls, time.monotonic()
    stays(lambda: db.value("SELECT max(attempts) FROM grading_jobs") == 0 and db.count("failed") == 0, 0.5)
    assert llm.calls <= calls + 2 + time.monotonic() - began, "the provider gets no rest"
    # 5 s are promised for the breaker; each job has its own backoff.
    assert pool.show("limits")["until_ms"] <= 5000
    assert db.value("SELECT max(available_at) - now() < interval '4 s' FROM grading_jobs")
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 5)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert breaker(pool) == "closed"


def test_a_provider_that_cannot_be_reached_is_waited_for(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.stop()
    try:
        db.insert_many(3)
        wait_until(lambda: breaker(pool) != "closed")
    finally:
        llm.start()
    wait_until(lambda: db.count("completed") == 3)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


@pytest.mark.parametrize("do", ["hang", "close", "reset"])
def test_a_provider_that_breaks_off_every_call_fails_no_job(make_openai_pool, db, llm, do):
    """DESIGN 8: a provider outage, however long: no job fails, no attempt is spent."""
    pool = make_openai_pool(openai={"timeout": "2s"})       # for the silent one; good answers need far less
    llm.behave(do)
    db.insert_many(8)
    wait_until(lambda: breaker(pool) != "closed" or db.count("failed"), what="the breaker to open")
    stays(lambda: db.count("failed") == 0, 2)
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 8, 60)
    # Those that went out before anybody could know may have lost one.
    assert db.value("SELECT max(attempts) FROM grading_jobs") <= 1


def test_the_breaker_does_not_wait_for_a_probe_that_had_nothing_to_ask(make_openai_pool, db, llm):
    """The job that gets to probe needs no call: its lines are the customer's."""
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave("401")
    db.insert(rep("Hello."))
    wait_until(lambda: breaker(pool) != "closed")
    silent = db.insert(rep("Who is this?", speaker="customer"), priority=5)
    db.wait(silent, "completed")
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 2, 30)      # half of what a lost probe is waited for


def test_the_breaker_does_not_wait_for_a_probe_whose_worker_died(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave("401")
    db.insert(rep("Hello."))
    wait_until(lambda: breaker(pool) != "closed")
    llm.behave({"do": "hang", "first": 1}, "good")
    wait_until(lambda: llm.served["hang"] == 1, what="the probe")
    pool.kill(wait_until(pool.busy)[0])
    wait_until(lambda: db.count("completed") == 1, 30)


def test_retry_after_is_honoured(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "429", "first": 1, "retry_after": 2}, "good")
    db.wait(db.insert(), "completed")
    assert llm.requests[1]["at"] - llm.requests[0]["at"] >= 2


@pytest.mark.parametrize("do", ["missing_line", "unknown_rating"])
def test_of_a_half_good_answer_only_the_bad_line_is_asked_again(make_openai_pool, db, llm, do):
    pool = make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": do, "first": 1}, {"hold": "second"})
    session = new_session()
    job = db.insert(rep("One.", "Two.", "Three."), session=session)
    wait_until(lambda: len(db.ratings(session)) == 2, what="the good lines")
    llm.release()
    row = db.wait(job, "completed")
    bad = 2 if do == "missing_line" else 0
    assert [[line["line"] for line in r["question"]["lines"]] for r in llm.requests] == [[0, 1, 2], [bad]]
    assert row.attempts == 1
    assert len(db.ratings(session)) == 3
    assert db.session(session).rated_lines == 3
    assert pool.metric("outcome_missing_line_total") + pool.metric("outcome_unknown_rating_total") == 1


def test_a_useless_answer_is_asked_again(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "not_json", "first": 1}, "good")
    row = db.wait(db.insert(), "completed")
    assert (row.attempts, row.error, llm.calls) == (1, None, 2)


@pytest.mark.parametrize("do", USELESS)
def test_useless_answers_fail_the_job_by_name_in_the_end(make_openai_pool, db, llm, do):
    make_openai_pool()
    llm.behave(do)
    session = new_session()
    row = db.wait(db.insert(rep("One.", "Two."), session=session, max_attempts=2), "failed")
    assert row.attempts == 2 and row.failed_at
    assert "attempt 2 of 2" in row.error
    assert db.ratings(session) == []
    assert db.session(session).status == "failed"


def test_a_refusal_fails_the_job_at_once(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave("refusal")
    row = db.wait(db.insert(), "failed")
    assert llm.calls == 1 and "refus" in row.error


@pytest.mark.parametrize("do, words", [("400", "Invalid value for 'messages'"), ("context_length", "Too many tokens"),
                                       ("content_policy", "Rejected by policy")])
def test_a_bad_request_fails_the_job_with_the_providers_words(make_openai_pool, db, llm, do, words):
    pool = make_openai_pool()
    llm.behave({"do": do, "text": "poison"}, "good")
    row = db.wait(db.insert(rep("poison")), "failed")
    assert words in row.error and row.attempts == 1
    assert llm.calls == (2 if do == "400" else 1), "only what nobody can place is followed by a control"
    assert breaker(pool) == "closed"


def test_one_bad_job_does_not_hold_up_the_others(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "400", "text": "poison"}, "good")
    bad = db.insert(rep("poison"))
    db.insert_many(10)
    wait_until(lambda: db.count("completed") == 10)
    assert db.wait(bad, "failed").error


@pytest.mark.parametrize("rule, words", [
    ({"do": "envelope_not_json"}, "the reply is not JSON; check openai.base_url"),
    ({"do": "not_json"}, "the reply is not JSON; check openai.base_url"),
    ({"do": "renumbered"}, "numbered lines in its own way; check openai.base_url")])
def test_a_provider_without_a_usable_answer_fails_few_jobs(make_openai_pool, db, llm, rule, words):
    pool = make_openai_pool()
    llm.behave(rule)
    db.insert_many(60)
    wait_until(lambda: breaker(pool) != "closed")
    status = pool.show("status")
    assert "10 jobs in a row brought no usable answer" in status["breaker_reason"] and words in status["breaker_reason"]
    assert status["summary"].startswith("waiting for an operator")
    pool.wait_log("10 jobs in a row brought no usable answer")
    wait_until(lambda: db.count("processing") <= 1)         # a probe, now and then
    probes = llm.calls
    wait_until(lambda: llm.calls >= probes + 2)
    assert breaker(pool) != "closed"
    assert db.value("SELECT count(*) FROM grading_jobs WHERE attempts > 0") <= 9
    llm.behave("good")
    wait_until(lambda: db.count("completed") + db.count("failed") == 60)
    assert db.count("failed") <= 9
    assert breaker(pool) == "closed"


def test_a_few_jobs_that_cannot_be_rated_do_not_open_the_breaker(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave({"do": "400", "text": "poison"}, {"do": "not_json"})
    for n in range(9):
        db.insert(rep(*[f"{'poison' if n % 2 else 'riddle'} {n}.{line}" for line in range(4)]))
    wait_until(lambda: db.count("failed") == 9)
    assert llm.calls > 20
    assert pool.show("limits")["trips"] == 0


def test_a_cut_answer_keeps_its_whole_ratings(make_openai_pool, db, llm):
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": "cut", "first": 1}, "good")
    job, ratings = db.completed(rep(*[f"Line {n}." for n in range(6)]))
    assert len(ratings) == 6 and job.attempts == 1
    assert 0 < len(llm.requests[1]["question"]["lines"]) < 6


@pytest.mark.parametrize("do", ["gzip", "drip", "http10", "fenced", "swapped_lines"])
def test_odd_but_good_answers_are_taken(make_openai_pool, db, do, llm):
    make_openai_pool()
    llm.behave({"do": do, "chunk_ms": 1})
    job, ratings = db.completed(rep("One.", "Two."))
    assert [r.rating for r in ratings] == [expected_rating(r.line_text, SCALE) for r in ratings]
    assert job.attempts == 0


@pytest.mark.parametrize("do", ["oversized", "gzip_bomb", "many_headers"])
def test_an_answer_above_its_cap_is_cut_off(make_openai_pool, db, llm, do):
    make_openai_pool()
    llm.behave({"do": do, "size": 64 << 20, "first": 1}, "good")
    assert db.wait(db.insert(), "completed").attempts == 1


@pytest.mark.parametrize("do", ["duplicate_line", "stray_line"])
def test_ratings_nobody_asked_for_are_not_stored(make_openai_pool, db, llm, do):
    make_openai_pool()
    llm.behave({"do": do, "first": 1}, "good")
    session = new_session()
    db.wait(db.insert(rep("One.", "Two."), session=session), "completed")
    assert [(r.line_index, r.line_text) for r in db.ratings(session)] == [(0, "One."), (1, "Two.")]


def feed_others(db, stop, n=itertools.count()):
    """Jobs that get answers, until stop() is true."""
    def put():
        db.insert(rep(f"Other {next(n)}."))
        return stop()
    wait_until(put)


def test_a_job_past_its_deadline_is_tried_again_and_says_why(make_openai_pool, db, llm):
    make_openai_pool(queue={"job_deadline": "1s"}, openai={"timeout": "1s"})
    llm.behave({"do": "hang", "text": "odd"}, "good")
    job = db.insert(rep("odd"), max_attempts=1)
    feed_others(db, lambda: db.job(job).status == "failed")
    row = db.job(job)
    assert row.attempts == 1
    assert "in time" in row.error or "within 1s" in row.error


def test_an_outage_that_lasts_until_the_deadline_costs_no_attempt(make_openai_pool, db, llm):
    """Calls may take all of their jobs' time, and while the provider hangs each of them does."""
    pool = make_openai_pool(queue={"job_deadline": "2s"}, openai={"timeout": "2s"})
    llm.behave("hang")
    for n in range(6):
        db.insert(rep(f"Line {n}."), max_attempts=1)
    wait_until(lambda: pool.show("status")["breaker"] != "closed")
    calls = llm.calls
    wait_until(lambda: llm.calls > calls + 1, what="the breaker's probes")
    assert pool.show("status")["breaker"] != "closed"
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 6)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_a_long_job_is_split_and_shows_partial_results(make_openai_pool, db, llm):
    make_openai_pool(rater={"lines_per_call": 4}, pool={"workers": 1})
    llm.behave({"text": "Line 0."}, {"hold": "rest"})
    session = new_session()
    job = db.insert(rep(*[f"Line {n}." for n in range(10)]), session=session)
    wait_until(lambda: len(db.ratings(session)) == 4, what="the first call's lines")
    assert db.job(job).status == "processing"
    llm.release()
    db.wait(job, "completed")
    assert sorted(len(r["question"]["lines"]) for r in llm.requests) == [2, 4, 4]
    assert len(db.ratings(session)) == 10


def test_context_lines_go_to_the_provider_and_into_the_cache_key(make_openai_pool, db, llm):
    make_openai_pool(rater={"context_lines": 1})
    for answer in ("Yes.", "No."):
        db.completed(rep(answer, speaker="customer") + rep("Then let's go.", first=1))
    assert [r["question"]["context"] for r in llm.requests] == [
        [{"speaker": "customer", "text": "Yes."}], [{"speaker": "customer", "text": "No."}]]


def test_an_operator_opens_and_closes_the_breaker(make_openai_pool, db):
    pool = make_openai_pool()
    pool.ctl("open the breaker")
    job = pool.stays_pending(db)
    assert pool.show("limits")["held"] is True
    pool.ctl("close it")
    db.wait(job, "completed")


def histogram(pool):
    return pool.show("metrics")["gradingd_rater_call_seconds"]


def test_calls_and_their_cost_are_accounted_for(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1}, openai={"prompt_price": 0.15, "completion_price": 0.6})
    llm.behave({"do": "500", "first": 1}, "good")
    done = db.wait(db.insert(rep("How are you finding it?")), "completed")
    assert done.result["calls"] == 2, "the one that failed counts"
    cost = (done.result["prompt_tokens"] * 0.15 + done.result["completion_tokens"] * 0.6) / 1e6
    assert done.result["prompt_tokens"] > 0 and done.result["completion_tokens"] > 0
    assert done.result["cost"] == pytest.approx(cost, abs=1e-9)
    pool.wait_metric("jobs_completed_total", 1)
    metrics, status = pool.show("metrics"), pool.show("status")
    assert metrics["gradingd_cost_total"] == pytest.approx(cost, abs=2e-9)
    assert metrics["gradingd_rater_call_seconds"]["count"] == metrics["gradingd_rater_calls_total"] == 2
    assert metrics["gradingd_rater_call_seconds"]["bucket"]["+Inf"] == 2
    assert metrics["gradingd_rater_call_seconds"]["sum"] == metrics["gradingd_rater_milliseconds_total"] / 1000
    assert status["calls"] == 2 and status["cost"] == pytest.approx(cost, abs=1e-6)
    assert status["tokens_last_minute"] == done.result["prompt_tokens"] + done.result["completion_tokens"]
    assert 0 < status["call_p50_ms"] <= status["call_p99_ms"]


def test_calls_that_were_given_up_count(make_openai_pool, db, llm):
    """They went out: those that a job's deadline ended, and those that were open when the pool had to stop."""
    pool = make_openai_pool(queue={"job_deadline": "1s"}, openai={"timeout": "1s"}, pool={"drain": "100ms"})
    llm.behave({"do": "hang", "first": 8}, "good")
    for n in range(8):
        db.insert(rep(f"Line {n}."))
    wait_until(lambda: db.count("completed") == 8)
    assert db.value("SELECT sum((result->>'calls')::int) FROM grading_jobs") == llm.calls >= 16
    pool.wait_metric("rater_calls_total", llm.calls)
    assert histogram(pool)["count"] == llm.calls and histogram(pool)["sum"] >= 0.9 * 8
    pool.configure(queue={"job_deadline": "1m"}, openai={"timeout": "1m"})
    pool.ctl("reload")
    wait_until(lambda: pool.show("status")["reloads"] == 1 and pool.show("status")["workers_idle"] == 2)
    llm.behave({"hold": "all"})
    job = db.insert(rep("Another."))
    wait_until(lambda: llm.in_flight == 1)
    pool.stop()
    row = db.job(job)
    assert (row.status, row.attempts, row.result["calls"]) == ("pending", 0, 1)


def test_without_prices_there_is_no_cost(make_openai_pool, db):
    pool = make_openai_pool()
    job, _ = db.completed(rep("Shall we meet on Tuesday?"))
    assert "cost" not in job.result
    assert pool.show("status")["cost"] is None
    assert pool.show("metrics")["gradingd_cost_total"] is None
    assert "gradingd_cost_total" not in pool.ctl("show metrics")


def test_what_a_dead_worker_counted_stays(make_openai_pool, db):
    pool = make_openai_pool(pool={"workers": 1})
    db.completed(rep("What brought you here?"))
    wait_until(lambda: histogram(pool)["count"] == 1)
    before, worker = histogram(pool), pool.workers()[0]
    pool.kill(worker)
    wait_until(lambda: pool.workers() not in ([], [worker]) and pool.show("status")["workers_idle"] == 1)
    assert histogram(pool) == before
    db.completed(rep("And what keeps you here?"))
    wait_until(lambda: histogram(pool)["count"] == 2)


def test_a_backlog_says_when_it_will_be_empty(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1, "in_flight": 2}, queue={"poll": "200ms"})
    llm.behave({"text": "many", "first": 20}, {"hold": "all"})
    db.insert_many(40)
    pool.wait_metric("jobs_completed_total", 20)
    wait_until(lambda: pool.show("status")["queue_pending"] == 18)
    assert pool.show("status")["queue_empty_in_ms"] > 0
    llm.release()
    pool.wait_metric("jobs_completed_total", 40)
    wait_until(lambda: pool.show("status")["queue_pending"] == 0)
    assert pool.show("status")["queue_empty_in_ms"] is None
