"""Sessions that end, grow, are asked about again, and are forgotten: the SQL for applications and gradingctl."""
import json
import threading

import psycopg
import pytest

from harness import PATIENCE_S, gradingctl, new_session, rep, together, wait_until
from test_openai_lines import hurry

# What the tables say of each session, and what its counters say.
DISAGREEING = """
    SELECT s.session_id, s.total_batches, s.completed_batches, s.failed_batches, s.rated_lines, s.total_lines, s.status,
           j.completed, j.failed, j.jobs, r.rated FROM grading_sessions s
    JOIN (SELECT session_id, count(*) FILTER (WHERE status = 'completed') AS completed,
                 count(*) FILTER (WHERE status = 'failed') AS failed, count(*) AS jobs FROM grading_jobs GROUP BY 1) j
      USING (session_id)
    LEFT JOIN (SELECT session_id, count(*) AS rated FROM line_ratings GROUP BY 1) r USING (session_id)
    WHERE s.completed_batches <> j.completed OR s.failed_batches <> j.failed OR s.total_batches <> j.jobs
       OR s.rated_lines <> coalesce(r.rated, 0) OR s.rated_lines > s.total_lines
       OR (s.completed_at IS NULL) <> (j.completed + j.failed < s.total_batches)"""
GUARDED = "UPDATE grading_jobs SET {} WHERE session_id = %s"


def lines(*indexes, speaker="rep", text="Line {}."):
    return [{"speaker": speaker, "text": text.format(n), "index": n} for n in indexes]


def enqueue(db, session, transcript, **named):
    more = "".join(f", {name} => %s" for name in named)
    return db.value(f"SELECT grading_enqueue(%s, %s::jsonb{more})", session, json.dumps(transcript), *named.values())


def submit(db, session, transcript, **options):
    return db.value("SELECT grading_submit(%s, %s::jsonb, %s::jsonb)", session, json.dumps(transcript), json.dumps(options))


def progress(db, session):
    return db.row("SELECT * FROM grading_progress(%s)", session)


def completed(db, session):
    return wait_until(lambda: (p := progress(db, session)).status == "completed" and p)


def indexes(db, session):
    """Of the entries of the session's jobs, a list each."""
    rows = db.rows("SELECT job_data FROM grading_jobs WHERE session_id = %s ORDER BY id", session)
    return [[entry["index"] for entry in row.job_data["transcript"]] for row in rows]


def rated(db, session):
    return [r.line_index for r in db.ratings(session)]


def agree(db):
    assert db.rows(DISAGREEING) == []


def ctl(db, *words, **options):
    return gradingctl("-d", db.conninfo, *words, **options)


def notices(db, sql, *params):
    """What the statement says beside its answer."""
    said = []
    with db.connect() as conn:
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary))
        conn.execute(sql, params)
    return said


# ---- sessions that grow ----

def test_an_empty_transcript_announces_nothing(pool, db):
    session = new_session()
    assert enqueue(db, session, []) == 0
    assert progress(db, session) is None and db.session(session) is None
    assert enqueue(db, session, lines(0, 1)) == 1
    row = completed(db, session)
    assert (row.lines_done, row.lines_total, row.batches_total) == (2, 2, 1)


def test_a_transcript_that_has_grown_makes_jobs_of_its_new_lines(pool, db):
    session = new_session()
    assert enqueue(db, session, lines(*range(10))) == 2
    completed(db, session)
    before = db.ratings(session)
    assert enqueue(db, session, lines(*range(15))) == 1
    assert indexes(db, session) == [list(range(5)), list(range(5, 10)), list(range(10, 15))]
    row = wait_until(lambda: (p := progress(db, session)).lines_done == 15 and p)
    assert (row.status, row.lines_total, row.batches_total, row.lines_failed) == ("completed", 15, 3, 0)
    assert db.ratings(session)[:10] == before
    agree(db)
    job = db.row("SELECT job_data FROM grading_jobs WHERE session_id = %s ORDER BY id DESC LIMIT 1", session)
    assert (job.job_data["batchIndex"], job.job_data["totalBatches"]) == (2, 3)


def plain_batches(db, session, sizes=(5, 5, 2)):
    """Jobs as applications insert them, without indexes: a batch says how many lines are in it. Returns the transcript."""
    said = iter(range(sum(sizes)))
    for batch, size in enumerate(sizes):
        texts = [f"Line {next(said)}." for _ in range(size)]
        db.insert(session=session, job_data={"transcript": [{"speaker": "rep", "text": text} for text in texts],
                                             "batchIndex": batch, "batchSize": size})
    return [{"speaker": "rep", "text": f"Line {n}."} for n in range(sum(sizes))]


