"""What becomes of each line: outcomes are told apart, good lines are kept, a bad one ends alone and by name."""
import pytest
from psycopg.types.json import Jsonb

from harness import new_session, rep, wait_until
from llm_server import expected_rating

SCALE = ["excellent", "good", "poor", "missed_opportunity"]
FIVE = ["One.", "Two.", "poison", "Four.", "Five."]
# What is done to every call that holds the poisonous line; and what its line ends as.
POISONS = {"content_policy": "refused", "refusal": "refused", "content_filter": "refused", "context_length": "failed",
           "400": "failed", "not_json": "not_json", "wrong_schema": "not_schema", "empty": "empty",
           "no_body": "empty", "no_choices": "not_schema", "renumbered": "unknown_line",
           "envelope_not_json": "not_json", "oversized": "oversized"}
# name: the rule's behaviour, the outcome of a lone line, its counter
OUTCOMES = {"unknown_rating": ("unknown_rating", "unknown_rating"), "missing_line": ("missing", "missing_line"),
            "duplicate_line": ("duplicate", "duplicate_line"), "cut": ("truncated", "truncated"),
            "refusal": ("refused", "refused"), "not_json": ("not_json", "not_json"),
            "wrong_schema": ("not_schema", "not_schema"), "empty": ("empty", "empty"),
            "oversized": ("oversized", "oversized"), "renumbered": ("unknown_line", "unknown_line")}


def asked(llm):
    """Which lines each call was about, without those that are about no job's."""
    questions = [request["question"]["lines"] for request in llm.requests]
    return [[line["line"] for line in lines] for lines in questions if lines[0]["text"] != "Good morning."]


def timeout_for(do):
    """Short, for calls that get no answer; but answers come in time on a busy machine, too."""
    return {"timeout": "1s"} if do == "hang" else {}


def hurry(db):
    """Retries wait for seconds; here they need not."""
    db.rows("UPDATE grading_jobs SET available_at = now() WHERE status = 'pending' AND available_at > now()")


def wait_in_a_hurry(db, job, *statuses):
    def ended():
        hurry(db)
        row = db.job(job)
        return row.status in statuses and row
    return wait_until(ended, what=f"job {job} {statuses}")


def wait_for_all_in_a_hurry(db):
    wait_until(lambda: hurry(db) or db.unsettled() == 0)


def wait_until_put_back(pool, db, times):
    """Every job was claimed so often, in an outage that nobody waits for."""
    def often():
        hurry(db)
        pool.ctl("close breaker")
        return db.value("SELECT min(times_claimed) FROM grading_jobs") >= times
    wait_until(often)


@pytest.mark.parametrize("do", OUTCOMES)
def test_outcomes_are_told_apart_counted_and_shown(make_openai_pool, db, llm, do):
    pool = make_openai_pool()
    llm.behave(do)
    outcome, counter = OUTCOMES[do]
    row = db.wait(db.insert(rep("One."), max_attempts=1), "failed")
    assert row.result["unrated"][0]["line"] == 0 and row.result["unrated"][0]["outcome"] == outcome
    assert row.result["outcomes"] == {outcome: 1}
    assert row.error.startswith("no rating for line 0 (")
    wait_until(lambda: pool.metric(f"outcome_{counter}_total") == 1)
    assert pool.show("status")["outcomes"] == f"{outcome} 1"
    wait_until(lambda: pool.metric("lines_failed_total") == 1)


def test_what_is_left_of_many_jobs_does_not_stop_the_pool(make_openai_pool, db, llm):
    """Asked again alone, lines that are hard to rate bring no rating, many times in a row; the rater is well."""
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"do": "missing_line", "text": "hard"}, "good")
    jobs = [db.insert(rep(f"Fine {n}.", f"hard {n}"), max_attempts=2) for n in range(15)]
    rows = [wait_in_a_hurry(db, job, "completed", "failed") for job in jobs]
    assert all(row.status == "completed" and row.error.startswith("no rating for line 1 (") for row in rows)
    assert "the breaker is open" not in pool.log


