"""A session as a whole: full_grading jobs without a transcript, by the rubric, a model and a program."""
import json
import subprocess
import sys

import pytest
from psycopg.types.json import Jsonb

from harness import GRADINGCTL, ROOT, new_session, rep, wait_until
from llm_server import expected_rating, grade_session

SCALE = ["excellent", "good", "poor", "missed_opportunity"]
PROGRAM = ROOT / "tests" / "integration" / "rating_program.py"
TALK = [{"speaker": "rep", "text": "What would help you most?"}, {"speaker": "customer", "text": "A lower price."},
        {"speaker": "rep", "text": "I see."}, {"speaker": "rep", "text": "Shall we start on Monday?"}]


def submit(db, session, talk=None, **options):
    options = dict({"full_grading": True, "batch_size": 2}, **options)
    return db.value("SELECT grading_submit(%s, %s, %s)", session, Jsonb(talk or TALK), Jsonb(options))


def whole_jobs(db, session):
    return db.rows("SELECT * FROM grading_jobs WHERE session_id = %s AND job_type = 'full_grading' ORDER BY id", session)


def ended(db, session):
    """The latest job of the session as a whole, once it has ended."""
    job = wait_until(lambda: (jobs := whole_jobs(db, session)) and jobs[-1].status in ("completed", "failed") and jobs[-1])
    return job


def graded(db, session):
    job = ended(db, session)
    assert job.status == "completed", job.error
    return db.value("SELECT grading_whole(%s)", session)


def progress(db, session):
    return db.row("SELECT * FROM grading_progress(%s)", session)


def check_counters(db, session, batches):
    row, told = db.session(session), progress(db, session)
    assert (row.total_batches, row.completed_batches, row.failed_batches) == (batches, batches, 0)
    assert (told.status, told.batches_done, told.batches_total, told.percent) == ("completed", batches, batches, 100)


def test_the_rubric_counts(pool, db):
    session = new_session()
    answer = submit(db, session, sales_rep_name="Ann")
    assert (answer["jobs"], answer["full_grading"]) == (2, True)
    grade = graded(db, session)
    worth = {rating: 3 - place for place, rating in enumerate(SCALE)}
    ratings = [r.rating for r in db.ratings(session)]
    mean = sum(worth[r] for r in ratings) * 100 / 3 / len(ratings)
    assert grade["score"] == int(mean + 0.5)
    assert grade["lines"] == 3 and grade["unrated"] == 0 and not grade["stale"] and not grade["cached"]
    assert {r: s["lines"] for r, s in grade["ratings"].items()} == {r: ratings.count(r) for r in SCALE}
    assert abs(sum(s["share"] for s in grade["ratings"].values()) - 1) < 0.001
    assert grade["summary"].startswith("3 lines rated: ")
    assert grade["provenance"]["rater"] == "rubric"
    check_counters(db, session, 2)
    pool.wait_metric("sessions_graded_total", 1)
    job = whole_jobs(db, session)[0]
    assert (job.attempts, job.error) == (0, None) and job.result["grading"]["score"] == grade["score"]


def test_a_plain_row_waits_for_the_lines(make_openai_pool, db, llm):
    """It spends no attempt while it waits, moves no counter, and is due when the last batch ends."""
    make_openai_pool(pool={"workers": 1})
    session = new_session()
    llm.behave({"hold": "all", "session": False})
    for batch in range(2):
        db.insert(session=session, job_data={"transcript": rep("A.", "B.", first=batch * 2), "batchIndex": batch,
                                             "totalBatches": 2})
    whole = db.insert(session=session, job_type="full_grading", job_data={})
    wait_until(lambda: (db.job(whole).result or {}).get("waits", 0) >= 2)
    job = db.job(whole)
    assert "waits for the lines of its session" in job.error and job.attempts == 0
    assert progress(db, session).batches_total == 2
    assert not any(r["question"].get("task") for r in llm.requests)
    llm.release()
    db.wait(whole, "completed")
    question = [r["question"] for r in llm.requests if r["question"].get("task")]
    assert len(question) == 1
    assert question[0] == {
        "task": "session", "sales_rep": "", "customer": "", "scale": SCALE, "unrated": 0, "conversation": [
            {"line": n, "text": text, "rating": expected_rating(text, SCALE)} for n, text in enumerate("A. B. A. B.".split())]}
    grade = db.value("SELECT grading_whole(%s)", session)
    assert {key: grade[key] for key in ("score", "summary", "strengths", "improvements")} == grade_session(question[0])
    check_counters(db, session, 2)