def test_plain_rows_enqueued_again_ask_nothing_twice(pool, db):
    """The last batch alone has lines without a rating; they come behind the others, as a full batch is of five."""
    session = new_session()
    transcript = plain_batches(db, session)
    wait_until(lambda: db.unsettled() == 0)
    assert rated(db, session) == list(range(12)) and db.session(session).stride == 5
    db.rows("UPDATE grading_jobs SET status = 'failed', error = 'by hand' WHERE job_data ->> 'batchIndex' = '2'")
    db.rows("DELETE FROM line_ratings WHERE line_index >= 10")
    told = submit(db, session, transcript)
    assert (told["jobs"], told["known"]) == (0, 12)
    told = submit(db, session, transcript + [{"speaker": "rep", "text": "One more."}])
    assert (told["jobs"], told["lines"], told["known"]) == (1, 1, 12)
    wait_until(lambda: db.unsettled() == 0)
    assert rated(db, session) == [*range(10), 12]


def test_plain_rows_enqueued_again_skip_nothing_that_is_unknown(pool, db):
    """What the short batch has is not taken for lines 4 and 5, which are nowhere any more."""
    session = new_session()
    transcript = plain_batches(db, session)
    wait_until(lambda: db.unsettled() == 0)
    db.rows("UPDATE grading_jobs SET status = 'failed', error = 'by hand' WHERE job_data ->> 'batchIndex' = '2'")
    db.rows("DELETE FROM grading_jobs WHERE status = 'completed'; DELETE FROM line_ratings")
    told = submit(db, session, transcript)
    assert (told["lines"], told["known"]) == (10, 2)
    wait_until(lambda: db.unsettled() == 0)
    assert rated(db, session) == list(range(10))


@pytest.mark.parametrize("stride, known", [(None, 0), (5, 2)])
def test_lines_of_a_short_batch_whose_place_nobody_knows_are_not_known(db, stride, known):
    session = new_session()
    db.insert(session=session, status="failed", job_data={
        "transcript": [{"speaker": "rep", "text": text} for text in ("Line 10.", "Line 11.")], "batchIndex": 2, "batchSize": 2})
    db.rows("INSERT INTO grading_sessions (session_id, stride) VALUES (%s, %s)", session, stride)
    assert submit(db, session, lines(*range(12)))["known"] == known


def test_growing_before_anything_is_rated(make_pool, db):
    session = new_session()
    assert [enqueue(db, session, lines(*range(n))) for n in (3, 3, 7, 7, 8)] == [1, 0, 1, 0, 1]
    assert indexes(db, session) == [[0, 1, 2], [3, 4, 5, 6], [7]]
    row = progress(db, session)
    assert (row.status, row.batches_total, row.lines_total, row.percent) == ("queued", 3, 8, 0)
    make_pool(db)
    completed(db, session)
    assert rated(db, session) == list(range(8))
    agree(db)


def test_growing_at_the_same_moment_makes_one_set_of_jobs(db):
    session, made = new_session(), []
    enqueue(db, session, lines(*range(10)))

    def go():
        with db.connect() as conn:
            made.append(conn.execute("SELECT grading_enqueue(%s, %s::jsonb)",
                                     (session, json.dumps(lines(*range(25))))).fetchone()[0])

    together(*[go] * 8)
    assert sorted(made) == [0] * 7 + [3]
    assert sorted(sum(indexes(db, session), [])) == list(range(25))
    assert (db.session(session).total_batches, db.session(session).total_lines) == (5, 25)


def test_growing_in_parts_of_different_size_at_the_same_moment(make_pool, db):
    """While they are rated, too: each line has one job, whoever comes first."""
    make_pool(db)
    session = new_session()

    def go(n):
        with db.connect() as conn:
            conn.execute("SELECT grading_enqueue(%s, %s::jsonb, batch_size => 2)", (session, json.dumps(lines(*range(n)))))

    together(*[lambda n=n: go(n) for n in range(1, 30, 2)])
    wait_until(lambda: progress(db, session).lines_done == 29)
    assert sorted(sum(indexes(db, session), [])) == rated(db, session) == list(range(29))
    completed(db, session)
    agree(db)


def test_what_others_say_comes_as_context_of_the_next_line(db):
    session = new_session()
    talk = [{"speaker": "rep" if n % 2 == 0 else "customer", "text": f"Line {n}."} for n in range(9)]
    assert enqueue(db, session, talk[:5]) == 1
    assert enqueue(db, session, talk[:6]) == 0          # a customer's line, and nothing to rate
    assert enqueue(db, session, talk) == 1
    assert indexes(db, session) == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]
    assert db.session(session).total_lines == 5


def test_lines_of_a_lost_batch_become_new_jobs(make_pool, db):
    session = new_session()
    enqueue(db, session, lines(*range(15)))
    db.rows("DELETE FROM grading_jobs WHERE session_id = %s AND (job_data ->> 'batchIndex')::int = 1", session)
    assert enqueue(db, session, lines(*range(15))) == 1
    assert sorted(indexes(db, session)) == [list(range(5)), list(range(5, 10)), list(range(10, 15))]
    make_pool(db)
    row = completed(db, session)
    assert (row.lines_done, row.lines_total, row.batches_total, row.lines_failed) == (15, 15, 3, 0)
    assert enqueue(db, session, lines(*range(15))) == 0


