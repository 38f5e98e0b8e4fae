"""Jobs that the database lets nobody claim, at the head of the queue: the others go on, and each culprit is named."""
import contextlib
import json
import re

import pytest

from harness import BOUNCER, gradingctl, rep, wait_until
from test_pgbouncer import bouncer, make_pooled     # noqa: F401  pylint: disable=unused-import

CULPRITS, OTHERS = 150, 450
A_MINUTE_AND_MORE = 150

# What a trigger of the application does to a job whose error is "hold".
GUARDS = {
    "55000": "RAISE EXCEPTION 'not now' USING errcode = '55000'",
    "PT403": "RAISE EXCEPTION 'forbidden' USING errcode = 'PT403'",
    "42501": "RAISE EXCEPTION 'no right' USING errcode = '42501'",
    "P0001": "RAISE EXCEPTION 'no'",
    "08006": "RAISE EXCEPTION 'another server is away' USING errcode = '08006'",
    "57P01": "RAISE EXCEPTION 'another server goes' USING errcode = '57P01'",
    "40001": "RAISE EXCEPTION 'lost' USING errcode = '40001'",
    "0A000": "RAISE EXCEPTION 'not here' USING errcode = '0A000'",
    "null": "RETURN NULL",
    "lock": "UPDATE live SET n = n + 1",
}
NAMED = re.compile(r"job ([-0-9a-f]{36}) cannot be claimed")


class Guarded:
    """A queue whose first jobs are refused for one reason or the other."""

    def __init__(self, db, kind):
        self.db, self.kind = db, kind
        self.locker = contextlib.ExitStack()
        db.rows("CREATE TABLE live (n int)")
        db.rows("INSERT INTO live VALUES (0)")
        db.rows("CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF OLD.error = 'hold' THEN {GUARDS[kind]}; END IF; RETURN NEW; END $$")
        db.rows("CREATE TRIGGER guard BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION guard()")
        if kind == "lock":
            other = self.locker.enter_context(db.connect(autocommit=False))
            other.execute("UPDATE live SET n = 0")

    def lift(self):
        """The application has done with it."""
        self.locker.close()
        self.db.rows("DROP TRIGGER guard ON grading_jobs")

    def culprits(self, n=CULPRITS, **values):
        columns = "".join(f", {name}" for name in values)
        marks = "".join(f", {value}" for value in values.values())
        self.db.rows(f"INSERT INTO grading_jobs (session_id, job_type, job_data, error{columns})"
                     f" SELECT gen_random_uuid(), 'line_rating', %s::jsonb, 'hold'{marks} FROM generate_series(1, %s) n",
                     json.dumps({"transcript": rep("Held.")}), n)

    def refused(self):
        return {str(row.id) for row in self.db.rows("SELECT id FROM grading_jobs WHERE error = 'hold'")}

    def others_done(self, n):
        wait_until(lambda: self.db.count("completed") == n, what="all others to be completed")
        assert self.db.count("pending") == len(self.refused()) and self.db.count("failed") == 0


@pytest.fixture
def guarded(db):
    made = []

    def make(kind):
        made.append(Guarded(db, kind))
        return made[-1]

    yield make
    for queue in made:
        queue.locker.close()


def wait_named(queue, *pools, n=CULPRITS):
    """All are known, those that are named are culprits, and none is named twice."""
    wait_until(lambda: all(pool.show("status")["rows_refused"] == n for pool in pools), what="all culprits to be known")
    for pool in pools:
        named = NAMED.findall(pool.log)
        assert named and set(named) <= queue.refused() and len(named) == len(set(named))
        rows = [row["row"] for row in pool.show("errors") if row["row"]]
        assert rows and set(rows) <= queue.refused()


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("kind", GUARDS)
def test_others_go_on_behind_many_that_are_refused(make_pool, db, guarded, kind, workers):
    queue = guarded(kind)
    queue.culprits()
    db.insert_many(OTHERS)
    pool = make_pool(db, pool={"workers": workers})
    pool.alarms_expected = kind == "42501"
    queue.others_done(OTHERS)
    wait_named(queue, pool)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    db.insert_many(20, "Later {n}.")
    queue.others_done(OTHERS + 20)


