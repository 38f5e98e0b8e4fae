"""SQL for applications: grading_enqueue, grading_progress, grading_ratings."""
import json

import psycopg
import pytest

from harness import new_session, rep, together, wait_until

TRANSCRIPT = [line for n in range(0, 24, 2) for line in
              (*rep(f"Rep says {n}.", first=n), *rep(f"Customer says {n}.", first=n + 1, speaker="customer"))]


def enqueue(db, session, transcript=None, **named):
    transcript = json.dumps(TRANSCRIPT if transcript is None else transcript)
    more = "".join(f", {name} => %s" for name in named)
    return db.value(f"SELECT grading_enqueue(%s, %s::jsonb{more})", session, transcript, *named.values())


def progress(db, session):
    return db.row("SELECT * FROM grading_progress(%s)", session)


def ratings(db, session, since=0):
    return db.rows("SELECT * FROM grading_ratings(%s, %s)", session, since)


@pytest.mark.parametrize("size, jobs", [(1, 24), (5, 5), (24, 1), (1000, 1)])
def test_a_transcript_is_split_into_batches(db, size, jobs):
    session = new_session()
    assert enqueue(db, session, batch_size=size) == jobs
    rows = db.rows("SELECT job_data FROM grading_jobs WHERE session_id = %s ORDER BY (job_data ->> 'batchIndex')::int", session)
    assert [row.job_data["batchIndex"] for row in rows] == list(range(jobs))
    assert [line for row in rows for line in row.job_data["transcript"]] == TRANSCRIPT
    assert {row.job_data["totalBatches"] for row in rows} == {jobs}


def test_names_and_priority_travel_with_the_jobs(db):
    enqueue(db, new_session(), sales_rep_name="Sam", customer_name="Jo", priority=3)
    job = db.row("SELECT * FROM grading_jobs LIMIT 1")
    assert (job.job_data["salesRepName"], job.job_data["customerName"], job.priority) == ("Sam", "Jo", 3)


def test_enqueueing_twice_is_harmless(pool, db):
    session = new_session()
    assert (enqueue(db, session), enqueue(db, session)) == (5, 0)
    wait_until(lambda: progress(db, session).status == "completed")
    assert enqueue(db, session) == 0
    assert db.count() == 5


def test_enqueueing_at_the_same_moment_makes_one_set_of_jobs(db):
    session, made = new_session(), []

    def go():
        with db.connect() as conn:
            made.append(conn.execute("SELECT grading_enqueue(%s, %s::jsonb)", (session, json.dumps(TRANSCRIPT))).fetchone()[0])

    together(*[go] * 8)
    assert sorted(made) == [0] * 7 + [5]
    assert db.count() == 5


def test_lines_without_an_index_keep_their_place_in_the_whole(pool, db):
    session = new_session()
    enqueue(db, session, [{"speaker": "rep", "text": f"Line {n}."} for n in range(12)])
    wait_until(lambda: progress(db, session).status == "completed")
    assert [(r.line_index, r.line_text) for r in db.ratings(session)] == [(n, f"Line {n}.") for n in range(12)]


@pytest.mark.parametrize("arguments", ["NULL, '[]'", "gen_random_uuid(), NULL", "gen_random_uuid(), '{}'",
                                       "gen_random_uuid(), '[]', batch_size => 0", "gen_random_uuid(), '[]', batch_size => -1",
                                       "gen_random_uuid(), '[]', batch_size => NULL"])
def test_nonsense_is_refused(db, arguments):
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        db.rows(f"SELECT grading_enqueue({arguments})")
    assert db.count() == 0


def test_plain_rows_that_nobody_has_claimed_are_a_queued_session(db):
    session = new_session()
    for n in range(2):
        db.insert(rep(f"Line {n}.", first=n), session=session)
    shown = db.row("SELECT * FROM grading_progress(%s)", session)
    assert (shown.status, shown.batches_done, shown.batches_total, shown.percent) == ("queued", 0, 2, 0)
    assert db.rows("SELECT * FROM grading_progress(%s)", new_session()) == []


def test_progress_from_queued_to_completed(make_openai_pool, db, llm):
    pool = make_openai_pool(start=False)
    session = new_session()
    assert progress(db, session) is None
    enqueue(db, session)
    row = progress(db, session)
    assert (row.status, row.batches_done, row.batches_total, row.lines_done, row.lines_total, row.percent) == (
        "queued", 0, 5, 0, 12, 0)
    assert row.eta_seconds is None
    llm.behave({"text": "Rep says 0.", "hold": "first"}, "good")
    pool.start()
    row = wait_until(lambda: (p := progress(db, session)).batches_done == 4 and p)
    assert (row.status, row.percent) == ("processing", 80)
    assert row.eta_seconds is not None and row.first_rated_at
    llm.release()
    row = wait_until(lambda: (p := progress(db, session)).status == "completed" and p)
    assert (row.lines_done, row.lines_total, row.percent, row.eta_seconds) == (12, 12, 100, 0)
    assert row.completed_at