def test_a_line_with_another_text_is_reported_and_not_replaced(pool, db):
    session = new_session()
    enqueue(db, session, lines(0, 1, 2))
    completed(db, session)
    before = db.ratings(session)
    changed = lines(0, 1, 2, 3)
    changed[1]["text"] = "Something else."
    sql = "SELECT grading_submit(%s, %s::jsonb)"
    said = notices(db, sql, session, json.dumps(changed))
    assert len(said) == 1 and "another text" in said[0] and "index 1" in said[0] and session in said[0]
    assert submit(db, session, changed)["changed"] == [1]
    completed(db, session)
    assert db.ratings(session)[:3] == before and rated(db, session) == [0, 1, 2, 3]


def test_plain_rows_are_known_lines_as_well(db):
    session = new_session()
    db.insert(session=session, job_data={"transcript": rep("Line 0.", "Line 1."), "batchIndex": 0, "batchSize": 2})
    bare = [{"speaker": "rep", "text": f"Line {n}."} for n in (2, 3)]
    db.insert(session=session, job_data={"transcript": bare, "batchIndex": 1, "batchSize": 2})
    assert submit(db, session, lines(*range(5))) == {"jobs": 1, "lines": 1, "skipped": 0, "known": 4}
    job = db.row("SELECT job_data FROM grading_jobs WHERE session_id = %s ORDER BY id DESC LIMIT 1", session)
    assert job.job_data["transcript"] == lines(4)


# ---- indexes ----

@pytest.mark.parametrize("transcript, named, why", [
    ([0, 1, 0], {}, r"transcript[0] and transcript[2] both have index 0"),
    ([1, None], {"batch_size": 1}, r"transcript[0] and transcript[1] both have index 1"),
    (["1", 1], {}, r"both have index 1"),
    ([0, -1], {}, r"the index of transcript[1] is -1; it must be a whole number from 0 to 2147483647"),
    ([2147483648], {}, r"the index of transcript[0] is 2147483648"),
    (["01"], {}, r"the index of transcript[0] is "),
    (["one"], {}, r"the index of transcript[0] is "),
    ([1.5], {}, r"the index of transcript[0] is 1.5"),
    ([True], {}, r"the index of transcript[0] is true"),
    ([[1]], {}, r"the index of transcript[0] is [1]"),
])
def test_indexes_that_cannot_be_are_refused(db, transcript, named, why):
    session = new_session()
    said = [{"speaker": "rep", "text": f"Text {place}.", **({} if index is None else {"index": index})}
            for place, index in enumerate(transcript)]
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        enqueue(db, session, said, **named)
    assert why in str(refused.value)
    assert db.count() == 0 and db.session(session) is None


def test_indexes_as_strings_are_read_as_numbers(pool, db):
    session = new_session()
    said = [{"speaker": "rep", "text": "A.", "index": "3"}, {"speaker": "rep", "text": "B.", "line_number": "0"},
            {"speaker": "rep", "text": "C.", "index": 7.0}]
    assert enqueue(db, session, said) == 1
    completed(db, session)
    assert [(r.line_index, r.line_text) for r in db.ratings(session)] == [(0, "B."), (3, "A."), (7, "C.")]
    assert enqueue(db, session, lines(3, 0, 7)) == 0


def test_lines_that_are_not_rated_may_share_an_index(db):
    said = lines(0, 1) + lines(1, speaker="customer") + lines(1, text=" ")
    assert submit(db, new_session(), said) == {"jobs": 1, "lines": 2, "skipped": 1, "known": 0}


# ---- sessions that end ----

def waiting(db, n=3):
    session = new_session()
    assert enqueue(db, session, lines(*range(n)), batch_size=1) == n
    return session


def test_jobs_set_to_failed_by_hand_end_the_session(make_pool, db):
    session = waiting(db)
    db.rows(GUARDED.format("status = 'failed'"), session)
    row = progress(db, session)
    assert (row.status, row.percent, row.batches_done, row.batches_failed, row.batches_total) == ("failed", 100, 3, 3, 3)
    assert (row.lines_done, row.lines_failed, row.lines_total) == (0, 3, 3)
    assert db.value("SELECT grading_recount(%s)", session) is True
    assert progress(db, session)[:9] == row[:9] and db.session(session).status == "failed"
    assert db.value("SELECT grading_recount(%s)", session) is False
    agree(db)
    assert db.value("SELECT grading_retry(%s)", session) == 3
    agree(db)
    make_pool(db)
    row = completed(db, session)
    assert (row.batches_done, row.batches_failed, row.lines_done, row.lines_failed) == (3, 0, 3, 0)
    agree(db)


def test_pending_rows_that_are_deleted_end_the_session(make_pool, db):
    session = waiting(db)
    db.rows("DELETE FROM grading_jobs WHERE session_id = %s", session)
    row = progress(db, session)
    assert (row.status, row.percent, row.lines_done, row.lines_failed, row.lines_total) == ("failed", 100, 0, 3, 3)
    assert row.batches_done == row.batches_total == row.batches_failed
    assert row.completed_at
    assert enqueue(db, session, lines(0, 1, 2), batch_size=1) == 3
    row = progress(db, session)
    assert (row.status, row.percent, row.batches_done, row.batches_total) == ("queued", 0, 0, 3)
    make_pool(db)
    row = completed(db, session)
    assert (row.lines_done, row.lines_failed, row.batches_failed) == (3, 0, 0)
    agree(db)