@pytest.mark.parametrize("do", POISONS)
def test_a_poisonous_line_ends_alone_and_by_name(make_openai_pool, db, llm, do):
    pool = make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": do, "text": "poison"}, "good")
    session = new_session()
    row = wait_in_a_hurry(db, db.insert(rep(*FIVE), session=session), "completed", "failed")
    assert row.status == "completed" and row.attempts == 3 and row.completed_at
    assert [r.line_text for r in db.ratings(session)] == [text for text in FIVE if text != "poison"]
    assert all(r.rating == expected_rating(r.line_text, SCALE) for r in db.ratings(session))
    assert [(u["line"], u["outcome"]) for u in row.result["unrated"]] == [(2, POISONS[do])]
    assert row.result["rated"] == 4 and row.result["lines"] == 5
    assert row.error.startswith("no rating for line 2 (")
    assert [2] in asked(llm)[-2:]       # alone; two calls of the last attempt arrive in any order
    state = db.session(session)
    assert (state.status, state.completed_batches, state.failed_batches) == ("completed", 1, 0)
    assert (state.total_lines, state.rated_lines) == (5, 4)
    wait_until(lambda: f"is completed, but: {row.error[:20]}" in pool.log)


@pytest.mark.parametrize("do", ["500", "hang", "reset"])
def test_a_line_that_breaks_its_calls_ends_alone_while_others_are_served(make_openai_pool, db, llm, do):
    """Nobody knows at first whose fault it is; the answers that others get tell."""
    make_openai_pool(cache={"ttl": "0"}, openai=timeout_for(do))
    llm.behave({"do": do, "text": "poison"}, "good")
    session = new_session()
    job = db.insert(rep(*FIVE), session=session)

    def ended():
        db.insert_many(1)
        hurry(db)
        row = db.job(job)
        return row.status in ("completed", "failed") and row

    row = wait_until(ended, what="the job to end", pause=0.2)
    assert row.status == "completed" and [u["line"] for u in row.result["unrated"]] == [2]
    assert len(db.ratings(session)) == 4


@pytest.mark.parametrize("do", ["500", "hang", "reset"])
def test_so_does_one_of_the_only_job(make_openai_pool, db, llm, do):
    """Nobody else gets answers to compare with: a control tells, of which nothing is kept."""
    make_openai_pool(cache={"ttl": "0"}, openai=timeout_for(do))
    llm.behave({"do": do, "text": "poison"}, "good")
    session = new_session()
    row = wait_in_a_hurry(db, db.insert(rep(*FIVE, first=10), session=session), "completed", "failed")
    assert row.status == "completed" and [u["line"] for u in row.result["unrated"]] == [12]
    assert [r.line_index for r in db.ratings(session)] == [10, 11, 13, 14]
    assert row.attempts == 3
    controls = [request for request in llm.requests if request["question"]["lines"][0]["text"] == "Good morning."]
    assert 1 <= len(controls) <= 5
    assert row.result["calls"] == llm.calls and row.result["outcomes"]["rated"] == 4


@pytest.mark.parametrize("do", ["500", "hang"])
def test_so_does_a_job_whose_names_break_its_calls(make_openai_pool, db, llm, do):
    make_openai_pool(openai=timeout_for(do))
    llm.behave({"do": do, "name": "poison"}, "good")
    job = db.insert(job_data={"transcript": rep("One."), "salesRepName": "poison"})
    row = wait_in_a_hurry(db, job, "failed")
    assert row.attempts == 3 and row.result["unclear"] >= 3


