"""grading_retry() and grading_cancel(), and gradingctl jobs, retry and cancel: jobs put back or ended, counters right."""
import json
import uuid

import psycopg
import pytest

from harness import elapsed, gradingctl, new_session, promptly, rep, together, wait_until

# What the tables say of each session, and what its counters say. Lines of a session made by grading_enqueue() are known.
DISAGREEING = """
    SELECT s.session_id, s.total_batches, s.completed_batches, s.failed_batches, s.rated_lines, s.total_lines, s.status,
           s.completed_at, j.completed, j.failed, j.jobs FROM grading_sessions s
    JOIN (SELECT session_id, count(*) FILTER (WHERE status = 'completed') AS completed,
                 count(*) FILTER (WHERE status = 'failed') AS failed, count(*) AS jobs FROM grading_jobs GROUP BY 1) j
      USING (session_id)
    LEFT JOIN (SELECT session_id, count(*) AS rated FROM line_ratings GROUP BY 1) r USING (session_id)
    WHERE s.completed_batches <> j.completed OR s.failed_batches <> j.failed OR s.total_batches < j.jobs
       OR s.rated_lines <> coalesce(r.rated, 0) OR s.rated_lines > s.total_lines
       OR (s.completed_at IS NULL) <> (j.completed + j.failed < s.total_batches)
       OR s.status IN ('completed', 'failed') <> (j.completed + j.failed >= s.total_batches)"""


def agree(db):
    assert db.rows(DISAGREEING) == []


def retry(db, session):
    return db.value("SELECT grading_retry(%s)", session)


def cancel(db, session):
    return db.value("SELECT grading_cancel(%s)", session)


def enqueue(db, session, *texts):
    return db.value("SELECT grading_enqueue(%s, %s::jsonb, batch_size => 1)", session, json.dumps(rep(*texts)))


def ctl(db, *words):
    return gradingctl("-d", db.conninfo, *words)


def say(db, *words):
    result = ctl(db, "--json", *words)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def broken(make_openai_pool, db, llm):
    """A pool and a session of three batches, each of which fails at once; the rest of the calls go well."""
    pool = make_openai_pool()
    llm.behave({"do": "400", "text": "bad"}, "good")
    session = new_session()
    enqueue(db, session, "bad one", "fine", "bad two")
    wait_until(lambda: db.value("SELECT status FROM grading_progress(%s)", session) == "completed")
    agree(db)
    return pool, session


def test_failed_jobs_are_rated_after_a_retry(broken, db, llm):
    _, session = broken
    assert db.session(session).failed_batches == 2
    llm.behave("good")
    db.rows("BEGIN")
    assert retry(db, session) == 2
    agree(db)
    row = db.session(session)
    assert (row.status, row.failed_batches, row.completed_at) == ("processing", 0, None)
    jobs = db.rows("SELECT * FROM grading_jobs WHERE session_id = %s AND status = 'pending'", session)
    assert {(job.attempts, job.error, job.failed_at, job.claimed_by) for job in jobs} == {(0, None, None, None)}
    db.rows("COMMIT")
    wait_until(lambda: db.session(session).status == "completed")
    agree(db)
    row = db.session(session)
    assert (row.completed_batches, row.failed_batches, row.total_lines, row.rated_lines) == (3, 0, 3, 3)


def test_a_retry_wakes_a_pool_that_sleeps(make_openai_pool, db, llm):
    make_openai_pool(queue={"poll": "10m"})

    def put_back_to_completed():
        llm.behave({"do": "400", "first": 1}, "good")
        job = db.wait(db.insert(rep(new_session())), "failed")
        wait_until(lambda: db.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"),
                   what="a pool asleep")
        assert retry(db, job.session_id) == 1
        return elapsed(lambda: db.wait(job.id, "completed"))

    promptly(put_back_to_completed)
    agree(db)


def test_a_retry_that_fails_again_and_one_too_many(broken, db):
    _, session = broken
    assert retry(db, session) == 2
    wait_until(lambda: db.session(session).status == "completed")
    agree(db)
    assert db.session(session).failed_batches == 2
    with db.connect(autocommit=False) as conn:
        counts = [conn.execute("SELECT grading_retry(%s)", (session,)).fetchone()[0] for _ in range(2)]
    assert counts == [2, 0]
    wait_until(lambda: db.session(session).status == "completed")
    agree(db)


def test_lines_that_were_not_known_beforehand_are_counted_once(make_openai_pool, db, llm):
    """Plain rows: a session's lines grow with each settled batch."""
    make_openai_pool()
    llm.behave({"do": "400", "text": "One."}, {"do": "400", "text": "Two."}, "good")
    session = new_session()
    job = db.wait(db.insert(rep("One.", "Two.", ""), session=session), "failed")
    assert retry(db, session) == 1
    db.wait(job.id, "failed")
    agree(db)
    llm.behave("good")
    assert retry(db, session) == 1
    db.wait(job.id, "completed")
    agree(db)
    row = db.session(session)
    assert (row.total_lines, row.rated_lines, row.skipped_lines, row.total_batches) == (2, 2, 1, 1)