def test_a_recount_survives_the_loss_of_all_rows(db):
    session = waiting(db)
    db.rows("DELETE FROM grading_jobs WHERE session_id = %s", session)
    assert db.value("SELECT grading_recount(%s)", session) is True
    assert progress(db, session).status == db.session(session).status == "failed"
    assert enqueue(db, session, lines(0, 1, 2), batch_size=1) == 3
    row = db.session(session)
    assert (row.total_batches, row.failed_batches, row.status, row.completed_at) == (3, 0, "queued", None)


def test_some_rows_deleted_end_the_session_with_the_others(make_pool, db):
    session = waiting(db)
    db.rows("DELETE FROM grading_jobs WHERE session_id = %s AND (job_data ->> 'batchIndex')::int = 2", session)
    make_pool(db)
    row = completed(db, session)
    assert (row.percent, row.batches_done, row.batches_total, row.batches_failed) == (100, 2, 2, 0)
    assert (row.lines_done, row.lines_failed, row.lines_total) == (2, 1, 3)
    assert db.value("SELECT grading_recount(%s)", session) is True
    agree(db)
    assert progress(db, session)[:8] == row[:8]


def test_a_job_completed_by_somebody_elses_worker(make_openai_pool, db, llm):
    """While ours had it: what ours brings is dropped, and the session ends all the same."""
    make_openai_pool()
    llm.behave({"text": "Line 1.", "hold": "held"}, "good")
    session = waiting(db, 2)
    wait_until(lambda: rated(db, session) == [0])
    held = "session_id = %s AND (job_data ->> 'batchIndex')::int = 1"
    wait_until(lambda: db.value(f"SELECT status FROM grading_jobs WHERE {held}", session) == "processing")
    db.rows(f"UPDATE grading_jobs SET status = 'completed', completed_at = now() WHERE {held}", session)
    row = progress(db, session)
    assert (row.status, row.percent, row.batches_done, row.batches_total) == ("completed", 100, 2, 2)
    assert (row.lines_done, row.lines_failed) == (1, 1)
    llm.release()
    assert db.value("SELECT grading_retry(%s)", session) == 0
    agree(db)
    listed = ctl(db, "jobs", "--incomplete")
    assert session in listed.stdout and "not by gradingd" in listed.stdout
    assert db.value("SELECT grading_retry(%s, incomplete => true)", session) == 1
    wait_until(lambda: rated(db, session) == [0, 1])
    assert completed(db, session).lines_failed == 0
    agree(db)


def test_plain_rows_that_somebody_set_to_failed_are_a_session(db):
    session = new_session()
    db.insert(rep("A.", "B."), session=session)
    db.rows(GUARDED.format("status = 'failed'"), session)
    row = progress(db, session)
    assert (row.status, row.percent, row.batches_failed, row.lines_failed) == ("failed", 100, 1, 2)


def test_rows_that_are_still_to_come_are_waited_for(pool, db):
    """An application announces three batches itself: it is not over after the first, but some time after the last."""
    session = new_session()
    for n in range(2):
        job = db.insert(session=session, job_data={"transcript": rep("A.", first=n), "totalBatches": 3, "batchIndex": n})
        db.wait(job, "completed")
        row = progress(db, session)
        assert (row.status, row.batches_done, row.batches_total) == ("processing", n + 1, 3)
    db.rows("UPDATE grading_sessions SET updated_at = now() - interval '11 s' WHERE session_id = %s", session)
    row = progress(db, session)
    assert (row.status, row.percent, row.batches_done, row.batches_total) == ("completed", 100, 2, 2)


def test_cleaned_jobs_stay_counted(pool, db):
    session = waiting(db)
    completed(db, session)
    db.rows("DELETE FROM grading_jobs WHERE session_id = %s", session)
    assert db.value("SELECT grading_recount(%s)", session) is False
    assert db.value("SELECT grading_retry(%s, incomplete => true)", session) == 0
    row = progress(db, session)
    assert (row.status, row.batches_done, row.batches_total, row.lines_done) == ("completed", 3, 3, 3)
    assert enqueue(db, session, lines(*range(3)), batch_size=1) == 0


def test_recounts_and_settlements_at_the_same_moment(make_pool, db):
    make_pool(db)
    sessions = [waiting(db, 20) for _ in range(10)]

    def recount():
        with db.connect() as conn:
            while conn.execute("SELECT EXISTS (SELECT FROM grading_jobs WHERE status IN ('pending', 'processing'))"
                               ).fetchone()[0]:
                conn.execute("SELECT grading_recount_many(%s::uuid[])", (sessions,))

    together(*[recount] * 3)
    for session in sessions:
        assert completed(db, session).batches_done == 20
    agree(db)