def test_the_customer_is_heard(make_openai_pool, db, llm):
    make_openai_pool()
    session = new_session()
    submit(db, session, customer_name="Bo")
    graded(db, session)
    request = next(r for r in llm.requests if r["question"].get("task"))
    assert [(line["speaker"], line.get("rating") is not None) for line in request["question"]["conversation"]] == [
        ("rep", True), ("customer", False), ("rep", True), ("rep", True)]
    assert request["question"]["customer"] == "Bo"
    schema = request["body"]["response_format"]["json_schema"]
    assert schema["name"] == "session" and set(schema["schema"]["required"]) == {
        "score", "summary", "strengths", "improvements"}
    assert "as a whole" in request["body"]["messages"][0]["content"]


GOOD = {"score": 50, "summary": "Fine.", "strengths": [], "improvements": []}
HOSTILE = {
    "string": json.dumps(dict(GOOD, score="85")), "above": json.dumps(dict(GOOD, score=101)),
    "below": json.dumps(dict(GOOD, score=-5)), "half": json.dumps(dict(GOOD, score=84.5)),
    "nan": json.dumps(dict(GOOD, score=float("nan"))), "no_summary": json.dumps(dict(GOOD, summary="")),
    "missing": json.dumps({"score": 50, "summary": "Fine."}), "other_keys": json.dumps({"grade": 50, "text": "Fine."}),
    "prose": "I would give this conversation 85 of 100.", "truncated": json.dumps(GOOD)[:30], "two": json.dumps(GOOD) * 2,
    "ratings": json.dumps({"ratings": [{"line": 0, "rating": "good"}]}), "no_list": json.dumps(dict(GOOD, strengths="All.")),
    "twice": '{"score": 1, ' + json.dumps(GOOD)[1:], "empty": "",
}


def test_what_is_no_grade_is_asked_again_and_fails_by_name(make_openai_pool, db, llm):
    """Nothing is invented, nobody else waits, and each fails with a reason of its own."""
    pool = make_openai_pool(cache={"ttl": "0"})
    llm.behave(*({"session": True, "text": f"Say {name}.", "content": content} for name, content in HOSTILE.items()),
               {"session": True, "text": "Say refusal.", "do": "refusal"}, {"session": True, "text": "Say cut.", "do": "cut"})
    sessions = {name: new_session() for name in [*HOSTILE, "refusal", "cut"]}
    for name, session in sessions.items():
        db.completed(rep(f"Say {name}."), session=session)
        db.insert(session=session, job_type="full_grading", job_data=None, max_attempts=1)
    for name, session in sessions.items():
        job = ended(db, session)
        assert job.status == "failed" and job.attempts == 1, (name, job.result)
        assert job.error.startswith("no grade for the session as a whole ("), (name, job.error)
        assert "grading" not in job.result
        check_counters(db, session, 1)
    assert "its score is 101, and not from 0 to 100" in ended(db, sessions["above"]).error
    assert "refused" in ended(db, sessions["refusal"]).error
    assert "cut off" in ended(db, sessions["cut"]).error
    assert db.value("SELECT count(*) FROM session_gradings") == 0
    assert pool.show("status")["breaker"] == "closed"
    llm.behave("good")
    assert db.value("SELECT grading_retry(%s)", sessions["prose"]) == 1
    graded(db, sessions["prose"])
    check_counters(db, sessions["prose"], 1)


def test_an_outage_costs_no_attempt(make_openai_pool, db, llm):
    make_openai_pool()
    session = new_session()
    db.completed(rep("Hello."), session=session)
    llm.behave({"do": "503", "first": 3})
    whole = db.insert(session=session, job_type="full_grading", job_data={})
    job = db.wait(whole, "completed")
    assert job.attempts == 0


