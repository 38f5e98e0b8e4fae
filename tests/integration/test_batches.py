"""Batches whose lines have no index of their own, and lines of two jobs under one index: no text is lost or replaced.

Applications say how many lines are in *this* batch, so the last one says fewer. Its lines come behind those of the others
all the same, in whatever order the batches are inserted and claimed, and whatever became of the others meanwhile.
"""
import random
import sys

import pytest

import harness
from harness import new_session, rep, wait_until

LINES = 12
SIZE = 5
TEXTS = [f"Line {n} of a talk?" for n in range(LINES)]


def batches(texts=tuple(TEXTS), size=SIZE, total=True, speaker="rep"):
    """job_data of each batch, as real applications write it: without indexes, batchSize that of the batch."""
    cut = [texts[n:n + size] for n in range(0, len(texts), size)]
    return [{"transcript": [{"speaker": speaker, "message": text} for text in part], "batchIndex": n,
             "batchSize": len(part), **({"totalBatches": len(cut)} if total else {})} for n, part in enumerate(cut)]


def insert(db, session, data):
    """All in one transaction, in this order. Returns the ids."""
    with db.connect(autocommit=False) as conn:
        return [conn.execute("INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (%s, 'line_rating', %s)"
                             " RETURNING id", (session, harness.Jsonb(d))).fetchone().id for d in data]


def stored(db, session):
    return [(row.line_index, row.line_text) for row in db.ratings(session)]


def in_order(texts=tuple(TEXTS)):
    return list(enumerate(texts))


def wait_ended(db):
    wait_until(lambda: db.unsettled() == 0)


def assert_whole(db, session, jobs, texts=tuple(TEXTS)):
    for job in jobs:
        row = db.wait(job, "completed", "failed")
        assert (row.status, row.attempts) == ("completed", 0), row.error
    assert stored(db, session) == in_order(texts)
    counters = db.session(session)
    assert (counters.rated_lines, counters.completed_batches, counters.failed_batches) == (len(texts), len(jobs), 0)


# ---- a short last batch ----

@pytest.fixture(params=["rubric", "command"])
def any_pool(request, make_pool, db, tmp_path):
    """any_pool(keys): a pool of either kind of rater, which answers at once or later."""
    def make(**groups):
        if request.param == "command":
            tmp_path.chmod(0o777)
            program = harness.ROOT / "tests/integration/rating_program.py"
            groups = {"rater": {"backend": "command"},
                      "command": {"argv": [sys.executable, "-IS", str(program), str(tmp_path)]}, **groups}
        return make_pool(db, **groups)
    return make


@pytest.mark.parametrize("total", [True, False], ids=["totals", "no totals"])
def test_a_short_last_batch_goes_behind_the_others(any_pool, db, total):
    any_pool()
    session = new_session()
    jobs = insert(db, session, batches(total=total))
    assert_whole(db, session, jobs)
    assert db.session(session).stride == SIZE


def test_claims_that_are_held_by_locks(make_pool, db):
    """A deep queue and the rubric: claim and completion are one transaction."""
    db.insert_many(300)
    pool = make_pool(db, pool={"workers": 1, "claim_batch": 8})
    sessions = {new_session(): None for _ in range(60)}
    for session in sessions:
        sessions[session] = insert(db, session, batches())
    db.insert_many(300)
    wait_ended(db)
    for session, jobs in sessions.items():
        assert_whole(db, session, jobs)
    assert pool.metric("jobs_failed_total") == 0


def test_two_pools(any_pool, db):
    """The batches of a session are claimed by different workers, of different pools."""
    for _ in range(2):
        any_pool(pool={"workers": 2, "claim_batch": 1})
    sessions = {new_session(): None for _ in range(10)}
    for session in sessions:
        sessions[session] = insert(db, session, batches())
    for session, jobs in sessions.items():
        assert_whole(db, session, jobs)


def test_batches_that_are_settled_and_gone(make_pool, db):
    """What was learnt is kept with the session."""
    make_pool(db)
    session, data = new_session(), batches(total=False)
    assert_whole(db, session, insert(db, session, data[:1]), TEXTS[:SIZE])
    db.rows("DELETE FROM grading_jobs")
    job = db.insert(session=session, job_data=data[2])
    assert db.wait(job, "completed", "failed").status == "completed"
    assert stored(db, session) == in_order()[:SIZE] + in_order()[2 * SIZE:]