def test_doctor_names_sessions_that_will_not_end(db):
    assert "none waits for jobs that are not there" in ctl(db, "doctor").stdout
    session = waiting(db)
    db.rows("DELETE FROM grading_jobs WHERE session_id = %s", session)
    db.rows("UPDATE grading_sessions SET updated_at = now() - interval '2 minutes' WHERE session_id = %s", session)
    told = " ".join(ctl(db, "doctor").stdout.split())
    assert session in told and "1 session has no open job" in told and "grading_recount" in told
    db.rows("SELECT grading_recount(%s)", session)
    assert session not in ctl(db, "doctor").stdout


def test_waiting_for_a_session_ends_with_its_jobs(db):
    session = new_session()
    db.rows("SELECT grading_enqueue(%s, %s::jsonb)", session, json.dumps(lines(0)))
    db.rows("DELETE FROM grading_jobs")
    db.rows("UPDATE grading_sessions SET lines = NULL")
    enqueue(db, session, lines(0))
    db.rows("UPDATE grading_jobs SET status = 'failed'")
    done = ctl(db, "enqueue", "--wait", "-", input=json.dumps({"id": session, "transcript": lines(0)}))
    assert done.returncode == 1, done


# ---- lines that were given up ----

@pytest.fixture
def incomplete(make_openai_pool, db, llm):
    """A session of two jobs, in the first of which a line got no rating in all attempts."""
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": "content_filter", "text": "Line 1."}, "good")
    session = new_session()
    enqueue(db, session, lines(*range(5)), batch_size=3)
    wait_until(lambda: hurry(db) or progress(db, session).status == "completed", pause=0.1)
    return session


def test_incomplete_jobs_are_found(incomplete, db):
    row = progress(db, incomplete)
    assert (row.status, row.percent, row.batches_done, row.batches_failed) == ("completed", 100, 2, 0)
    assert (row.lines_done, row.lines_failed, row.lines_total) == (4, 1, 5)
    found = [json.loads(line) for line in ctl(db, "--json", "jobs", "--incomplete").stdout.splitlines()]
    assert [(job["session_id"], job["status"], job["batch"]) for job in found] == [(incomplete, "completed", "0")]
    assert "line 1" in found[0]["error"]
    assert ctl(db, "--json", "jobs", "--failed").stdout == ""
    told = ctl(db, "progress", incomplete)
    assert "1 given up" in told.stdout and f"retry --incomplete {incomplete}" in told.stderr


@pytest.mark.parametrize("words", [["retry", "--incomplete"], ["retry", "--incomplete", "SESSION"],
                                   ["retry", "--failed", "--incomplete"]])
def test_a_retry_asks_only_for_what_is_missing(incomplete, db, llm, words):
    before = {r.line_index: r for r in db.ratings(incomplete)}
    llm.behave("good")
    asked = len(llm.requests)
    assert ctl(db, "retry", incomplete).stdout.startswith("0 jobs")
    assert ctl(db, "retry", "--failed").stdout.startswith("0 jobs")
    done = ctl(db, *[incomplete if word == "SESSION" else word for word in words])
    assert done.returncode == 0 and done.stdout.startswith("1 job "), done
    wait_until(lambda: rated(db, incomplete) == [0, 1, 2, 3, 4])
    row = completed(db, incomplete)
    assert (row.lines_done, row.lines_failed, row.lines_total, row.batches_done, row.batches_total) == (5, 0, 5, 2, 2)
    agree(db)
    assert {r.line_index: r for r in db.ratings(incomplete) if r.line_index != 1} == before
    questions = list(llm.requests)[asked:]
    assert [[line["line"] for line in request["question"]["lines"]] for request in questions] == [[1]]
    assert ctl(db, "retry", "--incomplete").stdout.startswith("0 jobs")
    assert ctl(db, "--json", "jobs", "--incomplete").stdout == ""


def test_a_retry_that_gives_up_again_counts_once(incomplete, db):
    for _ in range(2):
        db.rows("BEGIN")
        assert db.value("SELECT grading_retry(%s, incomplete => true)", incomplete) == 1
        agree(db)
        row = progress(db, incomplete)
        db.rows("COMMIT")
        assert (row.status, row.batches_done, row.batches_total, row.lines_done) == ("processing", 1, 2, 4)
        wait_until(lambda: hurry(db) or progress(db, incomplete).status == "completed", pause=0.1)
        agree(db)
        row = progress(db, incomplete)
        assert (row.lines_done, row.lines_failed, row.lines_total, row.batches_done) == (4, 1, 5, 2)


def test_lines_that_have_failed_are_told_while_others_wait(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "400", "text": "Line 0."}, {"text": "Line 4.", "hold": "last"}, "good")
    session = new_session()
    enqueue(db, session, lines(*range(6)), batch_size=2)
    row = wait_until(lambda: (p := progress(db, session)).batches_done == 2 and p)
    assert (row.status, row.batches_failed, row.lines_done, row.lines_failed) == ("processing", 0, 3, 1)
    llm.release()
    row = completed(db, session)
    assert (row.lines_done, row.lines_failed) == (5, 1)


