"""Whose attempt a worker's death costs, as left_behind.sql decides it: the cases that the model in tests/model found."""
import psycopg
import pytest
from psycopg.rows import tuple_row

import harness
from harness import rep

DEAD = "host/boot/1/2"
NOBODYS = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def recover(db):
    """
    recover(job in hand or None, number of its claim or None, killed from outside?, was the CPU inside of it?): tells of
    DEAD's death. inside=None: nobody saw it.
    """
    found = harness.daemon_statements()

    def recover(in_hand, claim, outside, inside=True):
        with db.connect(cursor_factory=psycopg.ClientCursor, row_factory=tuple_row) as conn:
            for name in ("left_behind", "recover"):
                types, text = found[name]
                conn.execute(f"PREPARE {name} ({', '.join(types)}) AS {text}")
            rows = conn.execute("EXECUTE left_behind (%s::text[], %s::uuid[], %s::bigint[], %s::bool[], %s::bool[],"
                                " '{NULL}', '00000000-0000-0000-0000-000000000000', 100)",
                                ([DEAD], [in_hand], [claim], [inside], [outside])).fetchall()
            for _, job, _, its_claim, _, loose, guilt, weight in rows:
                conn.execute("EXECUTE recover (%s::uuid[], %s::bigint[], '{crashed}', '{NULL}', %s::int[], %s::int[],"
                             " %s::bool[])", ([job], [its_claim], [guilt], [weight], [loose]))

    return recover


def held(db, **columns):
    """A job that the dead worker has claimed."""
    job = db.insert(rep("One line."), **columns)
    db.rows("UPDATE grading_jobs SET status = 'processing', claimed_by = %s, started_at = now(),"
            " claim = nextval('grading_claims') WHERE id = %s", DEAD, job)
    return job


def claim_of(db, job):
    return db.value("SELECT claim FROM grading_jobs WHERE id = %s", job)


def deaths(db, job):
    return db.value("SELECT coalesce((result ->> 'worker_deaths')::int, 0) FROM grading_jobs WHERE id = %s", job)


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "beside"])
@pytest.mark.parametrize("outside", [False, True], ids=["crash", "kill"])
def test_the_only_job_is_to_blame(db, recover, outside, inside):
    job = held(db)
    recover(job, claim_of(db, job), outside, inside)
    assert (db.job(job).status, db.job(job).attempts, deaths(db, job)) == ("pending", 1, 0)


@pytest.mark.parametrize("outside", [False, True], ids=["crash", "kill"])
def test_the_only_job_is_not_to_blame_when_it_was_not_being_rated(db, recover, outside):
    """It was left because its settlement was refused. But if that goes on for ever it is suspected in the end."""
    job = held(db)
    recover(None, None, outside, inside=False)
    assert (db.job(job).status, db.job(job).attempts, deaths(db, job)) == ("pending", 0, 1)


def test_the_only_job_is_suspected_when_nobody_saw_the_end(db, recover):
    job = held(db)
    recover(None, None, True, inside=None)
    assert (db.job(job).status, db.job(job).attempts, deaths(db, job)) == ("pending", 0, 5)
    db.rows("DELETE FROM grading_jobs")
    jobs = [held(db), held(db)]
    recover(None, None, True, inside=None)
    assert [(db.job(job).attempts, deaths(db, job)) for job in jobs] == [(0, 1), (0, 1)]


@pytest.mark.parametrize("outside", [False, True], ids=["crash", "kill"])
def test_the_only_one_being_rated_is_not_to_blame_for_sure_beside_others(db, recover, outside):
    """The worker may have died of the other one's settlement."""
    jobs = [held(db), held(db)]
    recover(jobs[0], claim_of(db, jobs[0]), outside, inside=False)
    assert [(db.job(job).attempts, deaths(db, job)) for job in jobs] == [(0, 1), (0, 1)]


def test_one_that_is_pending_again_is_not_to_blame_when_the_cpu_was_not_inside(db, recover):
    job = held(db)
    db.rows("UPDATE grading_jobs SET status = 'pending', claimed_by = NULL WHERE id = %s", job)
    recover(job, claim_of(db, job), False, inside=False)
    assert (db.job(job).status, db.job(job).attempts) == ("pending", 0)


@pytest.mark.parametrize("outside", [False, True], ids=["crash", "kill"])
def test_the_only_job_is_not_to_blame_when_another_was_in_hand(db, recover, outside):
    """The other one had been put back meanwhile, and was being rated all the same when the worker died."""
    other, job = db.insert(rep("Killer.")), held(db)
    recover(other, claim_of(db, other) - 1, outside)
    assert (db.job(job).status, db.job(job).attempts) == ("pending", 0)
    assert (db.job(other).status, db.job(other).attempts) == ("pending", 0)


def test_a_row_that_came_under_the_id_is_not_to_blame(db, recover):
    job = held(db)
    recover(job, claim_of(db, job) - 1, False)
    assert (db.job(job).status, db.job(job).attempts) == ("pending", 0)


@pytest.mark.parametrize("outside, attempts", [(False, [1, 0]), (True, [0, 0])], ids=["crash", "kill"])
def test_of_several_the_one_in_hand_is_to_blame_for_a_crash(db, recover, outside, attempts):
    jobs = [held(db), held(db)]
    recover(jobs[0], claim_of(db, jobs[0]), outside)
    assert [db.job(job).attempts for job in jobs] == attempts


def test_who_was_told_to_stop_charges_nobody(db, recover):
    job = held(db)
    recover(NOBODYS, 0, True)
    assert (db.job(job).status, db.job(job).attempts) == ("pending", 0)