def test_two_retries_at_the_same_moment_count_once(db):
    session, put = new_session(), []
    enqueue(db, session, *[f"Line {n}." for n in range(40)])
    cancel(db, session)

    def go():
        with db.connect() as conn:
            put.append(conn.execute("SELECT grading_retry(%s)", (session,)).fetchone()[0])

    together(*[go] * 6)
    assert sum(put) == 40
    agree(db)
    assert db.session(session).status == "queued"


def test_a_retry_of_what_is_unknown_or_not_failed_changes_nothing(pool, db):
    job, _ = db.completed(rep("Fine."))
    before = db.job(job.id), db.session(job.session_id)
    assert (retry(db, job.session_id), retry(db, new_session()), retry(db, None)) == (0, 0, 0)
    assert (cancel(db, job.session_id), cancel(db, new_session()), cancel(db, None)) == (0, 0, 0)
    assert (db.job(job.id), db.session(job.session_id)) == before


def test_waiting_jobs_are_cancelled(db):
    session = new_session()
    enqueue(db, session, "A.", "B.")
    other = db.insert()
    assert cancel(db, session) == 2
    agree(db)
    rows = db.rows("SELECT status, error FROM grading_jobs WHERE session_id = %s", session)
    assert {(row.status, row.error) for row in rows} == {("failed", "cancelled")}
    row = db.session(session)
    assert (row.status, row.failed_batches, row.total_lines) == ("failed", 2, 2)
    assert db.job(other).status == "pending" and cancel(db, session) == 0


def test_cancelled_jobs_may_be_retried(make_pool, db):
    """Plain rows and one of three announced batches: nothing was ever counted of them."""
    session, plain = new_session(), new_session()
    enqueue(db, session, "A.", "B.")
    db.insert(session=plain, job_data={"transcript": rep("A.", "B."), "totalBatches": 3})
    assert (cancel(db, session), cancel(db, plain)) == (2, 1)
    row = db.session(plain)
    assert (row.total_batches, row.failed_batches, row.status, row.completed_at) == (3, 1, "queued", None)
    agree(db)
    for each in (session, plain, session):
        retry(db, each)
        agree(db)
    make_pool(db)
    wait_until(lambda: db.session(session).status == "completed" and db.session(plain).completed_batches == 1)
    agree(db)
    row = db.session(plain)
    assert (row.total_lines, row.rated_lines, row.failed_batches) == (2, 2, 0)


def test_cancelled_after_a_retry_and_retried_again(broken, db, llm):
    pool, session = broken
    pool.pause()
    plain = db.insert(rep("A."))
    plain_session = db.job(plain).session_id
    for _ in range(2):
        assert (retry(db, session), cancel(db, session)) == (2, 2)
        assert (cancel(db, plain_session), retry(db, plain_session)) == (1, 1)
        agree(db)
    llm.behave("good")
    retry(db, session)
    pool.ctl("resume")
    wait_until(lambda: db.session(session).completed_batches == 3)
    db.wait(plain, "completed")
    agree(db)
    assert db.session(session).skipped_lines == 0 and db.session(plain_session).total_lines == 1


def test_what_a_worker_has_in_hand_is_dropped_when_it_was_cancelled(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave({"hold": "answer"})
    session = new_session()
    enqueue(db, session, "A.", "B.", "C.")
    wait_until(lambda: llm.in_flight == 3)
    assert cancel(db, session) == 3
    agree(db)
    llm.release()
    pool.wait_metric("claims_lost_total", 3)
    agree(db)
    row = db.session(session)
    assert (row.status, row.failed_batches, row.rated_lines) == ("failed", 3, 0)
    assert db.ratings(session) == []
    assert {job.error for job in db.rows("SELECT error FROM grading_jobs")} == {"cancelled"}
    llm.behave("good")
    assert retry(db, session) == 3
    wait_until(lambda: db.session(session).status == "completed")
    agree(db)
    assert db.session(session).rated_lines == 3


def test_a_late_answer_does_not_settle_what_is_rated_again(make_openai_pool, db, llm):
    """Cancelled and put back while the first worker still has it: its answer is of a claim that is over."""
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"hold": "answer"})
    session = new_session()
    enqueue(db, session, "A.")
    wait_until(lambda: llm.in_flight == 1)
    assert (cancel(db, session), retry(db, session)) == (1, 1)
    wait_until(lambda: llm.in_flight == 2 or db.value("SELECT max(times_claimed) FROM grading_jobs") > 1)
    llm.release()
    pool.wait_metric("claims_lost_total", 1)
    wait_until(lambda: db.session(session).status == "completed")
    agree(db)
    assert len(db.ratings(session)) == 1