# ---- grading_submit ----

def test_a_submission_tells_what_became_of_it(pool, db):
    session = new_session()
    said = lines(0, 1, 2) + [{"speaker": "rep", "text": " ", "index": 3}] + lines(4, speaker="customer")
    assert submit(db, session, said) == {"jobs": 1, "lines": 3, "skipped": 1, "known": 0}
    assert submit(db, session, said) == {"jobs": 0, "lines": 0, "skipped": 1, "known": 3}
    completed(db, session)
    assert submit(db, session, said + lines(5, 6)) == {"jobs": 1, "lines": 2, "skipped": 1, "known": 3}
    assert submit(db, new_session(), []) == {"jobs": 0, "lines": 0, "skipped": 0, "known": 0}


def test_options_reach_the_jobs(db):
    session = new_session()
    told = submit(db, session, lines(0, 1, 2), sales_rep_name="Sam", customer_name="Jo", batch_size=2, priority=-3,
                  tenant="acme", profile="calls")
    assert told == {"jobs": 2, "lines": 3, "skipped": 0, "known": 0}
    rows = db.rows("SELECT * FROM grading_jobs WHERE session_id = %s", session)
    assert {(r.priority, r.tenant, r.profile, r.job_data["salesRepName"], r.job_data["customerName"]) for r in rows} == {
        (-3, "acme", "calls", "Sam", "Jo")}
    assert db.row("SELECT tenant, profile FROM grading_sessions WHERE session_id = %s", session) == ("acme", "calls")
    assert submit(db, new_session(), lines(0), sales_rep_name=None, priority=None, speakers=None)["jobs"] == 1


@pytest.mark.parametrize("options, why", [
    ({"batchsize": 5}, 'there is no option "batchsize"'), ({"batch_size": 0}, "batch_size is 0"),
    ({"batch_size": "5"}, 'batch_size is "5"'), ({"batch_size": None}, "batch_size is null"), ({"batch_size": 1.5}, "1.5"),
    ({"priority": 2147483648}, "priority is 2147483648"), ({"speakers": []}, "speakers is []"),
    ({"speakers": "rep"}, 'speakers is "rep"'), ({"speakers": ["a", 1]}, "speakers is"),
    ({"speakers": [f"s{n}" for n in range(21)]}, "an array of 1 to 20 names"), ({"tenant": 7}, "tenant is 7"),
    ([], "options must be a JSON object"),
])
def test_options_that_cannot_be_are_refused_by_name(db, options, why):
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        db.value("SELECT grading_submit(%s, %s::jsonb, %s::jsonb)", new_session(), json.dumps(lines(0)), json.dumps(options))
    assert why in str(refused.value)
    assert db.count() == 0


# ---- who is rated ----

SUBMIT = "SELECT grading_submit(%s, %s::jsonb)"


def test_a_user_beside_an_agent_is_told(db):
    session = new_session()
    said = notices(db, SUBMIT, session, json.dumps(lines(0, 1, 2, speaker="agent") + lines(3, 4, speaker="user")))
    assert len(said) == 1 and session in said[0]
    assert '2 of speaker "user"' in said[0] and '3 of speaker "agent"' in said[0] and "rater.speakers" in said[0]
    assert said[0].index("user") < said[0].index("not rated") < said[0].index("agent")
    said = notices(db, "SELECT grading_submit(%s, %s::jsonb, '{\"speakers\": [\"user\"]}')", new_session(),
                   json.dumps(lines(0, speaker="agent") + lines(1, speaker="user")))
    assert len(said) == 1 and 'the option "speakers" of this call' in said[0] and "rater.speakers" not in said[0]
    assert notices(db, SUBMIT, new_session(), json.dumps(lines(0, speaker="user") + lines(1, speaker="customer"))) == []
    assert notices(db, SUBMIT, new_session(), json.dumps(lines(0) + lines(1, speaker="customer"))) == []


def test_enqueueing_what_rates_nothing_fails(db):
    session = new_session()
    for transcript in (lines(0, speaker="customer"), []):
        done = ctl(db, "enqueue", "-", input=json.dumps({"id": session, "transcript": transcript}))
        assert done.returncode == 1 and "nothing is rated" in done.stderr, done
    for nothing in ("", "[]"):
        done = ctl(db, "enqueue", "-", input=nothing)
        assert done.returncode == 1 and "there is no transcript" in done.stderr, done
    good = json.dumps({"id": new_session(), "transcript": lines(0)})
    assert [ctl(db, "enqueue", "-", input=good).returncode for _ in range(2)] == [0, 0]


def test_enqueueing_what_has_grown(db):
    session = new_session()
    for n, told in ((3, "enqueued 1 session: 1 job, 3 lines to rate"), (3, "1 session was already there"),
                    (5, "enqueued 1 session: 1 job, 2 lines to rate; 1 of them already there, and grown")):
        done = ctl(db, "enqueue", "-", input=json.dumps({"id": session, "transcript": lines(*range(n))}))
        assert done.returncode == 0 and told in done.stdout, done