def test_the_last_batch_comes_first(make_pool, db):
    """It waits once for others, which costs no attempt."""
    make_pool(db, queue={"poll": "4s"})
    session, data = new_session(), batches()
    last = db.insert(session=session, job_data=data[2])
    row = wait_until(lambda: (row := db.job(last)).error and row)
    assert (row.status, row.attempts) == ("pending", 0)
    assert "how many lines a full batch of session" in row.error and "it waits for them once" in row.error
    assert db.value("SELECT available_at - now() < '4 s' FROM grading_jobs WHERE id = %s", last)
    assert_whole(db, session, insert(db, session, data[:2]) + [last])
    assert not db.job(last).result.get("waited_for_batches")


@pytest.mark.parametrize("how", ["cancelled", "by hand"])
def test_batches_that_have_failed_unread(make_pool, db, how):
    """Nobody has learnt from them, but they are there."""
    session, data = new_session(), batches(total=False)
    insert(db, session, data[:2])
    if how == "cancelled":
        assert db.value("SELECT grading_cancel(%s)", session) == 2
    else:
        db.rows("UPDATE grading_jobs SET status = 'failed', failed_at = now()")
    make_pool(db)
    last = db.insert(session=session, job_data=data[2])
    assert db.wait(last, "completed", "failed").status == "completed"
    assert stored(db, session) == in_order()[2 * SIZE:]
    assert db.session(session).stride == SIZE
    assert db.value("SELECT grading_retry(%s)", session) == 2
    wait_ended(db)
    assert stored(db, session) == in_order()


def test_what_is_not_known_fails_by_name(make_pool, db):
    make_pool(db, queue={"poll": "200ms"})
    session = new_session()
    last = db.insert(session=session, job_data=batches()[2])
    row = db.wait(last, "failed", "completed")
    assert row.status == "failed" and row.attempts == 1
    for words in f"full batch of session {session} has is not known", "batch 2, with batchSize 2", "grading_sessions.stride":
        assert words in row.error
    assert stored(db, session) == []
    # What the error advises.
    db.rows("UPDATE grading_sessions SET stride = 5 WHERE session_id = %s", session)
    db.rows("SELECT grading_retry(%s)", session)
    assert db.wait(last, "failed", "completed").status == "completed"
    assert stored(db, session) == in_order()[10:]


def test_a_batch_before_the_last_is_full(make_pool, db):
    """Nobody need be there to tell."""
    make_pool(db)
    session = new_session()
    assert db.wait(db.insert(session=session, job_data=batches()[1]), "failed", "completed").status == "completed"
    assert stored(db, session) == in_order()[5:10]


def test_two_of_the_same_batch_tell_nothing(make_pool, db):
    make_pool(db, queue={"poll": "200ms"})
    session, data = new_session(), batches()
    for job in insert(db, session, [data[2], data[2]]):
        assert db.wait(job, "failed", "completed").status == "failed"
    assert stored(db, session) == []


def test_some_lines_have_an_index_and_some_have_none(make_pool, db):
    """The first entry has one, so that the claim does not look for the others until the job has waited."""
    make_pool(db, queue={"poll": "200ms"})
    session, data = new_session(), batches()
    data[2]["transcript"][0]["index"] = 10
    assert_whole(db, session, insert(db, session, data))


def test_the_first_entry_has_no_index_and_another_has_one(make_pool, db):
    """The claim looks for the others at once."""
    make_pool(db)
    session, data = new_session(), batches()
    data[2]["transcript"][1]["index"] = 11
    assert_whole(db, session, insert(db, session, data))
    assert db.value("SELECT max(times_claimed) FROM grading_jobs") == 1


@pytest.mark.parametrize("odd", [
    {"batchIndex": "1"}, {"batchIndex": None}, {"batchIndex": {}}, {"batchIndex": -1}, {"batchIndex": 10 ** 40},
    {"batchIndex": 1.5}, {"batchSize": "5"}, {"batchSize": None}, {"batchSize": []}, {"batchSize": -10 ** 40},
    {"transcript": None}, {"transcript": {}}, {"transcript": [5]}, {"transcript": []}], ids=str)
def test_what_another_job_of_the_session_has_wrong_is_its_own(make_pool, db, odd):
    make_pool(db)
    session, data = new_session(), batches()
    other = dict(data[0], **odd)
    jobs = insert(db, session, data + [dict(other, transcript=other["transcript"] and [])])
    for job in jobs[:3]:
        assert db.wait(job, "completed", "failed").status == "completed", db.job(job).error
    assert stored(db, session) == in_order()