@pytest.mark.parametrize("kind", ["55000", "null", "lock"])
def test_a_deep_queue_whose_claims_are_held_by_locks(make_pool, db, guarded, kind):
    queue = guarded(kind)
    queue.culprits()
    db.insert_many(4000)
    pool = make_pool(db, pool={"workers": 2}, cache={"ttl": "0"})
    queue.others_done(4000)
    wait_named(queue, pool)
    assert db.value("SELECT count(*) FROM line_ratings") == 4000


def test_those_between_the_others_are_found_as_well(make_pool, db, guarded):
    queue = guarded("55000")
    for _ in range(30):
        db.insert_many(20)
        queue.culprits(3)
    pool = make_pool(db, pool={"workers": 2})
    queue.others_done(600)
    wait_named(queue, pool, n=90)


def test_each_priority_has_its_own(make_pool, db, guarded):
    queue = guarded("PT403")
    for priority in range(-10, 10):
        queue.culprits(8, priority=str(priority))
        db.insert(priority=priority)
    pool = make_pool(db, pool={"workers": 2})
    queue.others_done(20)
    wait_named(queue, pool, n=160)
    db.insert(priority=70)                              # one that nobody knew
    queue.others_done(21)


@pytest.mark.parametrize("kind", ["55000", "lock"])
def test_a_rater_that_takes_its_time(make_openai_pool, db, guarded, kind):
    queue = guarded(kind)
    queue.culprits(60)
    db.insert_many(60)
    pool = make_openai_pool(pool={"workers": 2, "in_flight": 4})
    queue.others_done(60)
    wait_named(queue, pool, n=60)


@pytest.mark.parametrize("kind", ["55000", "lock"])
def test_two_pools(make_pool, db, guarded, kind):
    queue = guarded(kind)
    queue.culprits(60)
    db.insert_many(OTHERS)
    pools = [make_pool(db, pool={"workers": 2}) for _ in range(2)]
    queue.others_done(OTHERS)
    assert db.value("SELECT max(times_claimed) FROM grading_jobs") == 1
    for pool in pools:
        assert set(NAMED.findall(pool.log)) <= queue.refused()


@pytest.mark.skipif(not BOUNCER, reason="pgbouncer is not installed")
@pytest.mark.parametrize("kind", ["55000", "lock"])
def test_behind_a_pooler(make_pooled, db, guarded, kind):       # noqa: F811
    queue = guarded(kind)
    queue.culprits(60)
    db.insert_many(OTHERS)
    pool = make_pooled(pool={"workers": 2})
    queue.others_done(OTHERS)
    wait_named(queue, pool, n=60)


@pytest.mark.parametrize("kind", ["55000", "lock", "null"])
def test_when_it_is_lifted_they_are_claimed_within_a_minute(make_pool, db, guarded, kind):
    queue = guarded(kind)
    queue.culprits(40)
    db.insert_many(40)
    pool = make_pool(db, pool={"workers": 2})
    queue.others_done(40)
    wait_named(queue, pool, n=40)
    queue.lift()
    wait_until(lambda: db.count("completed") == 80, timeout=A_MINUTE_AND_MORE, what="all of them")
    wait_until(lambda: pool.show("status")["rows_refused"] == 0, what="nobody to be refused any more")
    assert not [row for row in pool.show("errors") if row["row"]]
    db.insert_many(100, "Afterwards {n}.")
    wait_until(lambda: db.count("completed") == 180)