# ---- room in the queue ----

def test_a_full_queue_refuses_transcripts_and_no_plain_row(make_pool, db, tmp_path):
    pool = make_pool(db, queue={"max_pending": 3})
    pool.pause()
    wait_until(lambda: db.value("SELECT value FROM grading_settings WHERE name = 'queue.max_pending'") == 3)
    enqueue(db, new_session(), lines(0, 1), batch_size=1)
    session = new_session()
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded) as refused:
        enqueue(db, session, lines(0, 1), batch_size=1)
    assert "the queue is full: 2 jobs wait" in str(refused.value)
    assert db.session(session) is None and db.count() == 2
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:        # trying again is of no use
        enqueue(db, session, lines(0, 1, 2, 3), batch_size=1)
    assert "makes 4 jobs, for which there is never room: queue.max_pending is 3" in str(refused.value)
    assert enqueue(db, session, lines(0), batch_size=1) == 1
    db.insert()
    done = ctl(db, "enqueue", "-", input="".join(json.dumps({"id": f"s{n}", "transcript": lines(0)}) + "\n" for n in (1, 2)))
    assert done.returncode == 75, done
    assert "standard input:1: the database says: the queue is full: 3 or more jobs wait" in done.stderr, done
    pool.ctl("resume")
    wait_until(lambda: not db.unsettled())
    assert ctl(db, "enqueue", "-", input=json.dumps({"id": "s1", "transcript": lines(0)})).returncode == 0
    pool.configure(queue={"max_pending": 0})
    pool.ctl("reload")
    wait_until(lambda: db.value("SELECT value FROM grading_settings WHERE name = 'queue.max_pending'") == 0)


# ---- forgetting ----

def all_of(db, session):
    return [db.value(f"SELECT count(*) FROM {table} WHERE session_id = %s", session)
            for table in ("grading_jobs", "line_ratings", "grading_sessions")]


def phrases(db):
    return {row.phrase for row in db.rows("SELECT phrase FROM phrase_cache")}


def test_a_forgotten_session_leaves_nothing(make_openai_pool, db):
    make_openai_pool()
    session, other = new_session(), new_session()
    enqueue(db, session, lines(0, 1) + lines(2, speaker="customer", text="Mine."), batch_size=2)
    completed(db, session)
    enqueue(db, other, lines(1, 7))
    completed(db, other)
    wait_until(lambda: phrases(db) == {"Line 0.", "Line 1.", "Line 7."})
    assert db.value("SELECT grading_forget(%s)", session) == 2 + 2 + 1 + 1
    assert all_of(db, session) == [0, 0, 0] and progress(db, session) is None
    assert phrases(db) == {"Line 1.", "Line 7."}       # the other session's, too
    assert all_of(db, other) == [1, 2, 1]
    assert db.value("SELECT grading_forget(%s)", session) == 0
    assert enqueue(db, session, lines(0, 1)) == 1
    completed(db, session)
    done = ctl(db, "forget", session, other)
    assert done.returncode == 0 and "removed" in done.stdout
    assert phrases(db) == set() and db.count() == 0


def test_a_session_is_forgotten_while_it_is_rated(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"text": "Line 0.", "hold": "held"}, "good")
    session = new_session()
    enqueue(db, session, lines(0))
    wait_until(lambda: llm.in_flight == 1)
    assert db.value("SELECT grading_forget(%s)", session) == 2
    llm.release()
    wait_until(lambda: llm.in_flight == 0)
    db.completed(rep("Something else."))
    assert all_of(db, session) == [0, 0, 0]


def test_what_is_settled_while_its_session_is_being_forgotten_goes_with_it(make_openai_pool, db):
    """A line that joins the session then, and is rated before the session's own row goes."""
    make_openai_pool()
    session = new_session()
    enqueue(db, session, lines(0))
    completed(db, session)
    wait_until(lambda: phrases(db) == {"Line 0."})
    with db.connect(autocommit=False) as holder, db.connect() as eraser:
        holder.execute("SELECT FROM phrase_cache FOR UPDATE")
        removed = []
        thread = threading.Thread(target=lambda: removed.append(
            eraser.execute("SELECT grading_forget(%s)", [session]).fetchone()[0]), daemon=True)
        thread.start()
        db.wait_blocked()
        assert enqueue(db, session, lines(0, 1)) == 1
        wait_until(lambda: rated(db, session) == [0, 1])
        holder.rollback()
        thread.join(PATIENCE_S)
    assert removed == [2 + 2 + 2 + 1]
    assert all_of(db, session) == [0, 0, 0] and phrases(db) == set()
    assert enqueue(db, session, lines(0, 1)) == 1
    completed(db, session)
    assert rated(db, session) == [0, 1]