def test_a_session_of_plain_rows_is_over_when_the_last_of_them_is(make_openai_pool, db, llm):
    """Nobody says how many there will be; one that waits or is being rated is one that is there."""
    pool = make_openai_pool()
    session = new_session()
    db.completed(rep("First."), session=session)
    row = progress(db, session)
    assert (row.status, row.batches_done, row.batches_total, row.percent, row.eta_seconds) == ("completed", 1, 1, 100, 0)
    llm.behave({"text": "Last.", "hold": "last"}, "good")
    pool.ctl("pause")
    last = db.insert(rep("Last.", first=1), session=session)
    for status in ("pending", "processing"):
        db.wait(last, status)
        row = progress(db, session)
        assert (row.status, row.batches_done, row.batches_total, row.percent) == ("processing", 1, 2, 50)
        assert row.completed_at is None and row.eta_seconds is not None
        pool.ctl("resume")
    llm.release()
    done = db.wait(last, "completed")
    row = progress(db, session)
    assert (row.status, row.batches_done, row.batches_total, row.percent) == ("completed", 2, 2, 100)
    assert row.completed_at == done.completed_at


def test_no_session_is_over_while_a_job_of_it_is_open(pool, db):
    """Plain rows of many sessions, one by one and in any order, some of which fail; asked all the while."""
    sessions = [new_session() for _ in range(10)]
    early = ("SELECT g.id FROM grading_jobs g, grading_progress(g.session_id) p WHERE p.status IN ('completed', 'failed')"
             " AND g.status IN ('pending', 'processing')")

    def insert(first):
        with db.connect() as conn:
            for n in range(first, first + 5):
                for session in sessions:
                    conn.execute("INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (%s, 'line_rating', %s)",
                                 (session, json.dumps({"transcript": rep("A.", first=n)} if n % 4 else [])))

    def watch():
        with db.connect() as conn:
            assert conn.execute(early).fetchall() == []
        return db.count() == 15 * len(sessions) and not db.unsettled()

    together(*[lambda first=first: insert(first) for first in (0, 5, 10)], lambda: wait_until(watch))
    assert db.count() == 15 * len(sessions)
    for session in sessions:
        row = progress(db, session)
        assert (row.status, row.batches_done, row.batches_failed, row.batches_total) == ("completed", 15, 4, 15)
        assert row.completed_at == db.session(session).completed_at == db.value(
            "SELECT max(coalesce(completed_at, failed_at)) FROM grading_jobs WHERE session_id = %s", session)


def test_what_is_to_be_rated_is_counted_as_it_will_be_rated(pool, db):
    """Odd entries must not leave a session at 90 percent for ever."""
    session = new_session()
    enqueue(db, session, [
        {"speaker": "rep", "text": "A."}, {"speaker": " Rep\n", "message": "B."}, {"speaker": "user", "text": " \t"},
        {"speaker": "rep"}, {"speaker": "rep", "text": "\u00a0"}, {"speaker": "rep", "text": "\u200b"},
        {"speaker": "rep", "text": "\u2003\u3000"}, {"speaker": "rep", "text": "\u0085"}, {"speaker": "\u00a0rep", "text": "E."},
        {"speaker": "customer", "text": "C."}, {"speaker": None, "text": "D."}])
    row = wait_until(lambda: (p := progress(db, session)).status in ("completed", "failed") and p)
    assert row.lines_done == row.lines_total == len(db.ratings(session))


def test_ratings_since_a_cursor(pool, db):
    session = new_session()
    enqueue(db, session)
    wait_until(lambda: progress(db, session).status == "completed")
    everything = ratings(db, session)
    cursors = [r.cursor for r in everything]
    assert len(cursors) == 12 and cursors == sorted(set(cursors)) and cursors[0] > 0
    assert ratings(db, session, cursors[6]) == everything[7:]
    assert ratings(db, session, cursors[-1]) == []
    assert ratings(db, session, None) == everything
    assert ratings(db, new_session()) == []


def test_a_cursor_never_misses_a_line_while_ratings_arrive(make_pool, db):
    """Several workers store lines of one session while a front end polls as fast as it can."""
    make_pool(db, pool={"workers": 4, "claim_batch": 2})
    session = new_session()
    enqueue(db, session, [{"speaker": "rep", "text": f"Line {n}."} for n in range(600)], batch_size=2)
    cursor, seen = 0, []

    def poll():
        nonlocal cursor
        done = progress(db, session).status == "completed"
        new = ratings(db, session, cursor)
        seen.extend(r.line_index for r in new)
        cursor = max([cursor, *(r.cursor for r in new)])
        return done

    wait_until(poll)
    assert sorted(seen) == list(range(600))


def test_partial_results_are_visible_before_the_session_is_complete(make_openai_pool, db, llm):
    make_openai_pool()
    session = new_session()
    llm.behave({"text": "Rep says 22.", "hold": "last"}, "good")
    enqueue(db, session)
    wait_until(lambda: len(ratings(db, session)) >= 8)
    assert progress(db, session).status == "processing"
    llm.release()
    wait_until(lambda: progress(db, session).status == "completed")
