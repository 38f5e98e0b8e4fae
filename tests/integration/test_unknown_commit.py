"""The connection is cut at a commit: the worker finds out what became of it, on whichever side of it that was.

A proxy cuts at the very message. What is checked is the same each time: nothing is lost, nothing is stored or counted
twice, no attempt is spent, and nothing that was stored is rated again.
"""
import os
import pathlib
import sys

import pytest

from harness import PATIENCE_S, new_session, rep, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "drill"))

import proxy  # pylint: disable=wrong-import-position

SIDES = pytest.mark.parametrize("side", ["before", "after"])


@pytest.fixture
def cutter(postgres):
    made = proxy.Proxy(os.path.join(postgres.directory, f".s.PGSQL.{postgres.port}"))
    yield made
    made.close()


@pytest.fixture
def make_cut_pool(make_openai_pool, db, cutter):
    """A pool that reaches its database through the proxy."""

    def make(**groups):
        groups["pool"] = dict({"workers": 1}, **groups.get("pool", {}))
        return make_openai_pool(f"host=127.0.0.1 port={cutter.port} user=postgres dbname={db.name} sslmode=disable"
                                " gssencmode=disable", **groups)

    return make


def check(db, pool, job, lines, attempts=0):
    """All is as if there had been no cut."""
    row = db.wait(job, "completed")
    assert (row.attempts, row.error) == (attempts, None)
    ratings, session = db.ratings(row.session_id), db.session(row.session_id)
    assert [rating.line_index for rating in ratings] == list(range(lines))
    assert (session.completed_batches, session.failed_batches, session.total_batches) == (1, 0, 1)
    assert (session.total_lines, session.rated_lines, session.status) == (lines, lines, "completed")
    wait_until(lambda: pool.show("status")["jobs_in_flight"] == 0)
    pool.wait_metric("jobs_completed_total", 1)
    return row


@SIDES
def test_a_claim(make_cut_pool, db, llm, cutter, side):
    pool = make_cut_pool()
    cut = cutter.order_cut("claim", side)
    job = db.insert(rep("Hello.", "Bye."))
    assert cut.done.wait(PATIENCE_S)
    row = check(db, pool, job, 2)
    assert row.times_claimed <= 2 and llm.calls == 1


@SIDES
def test_a_claim_with_others_in_hand(make_cut_pool, db, llm, cutter, side):
    """What is in hand stays so, what the lost claim brought goes back, and neither is asked about twice."""
    make_cut_pool()
    llm.behave({"hold": "answer"})
    held = db.insert(rep("Held."))
    wait_until(lambda: llm.in_flight == 1)
    cut = cutter.order_cut("claim", side)
    other = db.insert(rep("Other."))
    assert cut.done.wait(PATIENCE_S)
    wait_until(lambda: llm.in_flight == 2)
    assert db.job(held).times_claimed == 1
    llm.release()
    assert db.wait(held, "completed").attempts == db.wait(other, "completed").attempts == 0
    assert llm.calls == 2
    assert db.value("SELECT count(*) FROM line_ratings") == 2


@SIDES
def test_the_settlement_of_a_job(make_cut_pool, db, llm, cutter, side):
    pool = make_cut_pool()
    cut = cutter.order_cut("complete", side)
    row = check(db, pool, db.insert(rep("Hello.", "Bye.")), 2)
    assert cut.done.is_set() and (row.times_claimed, llm.calls) == (1, 1)


@SIDES
@pytest.mark.parametrize("cuts", [1, 3])
def test_lines_that_are_stored_as_they_arrive(make_cut_pool, db, llm, cutter, side, cuts):
    pool = make_cut_pool(rater={"lines_per_call": 1})
    llm.behave({"text": "early", "hold": "early"}, {"hold": "late"})
    orders = [cutter.order_cut("settle", side) for _ in range(cuts)]
    job = db.insert(rep("early", "late"))
    wait_until(lambda: llm.in_flight == 2)
    llm.release("early")
    assert orders[0].done.wait(PATIENCE_S)
    llm.release("late")
    row = check(db, pool, job, 2)
    assert all(order.done.is_set() for order in orders[:2]) and (row.times_claimed, llm.calls) == (1, 2)


@SIDES
def test_a_job_that_is_put_back(make_cut_pool, db, llm, cutter, side):
    pool = make_cut_pool()
    llm.behave({"do": "429", "first": 1, "retry_after": 0}, "good")
    cut = cutter.order_cut("settle", side)
    row = check(db, pool, db.insert(rep("Hello.")), 1)
    assert cut.done.is_set() and row.times_claimed == 2 and llm.calls == 2


@SIDES
def test_jobs_of_a_dead_worker(make_cut_pool, db, llm, cutter, side):
    pool = make_cut_pool()
    llm.behave({"hold": "answer"})
    job = db.insert(session=new_session())
    wait_until(lambda: llm.in_flight == 1)
    cut = cutter.order_cut("recover", side)
    pool.kill(pool.workers()[0])
    assert cut.done.wait(PATIENCE_S)
    llm.release()
    llm.behave("good")
    assert check(db, pool, job, 1, attempts=1).times_claimed == 2