@pytest.mark.parametrize("attempts", [0, 1])        # settled in short, and in general
def test_what_a_worker_still_has_of_a_forgotten_session_is_not_cached(make_openai_pool, db, llm, attempts):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"text": "Line 0.", "hold": "held"}, "good")
    session = new_session()
    db.insert(lines(0), session, attempts=attempts, counted_as="failed" if attempts else None)
    wait_until(lambda: llm.in_flight == 1)
    assert db.value("SELECT grading_forget(%s)", session) >= 1
    llm.release()
    pool.wait_metric("claims_lost_total", 1)
    assert phrases(db) == set() and all_of(db, session) == [0, 0, 0]


def test_sessions_that_the_application_deletes_are_forgotten(pool, db):
    assert db.value("SELECT grading_follow_live_sessions()") is False
    db.rows("CREATE TABLE live_sessions (id uuid PRIMARY KEY, analytics jsonb)")
    assert db.value("SELECT grading_follow_live_sessions()") is True
    assert db.value("SELECT grading_follow_live_sessions()") is True
    sessions = [new_session() for _ in range(3)]
    for session in sessions:
        db.rows("INSERT INTO live_sessions VALUES (%s)", session)
        enqueue(db, session, lines(0, 1))
        completed(db, session)
    db.rows("DELETE FROM live_sessions WHERE id = ANY(%s::uuid[])", sessions[:2])
    assert [all_of(db, session) for session in sessions] == [[0, 0, 0], [0, 0, 0], [1, 2, 1]]
    db.rows("DELETE FROM live_sessions WHERE id = %s", new_session())
    assert all_of(db, sessions[2]) == [1, 2, 1]


def test_migrate_follows_live_sessions(bare_db):
    bare_db.rows("CREATE TABLE live_sessions (id uuid PRIMARY KEY)")
    assert ctl(bare_db, "migrate").returncode == 0
    assert bare_db.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'live_sessions'::regclass AND NOT tgisinternal") == 1
    assert "is missing" not in ctl(bare_db, "doctor").stdout


# ---- sessions and ratings that are old ----

def make_old(db, *sessions):
    db.rows("UPDATE grading_sessions SET updated_at = now() - interval '2 h' WHERE session_id = ANY(%s::uuid[])", list(sessions))


def test_old_ratings_and_sessions_are_removed(make_pool, db):
    pool = make_pool(db, start=False, queue={"keep_ratings": "1h", "poll": "100ms", "keep_completed": "0"})
    sessions = [waiting(db) for _ in range(3)]
    pool.start()
    for session in sessions:
        completed(db, session)
    pool.stop()
    make_old(db, sessions[0])
    pool.start()
    wait_until(lambda: rated(db, sessions[0]) == [])
    row = db.session(sessions[0])
    assert (row.rated_lines, row.status) == (3, "completed") and row.cleaned_at
    assert progress(db, sessions[0]).lines_done == 3
    assert enqueue(db, sessions[0], lines(0, 1, 2), batch_size=1) == 0       # what is gone for its age is not asked for again
    assert rated(db, sessions[1]) == [0, 1, 2]
    pool.stop()
    pool.configure(queue={"keep_ratings": "0", "keep_sessions": "1h"})
    make_old(db, sessions[1])
    open_one = waiting(db)
    make_old(db, open_one)
    pool.start()
    wait_until(lambda: db.session(sessions[1]) is None)
    assert rated(db, sessions[1]) == [] and rated(db, sessions[2]) == [0, 1, 2]
    completed(db, open_one)


def test_a_session_that_the_application_holds_on_to_stops_no_other(make_pool, db):
    sessions = [waiting(db, 1) for _ in range(5)]
    pool = make_pool(db, queue={"keep_sessions": "1h", "poll": "100ms"})
    for session in sessions:
        completed(db, session)
    pool.stop()
    db.rows("CREATE TABLE note (session uuid REFERENCES grading_sessions (session_id))")
    db.rows("INSERT INTO note VALUES (%s)", sessions[2])
    make_old(db, *sessions)
    pool.start()
    wait_until(lambda: db.value("SELECT count(*) FROM grading_sessions") == 1)
    assert db.session(sessions[2]) and rated(db, sessions[2]) == [0]
    wait_until(lambda: "old sessions cannot be removed" in pool.log)


def test_a_session_has_speakers_of_its_own(pool, db):
    session = new_session()
    said = lines(0, 1, speaker=" Agent") + lines(2, speaker="user") + lines(3)
    assert submit(db, session, said, speakers=["AGENT", "bot"]) == {"jobs": 1, "lines": 2, "skipped": 0, "known": 0}
    row = completed(db, session)
    assert (rated(db, session), row.lines_total, row.lines_failed) == ([0, 1], 2, 0)
    assert submit(db, session, said, speakers=["agent", "bot"])["jobs"] == 0


@pytest.mark.parametrize("own", [[], "rep", {}, [1], ["rep"] * 21])
def test_speakers_that_cannot_be_fail_the_job_by_name(pool, db, own):
    job = db.wait(db.insert(job_data={"transcript": rep("A."), "ratedSpeakers": own}), "failed")
    assert "ratedSpeakers" in job.error