@pytest.mark.parametrize("seed", range(6))
def test_every_order(any_pool, db, seed):
    """Random sessions: their batches come in any order, some after others were settled, some of which are deleted."""
    dice = random.Random(seed)
    any_pool(pool={"workers": 2, "claim_batch": dice.choice([1, 2, 64])}, queue={"poll": "500ms"})
    expected = {}
    for _ in range(8):
        session, size = new_session(), dice.randint(1, 7)
        texts = [f"Line {n}, {dice.random()}?" for n in range(dice.randint(1, 5 * size))]
        data = batches(texts, size)
        dice.shuffle(data)
        expected[session] = texts
        while data:
            n = dice.randint(1, len(data))
            jobs, data = insert(db, session, data[:n]), data[n:]
            if dice.random() < 0.5:
                # It may be the last one, alone: then it waits, or fails, until others are there.
                wait_until(lambda: all((row := db.job(job)).status in ("completed", "failed") or row.error for job in jobs))
            if dice.random() < 0.5:
                db.rows("DELETE FROM grading_jobs WHERE session_id = %s AND status = 'completed'", session)
    wait_ended(db)
    for session in expected:
        db.rows("SELECT grading_retry(%s)", session)
    wait_ended(db)
    assert db.count("failed") == 0, db.rows("SELECT error FROM grading_jobs WHERE status = 'failed'")
    for session, texts in expected.items():
        assert stored(db, session) == in_order(texts)


# ---- a text is not replaced by another job's ----

TAKEN = "line 0 of session {} was stored by job {} with another text"


def one_line(text, **more):
    return {"transcript": rep(text), **more}


def test_a_line_of_another_job_is_not_replaced(any_pool, db):
    any_pool()
    session = new_session()
    first = db.insert(session=session, job_data=one_line("First?"))
    db.wait(first, "completed")
    before = db.ratings(session)
    second = db.insert(session=session, job_data={"transcript": rep("Second?", "Behind it?")})
    row = db.wait(second, "completed", "failed")
    assert (row.status, row.attempts) == ("failed", 1) and TAKEN.format(session, first) in row.error
    assert db.ratings(session) == before and db.job(first).status == "completed"
    counters = db.session(session)
    assert (counters.rated_lines, counters.completed_batches, counters.failed_batches) == (1, 1, 1)


def test_the_same_text_is_stored_again(any_pool, db):
    any_pool()
    session = new_session()
    for _ in range(2):
        assert db.wait(db.insert(session=session, job_data=one_line("Once?")), "completed", "failed").status == "completed"
    assert stored(db, session) == [(0, "Once?")]
    assert db.session(session).rated_lines == 1


def test_a_job_may_replace_its_own(make_pool, db):
    make_pool(db)
    session = new_session()
    job = db.insert(session=session, job_data=one_line("Before?"))
    db.wait(job, "completed")
    db.rows("UPDATE grading_jobs SET status = 'pending', job_data = %s WHERE id = %s", harness.Jsonb(one_line("After?")), job)
    wait_until(lambda: stored(db, session) == [(0, "After?")])


@pytest.mark.parametrize("workers", [1, 4])
def test_of_two_that_collide_at_once_one_wins(any_pool, db, workers):
    """Claimed together, or by different workers of different pools: one is stored, the other fails by name."""
    for _ in range(2):
        any_pool(pool={"workers": workers, "claim_batch": 8 if workers == 1 else 1})
    sessions = [new_session() for _ in range(20)]
    with db.connect(autocommit=False) as conn:
        for session in sessions:
            for text in "This?", "That?":
                conn.execute("INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (%s, 'line_rating', %s)",
                             (session, harness.Jsonb(one_line(f"{text} {session}"))))
    db.insert_many(20)
    wait_ended(db)
    for session in sessions:
        jobs = db.rows("SELECT * FROM grading_jobs WHERE session_id = %s ORDER BY status", session)
        assert [job.status for job in jobs] == ["completed", "failed"], [job.error for job in jobs]
        winner, loser = jobs
        assert stored(db, session) == [(0, winner.job_data["transcript"][0]["text"])]
        assert TAKEN.format(session, winner.id) in loser.error
        assert (winner.attempts, winner.error) == (0, None)
    assert db.count("completed") == 40