def test_many_lines_that_break_their_calls_do_not_stop_the_others(make_openai_pool, db, llm):
    """Ten jobs in a row are taken for an outage; who is asked for a sign of life then is not the eleventh of them."""
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": "500", "text": "poison"}, "good")
    bad = [db.insert(rep("One.", f"poison {n}"), max_attempts=1) for n in range(15)]
    wait_until(lambda: llm.calls >= 10)
    good = db.insert(rep("Two."))

    wait_for_all_in_a_hurry(db)
    assert db.job(good).status == "completed" and db.job(good).attempts == 0
    assert all(db.job(job).error.startswith("no rating for line 1") for job in bad)


def test_a_control_takes_no_permit_for_ever(make_openai_pool, db, llm):
    """At a slow pace the line's own call comes with a later claim; the control's answer is still good then."""
    make_openai_pool(openai={"timeout": "1s", "requests_per_minute": 10}, pool={"workers": 1})
    llm.behave({"do": "500", "first": 3}, "good")
    row = wait_in_a_hurry(db, db.insert(rep("One.")), "completed", "failed")
    assert (row.status, row.attempts) == ("completed", 0)
    assert llm.calls <= 6


@pytest.mark.parametrize("do", ["503", "401"])
def test_an_outage_makes_no_call_smaller(make_openai_pool, db, llm, do):
    make_openai_pool(rater={"lines_per_call": 20}, cache={"ttl": "0"})
    llm.behave(do)
    job = db.insert(rep(*[f"Line {n}." for n in range(20)]))

    def often():
        hurry(db)
        return db.job(job).times_claimed >= 5

    wait_until(often)
    llm.behave("good")
    row = wait_in_a_hurry(db, job, "completed")
    assert row.attempts == 0 and len(asked(llm)[-1]) == 20


@pytest.mark.parametrize("do", ["500", "hang", "reset"])
def test_an_outage_costs_the_only_job_nothing_however_often_it_is_asked(make_openai_pool, db, llm, do):
    make_openai_pool(openai=timeout_for(do))
    llm.behave(do)
    job = db.insert(rep(*FIVE))

    def often():
        hurry(db)
        return db.job(job).times_claimed >= 6

    wait_until(often)
    asked_last = llm.requests[-1]["question"]["lines"]
    llm.behave("good")
    row = wait_in_a_hurry(db, job, "completed")
    assert row.attempts == 0 and row.error is None
    assert [line["text"] for line in asked_last] == ["Good morning."]


def test_a_provider_that_fails_every_other_call_fails_no_job(make_openai_pool, db, llm):
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": "500", "probability": 0.5}, "good")
    db.insert_many(200)

    wait_for_all_in_a_hurry(db)
    assert db.count("completed") == 200
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_after_an_outage_a_provider_that_fails_now_and_then_fails_no_job(make_openai_pool, db, llm):
    """What the outage had cost the jobs, claims, is not held against them."""
    pool = make_openai_pool(cache={"ttl": "0"})
    llm.behave("503")
    db.insert_many(60)

    wait_until_put_back(pool, db, 3)
    llm.behave({"do": "500", "probability": 0.5}, "good")

    wait_for_all_in_a_hurry(db)
    assert db.count("completed") == 60
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_after_an_outage_useless_answers_fail_few_jobs(make_openai_pool, db, llm):
    """The gateway is back and answers with a page of its own: after ten jobs the rater is to blame, whatever was before."""
    pool = make_openai_pool(cache={"ttl": "0"})
    llm.behave("503")
    db.insert_many(60)

    wait_until_put_back(pool, db, 2)
    llm.behave("envelope_not_json")
    pool.ctl("close breaker")
    wait_until(lambda: "jobs in a row" in (pool.show("limits")["reason"] or ""))
    calls = llm.calls
    wait_until(lambda: llm.calls > calls + 3, what="probes")
    assert db.value("SELECT max(attempts) FROM grading_jobs") <= 1
    llm.behave("good")
    wait_until(lambda: hurry(db) or db.count("completed") == 60)