def test_ratings_that_were_stored_before_stay(make_openai_pool, db, llm):
    make_openai_pool(rater={"lines_per_call": 1})
    llm.behave({"text": "Held.", "hold": "last"}, "good")
    session = new_session()
    db.insert(rep("Quick.", "Held."), session=session)
    wait_until(lambda: len(db.ratings(session)) == 1)
    assert cancel(db, session) == 1
    llm.release()
    assert retry(db, session) == 1
    llm.behave("good")
    wait_until(lambda: db.session(session).status == "completed")
    agree(db)
    row = db.session(session)
    assert (row.total_lines, row.rated_lines) == (2, 2)


# ---- gradingctl ----

def test_jobs_lists_what_is_asked_for_with_its_error(broken, db):
    pool, session = broken
    pool.pause()
    db.insert(job_data={"transcript": rep("\x1b[31mA."), "batchIndex": 7}, attempts=1, error="\x1b[31mred")
    listed = say(db, "jobs")
    assert [row["status"] for row in listed] == ["failed", "failed", "pending"]
    assert all("400" in row["error"] and row["session_id"] == session for row in listed[:2])
    assert [row["status"] for row in say(db, "jobs", "--pending")] == ["pending"]
    assert say(db, "jobs", "--processing") == [] and len(say(db, "jobs", "--failed", "--limit", "1")) == 1
    text = ctl(db, "jobs")
    assert text.returncode == 0 and "400" in text.stdout and session in text.stdout and "\x1b" not in text.stdout
    assert "there are more" in ctl(db, "jobs", "--limit", "2").stdout and "there are more" not in text.stdout


def test_retry_of_sessions_and_of_all(broken, db, llm):
    pool, session = broken
    pool.pause()
    names = [f"call-{n}" for n in range(3)]
    sessions = [str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in names]
    for one in sessions:
        enqueue(db, one, "fine")
    assert say(db, "cancel", *names[:2], sessions[2]) == [{"cancelled": 3}]
    assert say(db, "retry", names[0]) == [{"retried": 1}]
    assert say(db, "retry", "--failed") == [{"retried": 4}]
    assert say(db, "retry", "--failed") == [{"retried": 0}]
    agree(db)
    llm.behave("good")
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 6)
    agree(db)


@pytest.mark.parametrize("words", [("retry",), ("retry", "--failed", "call-1"), ("cancel",), ("cancel", "--failed", "x")])
def test_what_is_to_be_put_back_or_ended_must_be_said(db, words):
    result = ctl(db, *words)
    assert result.returncode == 1 and result.stderr.startswith("gradingctl: ")


@pytest.mark.parametrize("command, words", [("retry", {"retried": 0}), ("cancel", {"cancelled": 2}), ("forget", {"rows": 3})])
def test_a_session_that_nobody_knows_is_named(db, command, words):
    """The others are dealt with all the same; one that is known and has nothing to be done is no mistake."""
    known, plain = new_session(), new_session()
    enqueue(db, known, "fine")
    db.insert(rep("Inserted."), session=plain)
    said = ctl(db, "--json", command, "nobody-1", known, "nobody-2", plain)
    assert said.returncode == 1 and json.loads(said.stdout) == words
    assert [line.split(" (")[0] for line in said.stderr.splitlines()] == [
        f'gradingctl: session "nobody-{n}"' for n in (1, 2)] and said.stderr.count("is not known") == 2
    if command != "forget":
        assert ctl(db, command, known, plain).returncode == 0
    assert ctl(db, command, "nobody-1").returncode == 1


def test_a_failed_session_says_why_and_what_to_do(broken, db):
    _, session = broken
    for command in ("progress", "ratings"):
        said = ctl(db, command, session)
        assert said.returncode == 0
        assert "400" in said.stderr and f"gradingctl retry {session}" in said.stderr
        assert "400" not in ctl(db, "--json", command, session).stderr
    assert retry(db, session) == 2


def test_an_old_schema_is_named(bare_db):
    result = ctl(bare_db, "retry", "--failed")
    assert result.returncode == 78 and "gradingctl migrate" in result.stderr


def test_triggers_and_rights_of_strangers_are_not_ours(db):
    """The functions act with the rights of their owner, so everything in them is named with its schema."""
    rows = db.rows("SELECT proname, prosecdef, proconfig FROM pg_proc WHERE proname IN"
                   " ('grading_retry', 'grading_retry_many', 'grading_cancel')")
    assert len(rows) == 3
    assert all(row.prosecdef and any(word.startswith("search_path=pg_catalog") for word in row.proconfig) for row in rows)
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        retry(db, "no uuid")