def test_a_healthy_job_that_appears_among_them_is_claimed(make_pool, db, guarded):
    queue = guarded("55000")
    queue.culprits()
    db.insert_many(20)
    pool = make_pool(db, queue={"poll": "1s"})
    queue.others_done(20)
    wait_named(queue, pool)
    db.insert(available_at=db.value("SELECT min(available_at) FROM grading_jobs WHERE status = 'pending'"))
    db.insert(available_at=db.value("SELECT now() - interval '1 day'"))
    queue.others_done(22)


def test_the_walker_dies_and_another_goes_on(make_pool, db, guarded):
    queue = guarded("55000")
    queue.culprits(40)
    db.insert_many(20)
    pool = make_pool(db, pool={"workers": 2}, queue={"poll": "1s"})
    queue.others_done(20)
    wait_named(queue, pool, n=40)
    for pid in pool.workers():
        pool.kill(pid)
    db.insert(available_at=db.value("SELECT now() - interval '1 day'"))
    queue.others_done(21)


@pytest.mark.parametrize("kind", ["55000", "null", "lock"])
def test_once_ends_and_names_what_is_left(make_pool, db, guarded, kind):
    queue = guarded(kind)
    queue.culprits(40)
    db.insert_many(100)
    pool = make_pool(db, start=False, pool={"workers": 2})
    result = pool.run("--once")
    summary = json.loads(result.stdout)
    assert result.returncode == 75, result.stderr
    assert summary["completed"] == 100 and summary["refused"] == 40
    assert set(summary["refused_jobs"]) == queue.refused()


def test_once_ends_where_nothing_can_be_claimed(make_pool, db, guarded):
    queue = guarded("lock")
    queue.culprits(20)
    pool = make_pool(db, start=False, pool={"workers": 1})
    result = pool.run("--once")
    summary = json.loads(result.stdout)
    assert result.returncode == 75, result.stderr
    assert summary["completed"] == 0 and set(summary["refused_jobs"]) == queue.refused()


def test_doctor_names_them(make_pool, db, guarded):
    queue = guarded("55000")
    queue.culprits(20)
    pool = make_pool(db)
    wait_named(queue, pool, n=20)
    said = gradingctl("-c", pool.config_path, "doctor").stdout
    assert any(job in said for job in queue.refused()) and "not now" in said and "20 in all" in said


def test_jobs_too_large_to_go_together(make_pool, db):
    """They are claimed alone: what is above the limit fails by name, what is below is rated."""
    note = "(SELECT string_agg(md5(random()::text || n || m), '') FROM generate_series(1, {}) m)"
    for kib, n in ((6144, 4), (3072, 4)):
        db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data) SELECT gen_random_uuid(), 'line_rating',"
                " jsonb_build_object('transcript', %s::jsonb, 'note', " + note.format(kib * 32) + ")"
                " FROM generate_series(1, %s) n", json.dumps(rep("Hello.")), n)
    assert db.value("SELECT min(pg_column_size(job_data)) FROM grading_jobs") > 1 << 20
    db.insert_many(OTHERS)
    pool = make_pool(db, pool={"workers": 2})
    wait_until(lambda: db.count("completed") == OTHERS + 4 and db.count("failed") == 4, what="all of them")
    assert db.value("SELECT count(*) FROM grading_jobs WHERE error LIKE 'job_data is % bytes long%'") == 4
    assert pool.show("status")["rows_refused"] == 0


def test_a_right_that_is_missing_for_all_is_no_jobs_fault(make_pool, db):
    """Everything is refused, then nothing is: nobody is left waiting for more than a short while."""
    db.rows("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'closed' USING errcode = '55000'; END $$")
    db.rows("CREATE TRIGGER refuse BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION refuse()")
    db.insert_many(300)
    pool = make_pool(db, pool={"workers": 2})
    wait_until(lambda: "closed" in pool.ctl("show errors"))
    db.rows("DROP TRIGGER refuse ON grading_jobs")
    wait_until(lambda: db.count("completed") == 300, timeout=A_MINUTE_AND_MORE)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