def test_what_the_session_shows_of_a_poisonous_line_beside_other_batches(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "not_json", "text": "poison"}, "good")
    session = new_session()
    bad = db.insert(job_data={"transcript": rep("poison", first=0), "batchIndex": 0, "totalBatches": 2}, session=session)
    good = db.insert(job_data={"transcript": rep("Fine.", first=1), "batchIndex": 1, "totalBatches": 2}, session=session)
    db.wait(good, "completed")
    wait_in_a_hurry(db, bad, "failed")
    state = db.session(session)
    assert (state.status, state.completed_batches, state.failed_batches) == ("completed", 1, 1)


def test_good_lines_are_there_while_the_bad_one_waits_for_its_next_attempt(make_openai_pool, db, llm):
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": "unknown_rating"})
    session = new_session()
    job = db.insert(rep("bad", "One.", "Two."), session=session)
    wait_until(lambda: len(db.ratings(session)) == 2)
    row = wait_until(lambda: (r := db.job(job)).status == "pending" and r)
    assert row.attempts >= 1 and "no rating for line 0 (the reply used a rating outside the scale)" in row.error
    assert row.result["outcomes"]["unknown_rating"] >= 1 and row.result["outcomes"]["rated"] == 2
    row = wait_in_a_hurry(db, job, "completed")
    assert asked(llm)[1:] == [[0], [0]]
    assert "attempt 3 of 3" in row.error and row.result["unrated"][0]["outcome"] == "unknown_rating"
    assert row.result["outcomes"] == {"rated": 2, "unknown_rating": 3} and row.result["calls"] == 3


def test_a_result_that_an_application_wrote_does_no_harm(make_openai_pool, db, llm):
    make_openai_pool()
    odd = [5, "text", [1], None, {"calls": "many", "outcomes": 7}, {"unrated": 1}, {"x": ["y" * 100] * 10000}]
    jobs = [db.insert(rep(f"Line {n}."), result=Jsonb(value)) for n, value in enumerate(odd)]
    for job in jobs:
        assert db.wait(job, "completed").result["outcomes"] == {"rated": 1}


def test_calls_grow_smaller_down_to_one_line(make_openai_pool, db, llm):
    make_openai_pool(rater={"lines_per_call": 10})
    llm.behave("not_json")
    wait_in_a_hurry(db, db.insert(rep(*[f"{n}" for n in range(10)]), max_attempts=4), "failed")
    sizes = [len(lines) for lines in asked(llm)]
    assert sizes == [10, 5, 5, 3, 3, 3, 1] + [1] * 10


def test_two_attempts_are_enough_to_ask_line_by_line(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "400", "text": "poison"}, "good")
    row = wait_in_a_hurry(db, db.insert(rep(*FIVE), max_attempts=2), "completed", "failed")
    assert row.status == "completed" and [u["line"] for u in row.result["unrated"]] == [2]


def test_a_renumbered_reply_puts_no_rating_on_another_line(make_openai_pool, db, llm):
    """Lines 0 to 4, numbered from 1: four of the five numbers exist, all of them are wrong."""
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": "renumbered", "first": 1}, {"delay_ms": 300})
    session = new_session()
    job = db.insert(rep(*FIVE), session=session)
    wait_until(lambda: db.job(job).attempts == 1)
    assert db.ratings(session) == []
    wait_in_a_hurry(db, job, "completed")
    assert [r.rating for r in db.ratings(session)] == [expected_rating(text, SCALE) for text in FIVE]


def test_a_deadline_at_the_last_attempt_keeps_what_is_rated(make_openai_pool, db, llm):
    make_openai_pool(queue={"job_deadline": "4s"}, openai={"timeout": "20s"}, rater={"lines_per_call": 1})
    llm.behave({"do": "hang", "text": "slow"}, "good")
    session = new_session()
    row = db.wait(db.insert(rep("One.", "slow", "Three."), session=session, max_attempts=1), "completed", "failed")
    assert row.status == "completed" and row.result["unrated"][0]["line"] == 1
    assert [r.line_index for r in db.ratings(session)] == [0, 2]