def test_an_equal_session_costs_no_call(make_openai_pool, db, llm):
    pool = make_openai_pool()
    first, second = new_session(), new_session()
    for session in (first, second):
        submit(db, session)
        graded(db, session)
    one, other = (db.value("SELECT grading_whole(%s)", session) for session in (first, second))
    assert (one["cached"], other["cached"]) == (False, True)
    assert one["score"] == other["score"] and one["provenance"] == other["provenance"]
    assert sum(bool(r["question"].get("task")) for r in llm.requests) == 1
    pool.wait_metric("sessions_graded_alike_total", 1)
    third = new_session()
    submit(db, third, sales_rep_name="Another")
    assert not graded(db, third)["cached"]


def test_what_grows_is_graded_anew(pool, db):
    session = new_session()
    submit(db, session)
    before = graded(db, session)
    assert submit(db, session) == {"jobs": 0, "known": 3, "lines": 0, "skipped": 0, "full_grading": False}
    more = TALK + [{"speaker": "rep", "text": "Thank you, good bye."}]
    db.value("SELECT grading_submit(%s, %s)", session, Jsonb(more))
    wait_until(lambda: progress(db, session).lines_done == 4)
    assert db.value("SELECT grading_whole(%s)", session)["stale"]
    assert submit(db, session, more)["full_grading"]
    wait_until(lambda: db.value("SELECT grading_whole(%s)", session)["lines"] == 4)
    grade = db.value("SELECT grading_whole(%s)", session)
    assert not grade["stale"] and before["lines"] == 3
    assert len(whole_jobs(db, session)) == 2


def test_the_job_that_waits_gets_the_new_conversation(make_openai_pool, db, llm):
    make_openai_pool()
    session = new_session()
    llm.behave({"hold": "all", "session": False})
    submit(db, session)
    more = TALK + [{"speaker": "customer", "text": "Bye."}, {"speaker": "rep", "text": "Bye."}]
    wait_until(lambda: whole_jobs(db, session)[0].status == "pending")
    submit(db, session, more)
    llm.release()
    llm.behave("good")
    wait_until(lambda: db.unsettled() == 0)
    assert graded(db, session)["lines"] == 4
    question = [r["question"] for r in llm.requests if r["question"].get("task")][-1]
    assert len(question["conversation"]) == 6


def test_lines_that_failed_are_told_of(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"text": "Refuse me.", "do": "refusal", "session": False})
    session = new_session()
    submit(db, session, [{"speaker": "rep", "text": "Hello."}, {"speaker": "rep", "text": "Refuse me."}], batch_size=1)
    grade = graded(db, session)
    assert (grade["lines"], grade["unrated"], grade["failed_batches"]) == (1, 1, 1)


def test_without_any_rating_it_fails_by_name(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "refusal", "session": False})
    session = new_session()
    submit(db, session, [{"speaker": "rep", "text": "Refuse me."}])
    job = ended(db, session)
    assert job.status == "failed" and "has a rating (1 of its batches failed)" in job.error
    assert db.session(session).failed_batches == 1


def test_a_long_conversation_fails_by_name(make_openai_pool, db, llm):
    make_openai_pool(rater={"session_bytes": 2000})
    session = new_session()
    db.completed(rep("x" * 3000), session=session)
    whole = db.insert(session=session, job_type="full_grading", job_data={})
    job = db.wait(whole, "failed")
    assert "has 3000 bytes; rater.session_bytes allows 2000" in job.error and job.attempts == 1


def test_off_fails_by_name(make_pool, db):
    make_pool(db, rater={"session_grading": "off"})
    session = new_session()
    db.completed(rep("Hello."), session=session)
    job = db.wait(db.insert(session=session, job_type="full_grading", job_data={}), "failed")
    assert 'rater.session_grading is "off"' in job.error


def test_cancel_and_forget(make_openai_pool, db, llm):
    make_openai_pool()
    session = new_session()
    llm.behave({"hold": "all", "session": False})
    submit(db, session)
    wait_until(lambda: (whole_jobs(db, session)[0].result or {}).get("waits"))
    assert db.value("SELECT grading_cancel(%s)", session) == 3
    row = db.session(session)
    assert (row.total_batches, row.completed_batches, row.failed_batches) == (2, 0, 2)
    llm.release()
    llm.behave("good")
    assert db.value("SELECT grading_retry(%s)", session) == 3
    graded(db, session)
    check_counters(db, session, 2)
    assert not db.value("SELECT grading_recount(%s)", session)
    assert db.value("SELECT grading_forget(%s)", session) > 0
    assert db.value("SELECT count(*) FROM session_gradings") == 0
    assert db.value("SELECT grading_whole(%s)", session) is None


def test_a_killed_worker_loses_nothing(make_openai_pool, db, llm):
    pool = make_openai_pool()
    session = new_session()
    db.completed(rep("Hello."), session=session)
    llm.behave({"hold": "all", "session": True})
    whole = db.insert(session=session, job_type="full_grading", job_data={})
    wait_until(lambda: llm.in_flight == 1)
    pool.kill(pool.busy()[0])
    wait_until(lambda: db.job(whole).times_claimed >= 2)
    llm.release()
    llm.behave("good")
    db.wait(whole, "completed")
    check_counters(db, session, 1)


def test_once_grades_what_it_has_rated(make_pool, db):
    pool = make_pool(db, start=False)
    sessions = [new_session() for _ in range(3)]
    for session in sessions:
        submit(db, session)
    assert pool.run("--once").returncode == 0
    assert [whole_jobs(db, session)[0].status for session in sessions] == ["completed"] * 3


def test_a_program_is_asked_in_its_protocol(make_pool, db, tmp_path):
    make_pool(db, rater={"backend": "command"}, command={"argv": [sys.executable, "-IS", str(PROGRAM), str(tmp_path)]})
    tmp_path.chmod(0o777)
    session = new_session()
    submit(db, session)
    grade = graded(db, session)
    assert (grade["score"], grade["summary"], grade["improvements"]) == (40, "Scripted.", ["Scripted."])


def test_a_program_that_does_not_know_it_fails_by_name(make_pool, db, tmp_path):
    (tmp_path / "behave").write_text('wrong_schema "task"\n')
    make_pool(db, rater={"backend": "command"}, command={"argv": [sys.executable, "-IS", str(PROGRAM), str(tmp_path)]})
    session = new_session()
    db.completed(rep("Hello."), session=session)
    job = db.wait(db.insert(session=session, job_type="full_grading", job_data={}, max_attempts=1), "failed")
    assert "its score is missing, or no number" in job.error
    db.completed(rep("Still at work."))


def test_a_transcript_of_its_own_is_a_batch(pool, db):
    """As it always was: rated line by line, counted, and not waited for by others of its kind."""
    session = new_session()
    job, ratings = db.completed(rep("One.", "Two."), session=session, job_type="full_grading")
    assert len(ratings) == 2 and job.result["rated"] == 2
    check_counters(db, session, 1)
    whole = db.insert(session=session, job_type="full_grading", job_data={})
    db.wait(whole, "completed")
    assert db.value("SELECT grading_whole(%s)", session)["lines"] == 2
    check_counters(db, session, 1)


def test_a_waiting_job_that_refuses_to_be_changed_holds_up_no_batch(pool, db):
    """A trigger that is against it is the waiting job's own affair."""
    db.rows("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;"
            "CREATE TRIGGER no BEFORE UPDATE ON grading_jobs FOR EACH ROW WHEN (OLD.job_type = 'full_grading')"
            " EXECUTE FUNCTION no()")
    session = new_session()
    submit(db, session)
    wait_until(lambda: progress(db, session).status == "completed")
    check_counters(db, session, 2)
    db.rows("DROP FUNCTION no() CASCADE")
    graded(db, session)


def test_gradingctl_shows_it(pool, db):
    session = new_session()
    submit(db, session)
    graded(db, session)

    def ctl(*words):
        return subprocess.run([GRADINGCTL, "-c", pool.config_path, *words], capture_output=True, text=True, check=True).stdout
    shown = ctl("progress", session)
    assert "overall " in shown and " of 100" in shown and "3 lines rated" in shown
    assert "overall " in ctl("ratings", session)
    assert json.loads(ctl("progress", session, "--json"))["grading"]["lines"] == 3


def test_the_application_sees_it(make_pool, db):
    session = new_session()
    db.rows("CREATE TABLE live_sessions (id uuid PRIMARY KEY, analytics jsonb DEFAULT '{}')")
    db.rows("INSERT INTO live_sessions (id) VALUES (%s)", session)
    make_pool(db)
    submit(db, session)
    grade = graded(db, session)
    shown = wait_until(lambda: db.value("SELECT analytics -> 'full_grading' FROM live_sessions WHERE id = %s", session))
    assert shown["score"] == grade["score"] and shown["summary"] == grade["summary"]
